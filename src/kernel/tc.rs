//! Filters of tc at a link: RTM_GETTFILTER for both sides of clsact. Which ones there are, not what they do.

use netlink_packet_core::DecodeError;

use super::nla::{self, text_of, u32_of};
use super::socket::{Dump, Refused, Request, Socket};
use crate::model::{IfIndex, Program};

/// Filters at a link that see what it takes in, or what it sends.
pub fn filters(socket: &mut Socket, index: IfIndex, ingress: bool) -> Result<Dump<Program>, Refused> {
    const RTM_GETTFILTER: u16 = 46;
    // TC_H_CLSACT with TC_H_MIN_INGRESS or TC_H_MIN_EGRESS
    let parent: u32 = if ingress { 0xffff_fff2 } else { 0xffff_fff3 };
    // struct tcmsg: family and three bytes of nothing, index, handle, parent, info
    let message = [0, index.0, 0, parent, 0].map(u32::to_ne_bytes).concat();
    let dump = socket.dump(Request::raw(RTM_GETTFILTER, message), |payload| decode(payload, ingress))?;
    // One priority comes several times: as itself, and as each of its filters.
    let mut items: Vec<Program> = Vec::new();
    for filter in dump.items {
        if !items.contains(&filter) {
            items.push(filter);
        }
    }
    Ok(Dump { items, undecodable: dump.undecodable, interrupted: dump.interrupted })
}

fn decode(payload: &[u8], ingress: bool) -> Result<Option<Program>, DecodeError> {
    const HEADER: usize = 20;
    const TCA_KIND: u16 = 1;
    const TCA_OPTIONS: u16 = 2;
    const TCA_BPF_NAME: u16 = 7;
    const TCA_BPF_ID: u16 = 11;
    let Some(attributes) = payload.get(HEADER..) else {
        return Err(DecodeError::buffer_too_small(payload.len(), HEADER));
    };
    let Some(kind) = nla::find(attributes, TCA_KIND).map(text_of) else { return Ok(None) };
    // Without options it is the head of a chain of filters, which follow.
    let Some(options) = nla::find(attributes, TCA_OPTIONS) else { return Ok(None) };
    let (name, id) = match kind.as_str() {
        "bpf" => {
            let name = nla::find(options, TCA_BPF_NAME).map(text_of);
            (name.unwrap_or(kind), nla::find(options, TCA_BPF_ID).and_then(u32_of))
        }
        _ => (kind, None),
    };
    Ok(Some(Program { kind: "tc".to_owned(), ingress, name: Some(name), id }))
}
