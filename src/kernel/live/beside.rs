//! What stands beside a packet's way and could stop it: netfilter's chains of a namespace, programs at a link.

use crate::kernel::beside::{self, Netfilter};
use crate::kernel::bpf;
use crate::kernel::link::Where;
use crate::kernel::socket::Refused;
use crate::model::{Chain, Gap, Link, LinkId, NetnsId, Program, Seen};

use super::Live;

impl Live {
    pub(super) fn chains_of(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        let what = "netfilter's chains";
        let nftables = beside::has_nftables();
        let opened = self.spaces.inside(netns, || Netfilter::open(nftables)).ok_or_else(|| self.closed(what, netns))?;
        let read = opened.map_err(Refused::from).and_then(Netfilter::chains);
        let (chains, flaw) = read.map_err(|refused| self.refusal(what, netns, &refused))?;
        self.gaps.extend(flaw.map(|flaw| Gap::new("chains of nftables", self.spaces.netns(netns).name, flaw)));
        Ok(chains)
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
