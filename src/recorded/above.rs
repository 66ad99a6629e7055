//! Links that lie above another one, and tunnels over a namespace: each says below itself where it is, so all namespaces
//! of the same machine are looked through.

use super::Recorded;
use crate::model::{KindData, Link, LinkId, NetnsId};

impl Recorded {
    /// The namespace that a link means by the number at its other end; its own, where it has none.
    pub(super) fn numbered(&self, said_by: NetnsId, link: &Link) -> Option<NetnsId> {
        let Some(nsid) = link.link_netnsid else { return Some(said_by) };
        let NetnsId::Recorded { snapshot, .. } = said_by else { return None };
        let at = self.space(said_by)?.read.nsids.get(&nsid).copied()?;
        Some(self.best_known(self.id(snapshot as usize, at)))
    }

    /// All links of the machine that a namespace is on.
    fn around(&self, netns: NetnsId) -> impl Iterator<Item = (LinkId, &Link)> {
        let on = |id: NetnsId| match id {
            NetnsId::Recorded { snapshot, .. } => Some(snapshot),
            _ => None,
        };
        let same = self.all().filter(move |(id, _)| on(*id) == on(netns));
        same.flat_map(|(id, space)| space.links().map(move |l| (LinkId { netns: id, ifindex: l.ifindex }, l)))
    }

    /// Links of these kinds whose link below is this one: those of its own namespace first.
    pub(super) fn links_above(&self, at: LinkId, kinds: &[&str]) -> Vec<(LinkId, Link)> {
        let is_above = |(id, link): &(LinkId, &Link)| {
            link.link == Some(at.ifindex)
                && kinds.contains(&link.kind.as_str())
                && self.numbered(id.netns, link) == Some(at.netns)
        };
        let mut above: Vec<(LinkId, Link)> =
            self.around(at.netns).filter(is_above).map(|(id, link)| (id, link.clone())).collect();
        above.sort_by_key(|(id, _)| id.netns != at.netns);
        above
    }

    /// Tunnels of a kind, and of a network id, whose outer packets a namespace takes in. Mostly they are there
    /// themselves; elsewhere is only looked where they are not.
    pub(super) fn tunnels_over(&self, underlay: NetnsId, kind: &str, id: Option<u32>) -> Vec<(LinkId, Link)> {
        let fits = |(at, link): &(LinkId, &Link)| {
            let own = match &link.data {
                Some(KindData::Vxlan { id, external, .. } | KindData::Geneve { id, external, .. }) if !external => {
                    Some(*id)
                }
                _ => None,
            };
            link.kind == kind
                && (own.is_none() || id.is_none() || own == id)
                && self.numbered(at.netns, link) == Some(underlay)
        };
        let all: Vec<(LinkId, Link)> =
            self.around(underlay).filter(fits).map(|(id, link)| (id, link.clone())).collect();
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|(id, _)| id.netns == underlay);
        if own.is_empty() { others } else { own }
    }
}
