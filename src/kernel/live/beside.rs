//! What stands beside a packet's way and could stop it: netfilter's chains of a namespace, programs at a link.

use std::collections::HashMap;
use std::sync::Arc;

use crate::kernel::beside::{self, Netfilter};
use crate::kernel::bpf;
use crate::kernel::link::Where;
use crate::model::{Chain, ChainId, Gap, Link, LinkId, NetnsId, NfRule, NfSet, Program, Seen};

use super::Live;

/// Netfilter of a namespace, and what it has answered.
#[derive(Debug)]
pub(super) struct Asked {
    netfilter: Netfilter,
    rules: HashMap<ChainId, Arc<[NfRule]>>,
    /// By family, table and name.
    sets: HashMap<(String, String, String), Arc<NfSet>>,
}

impl Live {
    pub(super) fn chains_of(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        let what = "netfilter's chains";
        let nftables = beside::has_nftables();
        let opened = self.spaces.inside(netns, || Netfilter::open(nftables)).ok_or_else(|| self.closed(what, netns))?;
        let mut netfilter = opened.map_err(|e| self.refusal(what, netns, &e.into()))?;
        let (chains, flaw) = netfilter.chains().map_err(|refused| self.refusal(what, netns, &refused))?;
        self.netfilter.insert(netns, Asked { netfilter, rules: HashMap::new(), sets: HashMap::new() });
        self.gaps.extend(flaw.map(|flaw| Gap::new("chains of nftables", self.spaces.netns(netns).name, flaw)));
        Ok(chains)
    }

    pub(super) fn rules_of(&mut self, netns: NetnsId, chain: &ChainId) -> Seen<Arc<[NfRule]>> {
        let what = "rules of netfilter";
        let Some(asked) = self.netfilter.get_mut(&netns) else { return Err(self.closed(what, netns)) };
        if let Some(known) = asked.rules.get(chain) {
            return Ok(Arc::clone(known));
        }
        let (read, flaw) = match asked.netfilter.rules(chain) {
            Ok(read) => read,
            Err(refused) => return Err(self.refusal(what, netns, &refused)),
        };
        // By some of its rules no chain decides.
        if let Some(flaw) = flaw {
            return Err(Gap::new(what, self.spaces.netns(netns).name, flaw));
        }
        asked.rules.extend(read.into_iter().map(|read| (read.chain, read.rules.into())));
        Ok(Arc::clone(asked.rules.entry(chain.clone()).or_default()))
    }

    pub(super) fn set_of(&mut self, netns: NetnsId, chain: &ChainId, name: &str) -> Seen<Arc<NfSet>> {
        let what = "sets of nftables";
        let Some(asked) = self.netfilter.get_mut(&netns) else { return Err(self.closed(what, netns)) };
        let key = (chain.family.clone(), chain.table.clone(), name.to_owned());
        if let Some(known) = asked.sets.get(&key) {
            return Ok(Arc::clone(known));
        }
        let set = match asked.netfilter.set(chain, name) {
            Ok(set) => Arc::new(set),
            Err(refused) => return Err(self.refusal(what, netns, &refused)),
        };
        asked.sets.insert(key, Arc::clone(&set));
        Ok(set)
    }

    pub(super) fn programs_at(&mut self, at: LinkId, link: &Link) -> Seen<Vec<Program>> {
        let what = format!("programs at {}", link.ifname);
        let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
            return Err(self.closed(&what, at.netns));
        };
        let read = beside::programs(socket, link);
        let (mut programs, flaw) = read.map_err(|refused| self.refusal(&what, at.netns, &refused))?;
        self.gaps.extend(flaw.map(|flaw| Gap::new(what, self.spaces.netns(at.netns).name, flaw)));
        let attached = self.spaces.inside(at.netns, || Ok(bpf::attached(at.ifindex, link)));
        programs.extend(attached.into_iter().flatten().flatten());
        Ok(programs)
    }
}
