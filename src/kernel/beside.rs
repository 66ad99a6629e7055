//! What stands beside a packet's way and could stop it: netfilter's chains, programs at a link.

use std::io;

use super::iptables::Tables;
use super::socket::{Dump, Refused, Socket};
use super::{bpf, iptables, module, nftables, tc};
use crate::model::{Chain, Link, Program};

/// What answers for netfilter's chains of one namespace, from anywhere.
#[derive(Debug)]
pub struct Netfilter {
    nftables: Option<Socket>,
    legacy: Vec<Tables>,
}

impl Netfilter {
    /// That of the namespace of the calling thread. `nftables`: the kernel has it, so asking does not load it.
    pub fn open(nftables: bool) -> io::Result<Netfilter> {
        let nftables = nftables.then(Socket::open_netfilter).transpose()?;
        Ok(Netfilter { nftables, legacy: iptables::tables()? })
    }

    /// Base chains, and what is missing of them.
    pub fn chains(mut self) -> Result<(Vec<Chain>, Option<String>), Refused> {
        let dump = self.nftables.as_mut().map(nftables::chains).transpose()?;
        let flaw = dump.as_ref().and_then(Dump::flaw);
        let mut chains = dump.map(|dump| dump.items).unwrap_or_default();
        for tables in self.legacy {
            chains.extend(tables.chains()?);
        }
        chains.sort_by_key(|c| (c.hook, c.priority));
        Ok((chains, flaw))
    }
}

/// The kernel has nftables, built in or loaded.
pub fn has_nftables() -> bool {
    module::is_there("nf_tables")
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
