//! The only writer of the machine. What is to be done comes as a plan; `apply` carries it out.

mod apply;
mod message;

pub use apply::apply;
