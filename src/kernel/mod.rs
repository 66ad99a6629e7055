//! The only reader of the machine: netlink sockets in any namespace, /proc, and what they say, one topic a file.
//! Nothing here changes anything, and nothing here judges.

pub mod addr;
mod beside;
mod bpf;
pub mod fdb;
pub mod holders;
mod iptables;
pub mod link;
mod linkinfo;
mod live;
mod module;
pub mod neigh;
pub mod netns;
mod nexthop;
pub mod nftables;
mod nla;
pub mod nsid;
pub mod ports;
pub mod procnet;
pub mod route;
pub mod rule;
mod scan;
pub mod snapshot;
pub mod socket;
pub mod spaces;
pub mod sysfs;
mod tc;
mod tun;
mod vlan;
mod xt;

pub use crate::model::text;
pub use live::Live;
pub use scan::{record, scan};
