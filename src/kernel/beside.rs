//! What stands beside a packet's way and could stop it, read in the namespace of the calling thread: netfilter's chains,
//! programs at a link.

use super::socket::{Refused, Socket};
use super::{bpf, iptables, module, nftables, tc};
use crate::model::{Chain, Link, Program};

/// Base chains of netfilter, and what is missing of them.
pub fn chains() -> Result<(Vec<Chain>, Option<String>), Refused> {
    let (mut chains, flaw) = match module::is_there("nf_tables") {
        true => {
            let dump = nftables::chains()?;
            let flaw = dump.flaw();
            (dump.items, flaw)
        }
        false => (Vec::new(), None),
    };
    chains.extend(iptables::chains()?);
    chains.sort_by_key(|c| (c.hook, c.priority));
    Ok((chains, flaw))
}

/// Programs of XDP and tc at a link, and what is missing of them.
pub fn programs(socket: &mut Socket, link: &Link) -> Result<(Vec<Program>, Option<String>), Refused> {
    let mut programs = Vec::new();
    if let Some(id) = link.xdp {
        let known = Some(id).filter(|id| *id != 0);
        let name = known.and_then(bpf::name);
        programs.push(Program { kind: "xdp".to_owned(), ingress: true, name, id: known });
    }
    let mut flaw = None;
    for ingress in [true, false] {
        let dump = tc::filters(socket, link.ifindex, ingress)?;
        flaw = flaw.or(dump.flaw());
        programs.extend(dump.items);
    }
    Ok((programs, flaw))
}
