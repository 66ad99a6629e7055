//! The only reader of the machine: netlink sockets in any namespace, /proc, and what they say, one topic a file.
//! Nothing here changes anything, and nothing here judges.

pub mod addr;
pub mod fdb;
pub mod holders;
pub mod link;
mod live;
pub mod neigh;
pub mod netns;
pub mod nsid;
pub mod procnet;
pub mod route;
pub mod rule;
mod scan;
pub mod socket;
pub mod spaces;
pub mod sysfs;

pub use crate::model::text;
pub use live::Live;
pub use scan::scan;
