//! What stands beside a packet's way and could stop it: netfilter's chains of a namespace, programs at a link.

use crate::kernel::link::Where;
use crate::kernel::socket::Refused;
use crate::kernel::spaces::Access;
use crate::kernel::{bpf, iptables, module, nftables, tc};
use crate::model::{Chain, Link, LinkId, NetnsId, Program, Seen};

use super::Live;

impl Live {
    pub(super) fn chains_of(&mut self, netns: NetnsId) -> Seen<Vec<Chain>> {
        let asks_nftables = module::is_there("nf_tables");
        let read = move || {
            let nft = asks_nftables.then(nftables::chains);
            Ok((nft, iptables::chains()))
        };
        let read = match self.spaces.access(netns) {
            Some(Access::Inside { .. }) if netns == self.spaces.own() => read(),
            Some(Access::Inside { file, .. }) => file.inside(read),
            _ => return Err(self.closed("netfilter's chains", netns)),
        };
        let (nft, legacy) = match read {
            Ok(read) => read,
            Err(e) => return Err(self.refusal("netfilter's chains", netns, &Refused::from(e))),
        };
        let mut chains = match nft {
            Some(dump) => self.complete("chains of nftables", netns, dump)?,
            None => Vec::new(),
        };
        chains.extend(legacy.map_err(|e| self.refusal("legacy tables", netns, &Refused::from(e)))?);
        chains.sort_by_key(|c| (c.hook, c.priority));
        Ok(chains)
    }

    pub(super) fn programs_at(&mut self, at: LinkId, link: &Link) -> Seen<Vec<Program>> {
        let what = format!("programs at {}", link.ifname);
        let mut programs = Vec::new();
        if let Some(id) = link.xdp {
            let known = Some(id).filter(|id| *id != 0);
            let name = known.and_then(bpf::name);
            programs.push(Program { kind: "xdp".to_owned(), ingress: true, name, id: known });
        }
        for ingress in [true, false] {
            let Some((socket, Where::Here)) = self.spaces.socket(at.netns) else {
                return Err(self.closed(&what, at.netns));
            };
            let dump = tc::filters(socket, at.ifindex, ingress);
            programs.extend(self.complete(&what, at.netns, dump)?);
        }
        let ask = || Ok(bpf::attached(at.ifindex, link));
        let attached = match self.spaces.access(at.netns) {
            Some(Access::Inside { .. }) if at.netns == self.spaces.own() => ask(),
            Some(Access::Inside { file, .. }) => file.inside(ask),
            _ => Ok(Vec::new()),
        };
        programs.extend(attached.unwrap_or_default());
        Ok(programs)
    }
}
