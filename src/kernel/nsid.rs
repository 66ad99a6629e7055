//! Numbers of namespaces: RTM_GETNSID by file, by process, and as a dump. Asking assigns nothing.

use std::os::fd::{AsFd, AsRawFd};

use netlink_packet_core::{DecodeError, Parseable};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::nsid::{NsidAttribute, NsidMessage};

use super::socket::{Dump, Refused, Socket};
use crate::model::{Nsid, Pid};

fn request(of: Option<NsidAttribute>) -> RouteNetlinkMessage {
    let mut message = NsidMessage::default();
    message.attributes.extend(of);
    RouteNetlinkMessage::GetNsId(message)
}

/// The number that the socket's namespace has for an open one; none: it has none for it.
pub fn of_file(socket: &mut Socket, netns: impl AsFd) -> Result<Option<Nsid>, Refused> {
    socket.get(request(Some(NsidAttribute::Fd(netns.as_fd().as_raw_fd() as u32))), decode)
}

/// The number that the socket's namespace has for that of a process; none: it has none for it, or it is the same.
/// Needs no capability; ESRCH where there is no such process.
pub fn of_pid(socket: &mut Socket, pid: Pid) -> Result<Option<Nsid>, Refused> {
    socket.get(request(Some(NsidAttribute::Pid(pid.0))), decode)
}

/// All numbers that the socket's namespace has given.
pub fn dump(socket: &mut Socket) -> Result<Dump<Nsid>, Refused> {
    socket.dump(request(None), decode)
}

fn decode(payload: &[u8]) -> Result<Option<Nsid>, DecodeError> {
    let message = NsidMessage::parse(payload)?;
    Ok(message.attributes.iter().find_map(|a| match a {
        // NETNSA_NSID_NOT_ASSIGNED is -1.
        NsidAttribute::Id(id) if *id >= 0 => Some(Nsid(*id)),
        _ => None,
    }))
}
