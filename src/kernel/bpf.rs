//! BPF programs by the `bpf` system call: which are attached to a link by tcx or netkit, and what a program is called.
//! Needs CAP_NET_ADMIN and CAP_BPF in the first user namespace; from another one the kernel says nothing.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc::{SYS_bpf, c_long, syscall};

use super::nla::text_of;
use crate::model::{IfIndex, KindData, Link, Program};

/// Programs at a link of the namespace of the calling thread, attached by tcx and, at a pair of netkit, by that.
/// Empty where the kernel has no such thing or does not let podnet ask; only of a pair that passes nothing without a
/// program it is said, where podnet may not ask, that one is there whose name could not be read.
pub fn attached(index: IfIndex, link: &Link) -> Vec<Program> {
    // BPF_TCX_INGRESS, BPF_TCX_EGRESS
    let mut places = vec![(46, "tcx", true), (47, "tcx", false)];
    if link.kind == "netkit" {
        // BPF_NETKIT_PRIMARY, BPF_NETKIT_PEER; both are asked of the first end.
        places.extend([(54, "netkit", false), (55, "netkit", true)]);
    }
    let mut programs = Vec::new();
    let passes_nothing = matches!(&link.data, Some(KindData::Netkit { policy, .. }) if policy == "blackhole");
    for (attach_type, kind, ingress) in places {
        let ids = match query(index, attach_type) {
            Err(refused) if refused.kind() == io::ErrorKind::PermissionDenied && kind == "netkit" => {
                // The kernel refuses a question about the second end of a pair with EACCES, and who may not ask with EPERM.
                if passes_nothing && refused.raw_os_error() == Some(Errno::EPERM as i32) {
                    programs.push(Program { kind: kind.to_owned(), ingress, name: None, id: None });
                }
                continue;
            }
            ids => ids.unwrap_or_default(),
        };
        let program = |id| Program { kind: kind.to_owned(), ingress, name: name(id), id: Some(id) };
        programs.extend(ids.into_iter().map(program));
    }
    programs
}

/// Name of a program; none: it is gone, or not to be seen.
pub fn name(id: u32) -> Option<String> {
    const BPF_PROG_GET_FD_BY_ID: c_long = 13;
    const BPF_OBJ_GET_INFO_BY_FD: c_long = 15;
    // struct bpf_prog_info: type, id, tag, two lengths, two pointers, load time, user, maps, pointer, name
    const NAME: usize = 64;
    const LENGTH: usize = 16;
    let mut by_id = [0u32; 32];
    by_id[0] = id;
    let fd = call(BPF_PROG_GET_FD_BY_ID, &mut by_id).ok()?;
    // SAFETY: the kernel has just made this descriptor, and nothing else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    let mut info = [0u8; NAME + LENGTH];
    let mut by_fd = [0u32; 32];
    let pointer = (info.as_mut_ptr() as u64).to_ne_bytes();
    by_fd[0] = fd.as_raw_fd() as u32;
    by_fd[1] = info.len() as u32;
    by_fd[2] = u32::from_ne_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
    by_fd[3] = u32::from_ne_bytes([pointer[4], pointer[5], pointer[6], pointer[7]]);
    call(BPF_OBJ_GET_INFO_BY_FD, &mut by_fd).ok()?;
    Some(text_of(&info[NAME..])).filter(|name| !name.is_empty())
}

/// Ids of the programs attached to a link in one way.
fn query(index: IfIndex, attach_type: u32) -> io::Result<Vec<u32>> {
    const BPF_PROG_QUERY: c_long = 16;
    /// More than the kernel attaches in one place (`BPF_MPROG_MAX`).
    const MOST: usize = 64;
    let mut ids = [0u32; MOST];
    // struct { target, attach type, flags of the query, flags of the attachment, pointer, count, ... }
    let mut attributes = [0u32; 32];
    let pointer = (ids.as_mut_ptr() as u64).to_ne_bytes();
    attributes[0] = index.0;
    attributes[1] = attach_type;
    attributes[4] = u32::from_ne_bytes([pointer[0], pointer[1], pointer[2], pointer[3]]);
    attributes[5] = u32::from_ne_bytes([pointer[4], pointer[5], pointer[6], pointer[7]]);
    attributes[6] = MOST as u32;
    call(BPF_PROG_QUERY, &mut attributes)?;
    Ok(ids[..(attributes[6] as usize).min(MOST)].to_vec())
}

fn call(command: c_long, attributes: &mut [u32; 32]) -> io::Result<c_long> {
    // SAFETY: the attributes are a zeroed union bpf_attr of 128 bytes; pointers in it outlive the call, and each has
    // room for the length that stands beside it.
    let done = unsafe { syscall(SYS_bpf, command, attributes.as_mut_ptr(), size_of_val(attributes)) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done) }
}
