//! What stands beside a packet's way and could stop it: netfilter's chains, programs at a link.

use std::io;

use super::iptables::Tables;
use super::socket::{Dump, Refused, Socket};
use super::{bpf, iptables, module, nftables, tc};
use crate::model::{Chain, ChainId, Link, NfRule, NfSet, Program, RecordedChain, RecordedSet};

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
    pub fn chains(&mut self) -> Result<(Vec<Chain>, Option<String>), Refused> {
        let dump = self.nftables.as_mut().map(nftables::chains).transpose()?;
        let flaw = dump.as_ref().and_then(Dump::flaw);
        let mut chains = dump.map(|dump| dump.items).unwrap_or_default();
        for tables in &self.legacy {
            chains.extend(tables.chains()?);
        }
        chains.sort_by_key(|c| (c.hook, c.priority));
        Ok((chains, flaw))
    }

    /// Rules of chains: of this one, or where a table is read as a whole of all that are in it.
    pub fn rules(&mut self, chain: &ChainId) -> Result<(Vec<RecordedChain>, Option<String>), Refused> {
        if chain.backend == "legacy" {
            return Ok((self.legacy_rules(Some(chain))?, None));
        }
        let dump = self.nftables.as_mut().map(|socket| nftables::rules(socket, chain)).transpose()?;
        let flaw = dump.as_ref().and_then(Dump::flaw);
        let rules = dump.map(|dump| dump.items).unwrap_or_default();
        Ok((vec![RecordedChain { chain: chain.clone(), rules }], flaw))
    }

    /// Rules of all chains.
    pub fn all_rules(&mut self) -> Result<(Vec<RecordedChain>, Option<String>), Refused> {
        let dump = self.nftables.as_mut().map(nftables::all_rules).transpose()?;
        let flaw = dump.as_ref().and_then(Dump::flaw);
        let mut chains = by_chain(dump.map(|dump| dump.items).unwrap_or_default());
        chains.extend(self.legacy_rules(None)?);
        Ok((chains, flaw))
    }

    fn legacy_rules(&self, of: Option<&ChainId>) -> Result<Vec<RecordedChain>, Refused> {
        let mut chains = Vec::new();
        for tables in &self.legacy {
            for name in tables.names() {
                if of.is_some_and(|of| of.table != name || of.family != tables.family()) {
                    continue;
                }
                let rules = tables.read(name)?.map(|table| table.rules()).unwrap_or_default();
                chains.extend(by_chain(rules));
            }
        }
        Ok(chains)
    }

    /// A set of nftables, in the table of a chain.
    pub fn set(&mut self, chain: &ChainId, name: &str) -> Result<NfSet, Refused> {
        match self.nftables.as_mut() {
            Some(socket) => nftables::set(socket, &chain.family, &chain.table, name),
            None => Ok(NfSet { partial: true, ..NfSet::default() }),
        }
    }

    /// All sets of nftables, and what is missing of them.
    pub fn sets(&mut self) -> Result<(Vec<RecordedSet>, Option<String>), Refused> {
        let dump = self.nftables.as_mut().map(nftables::all_sets).transpose()?;
        let flaw = dump.as_ref().and_then(Dump::flaw);
        Ok((dump.map(|dump| dump.items).unwrap_or_default(), flaw))
    }
}

/// Rules that come one by one, those of a chain behind each other.
fn by_chain(rules: Vec<(ChainId, NfRule)>) -> Vec<RecordedChain> {
    let mut chains: Vec<RecordedChain> = Vec::new();
    for (chain, rule) in rules {
        match chains.last_mut().filter(|last| last.chain == chain) {
            Some(last) => last.rules.push(rule),
            None => chains.push(RecordedChain { chain, rules: vec![rule] }),
        }
    }
    chains
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
