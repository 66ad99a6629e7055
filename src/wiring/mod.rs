//! The only writer of the machine. What is to be done comes as a plan; `apply` carries it out and takes it back.

mod apply;
mod arp;
mod aside;
mod detach;
mod message;
mod nat;
pub mod plan;
mod stop;
pub mod store;
mod turn;

pub use apply::{Applied, Opened, Sockets, allowed, apply, take};
pub use arp::{Holder, Question, announce, answers, ask};
pub use detach::delete_links;
pub use nat::{commented, missing as nft_missing};
pub use stop::Stop;
pub use turn::Turn;

/// Link group of everything that podnet makes (`IFLA_GROUP`): the bytes of `podn`. The kernel takes it with the request
/// that makes the link, so there is no moment in which a link of podnet's is not known as such.
pub const GROUP: u32 = 0x706f_646e;

/// Link group of what is about to be deleted together.
pub const DOOMED: u32 = GROUP + 1;
