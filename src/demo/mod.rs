//! The private node that `podnet demo` and the tests build: namespaces of its own, a scene inside, and the way out of
//! it all. What is shown of it is left to `commands` and `render`.

pub mod build;
mod forbidden;
pub mod hold;
pub mod isolate;
pub mod scene;
pub mod wait;
