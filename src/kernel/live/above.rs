//! Links that lie above one of another namespace: each says below which namespace and index it is, and nothing says it
//! the other way round, so every namespace of the machine is asked.

use crate::kernel::addr;
use crate::kernel::link::{self, Where};
use crate::kernel::socket::{Refused, Socket};
use crate::kernel::{netns, nsid};
use crate::model::{KindData, Link, LinkId, NetnsId, Seen};

use super::Live;

impl Live {
    /// Links of these kinds whose link below is this one.
    pub(super) fn links_above(&mut self, at: LinkId, kinds: &[&str]) -> Seen<Vec<(LinkId, Link)>> {
        let mut above = Vec::new();
        if !kinds.iter().any(|kind| self.can_be(kind)) {
            return Ok(above);
        }
        for netns in self.pointing_at(at.netns)? {
            let Some((socket, Where::Here)) = self.spaces.socket(netns) else { continue };
            let dump = link::dump(socket, Where::Here);
            let links = self.complete("links", netns, dump)?;
            let is_above = |l: &Link| l.link == Some(at.ifindex) && kinds.contains(&l.kind.as_str());
            for link in links.into_iter().filter(is_above) {
                let id = LinkId { netns, ifindex: link.ifindex };
                if self.far_end_of(id, &link) == Some(at) {
                    above.push((id, self.with_addrs(id, link)?));
                }
            }
        }
        Ok(above)
    }

    /// Tunnels of a kind, and of a network id, whose outer packets a namespace takes in.
    pub(super) fn tunnels_over(&mut self, underlay: NetnsId, kind: &str, id: Option<u32>) -> Seen<Vec<(LinkId, Link)>> {
        let mut found = self.tunnels_in(underlay, underlay, kind, id)?;
        // Mostly it is where its packets are; only where it is not all namespaces are asked.
        if found.is_empty() {
            for netns in self.pointing_at(underlay)? {
                if netns != underlay {
                    found.extend(self.tunnels_in(netns, underlay, kind, id)?);
                }
            }
        }
        Ok(found)
    }

    fn tunnels_in(
        &mut self,
        netns: NetnsId,
        underlay: NetnsId,
        kind: &str,
        id: Option<u32>,
    ) -> Seen<Vec<(LinkId, Link)>> {
        let Some((socket, Where::Here)) = self.spaces.socket(netns) else {
            return Err(self.closed("tunnels", netns));
        };
        let dump = link::dump_kind(socket, kind);
        let links = self.complete("tunnels", netns, dump)?;
        let mut found = Vec::new();
        for link in links {
            let own = match &link.data {
                Some(KindData::Vxlan { id, external, .. } | KindData::Geneve { id, external, .. }) if !external => {
                    Some(*id)
                }
                _ => None,
            };
            if own.is_some() && id.is_some() && own != id {
                continue;
            }
            let at = LinkId { netns, ifindex: link.ifindex };
            let below = match link.link_netnsid {
                None => Some(netns),
                Some(number) => self.spaces.by_nsid(netns, number).ok(),
            };
            if below == Some(underlay) {
                found.push((at, self.with_addrs(at, link)?));
            }
        }
        Ok(found)
    }

    /// Links of a kind can be there: the kernel has the part that makes them. A dump of an unknown kind is one of all
    /// kinds, and the loopback device is in every namespace, so the first answer tells; asking loads nothing.
    fn can_be(&mut self, kind: &str) -> bool {
        if let Some(known) = self.kinds.get(kind) {
            return *known;
        }
        let first = Socket::open().map(|socket| link::first_of_kind(socket, kind));
        let can = match first {
            Ok(Ok(Some(link))) => link.kind == kind,
            // None, or no answer that says otherwise.
            _ => true,
        };
        self.kinds.insert(kind.to_owned(), can);
        can
    }

    fn far_end_of(&mut self, id: LinkId, link: &Link) -> Option<LinkId> {
        let netns = match link.link_netnsid {
            None => id.netns,
            Some(number) => self.spaces.by_nsid(id.netns, number).ok()?,
        };
        Some(LinkId { netns, ifindex: link.link? })
    }

    fn with_addrs(&mut self, id: LinkId, link: Link) -> Seen<Link> {
        let Some((socket, place)) = self.spaces.socket(id.netns) else { return Ok(link) };
        let dump = addr::dump(socket, Some(id.ifindex), place);
        let addrs = self.complete("addresses", id.netns, dump)?;
        Ok(Link { addrs: addrs.into_iter().map(|(_, addr)| addr).collect(), ..link })
    }

    /// The namespace itself, and all those that have a number for it: links elsewhere that lead to it say it by that.
    fn pointing_at(&mut self, netns: NetnsId) -> Seen<Vec<NetnsId>> {
        if let Some(known) = self.pointing.get(&netns) {
            return Ok(known.clone());
        }
        let Some(file) = self.spaces.file(netns).and_then(|file| file.again().ok()) else {
            return Err(self.closed("links above another namespace's", netns));
        };
        // Namespaces are many, and few have a number for it: one thread asks them all, one after the other.
        let found = std::mem::take(self.spaces.found());
        let asked = netns::readers(1, |mut reader| -> Vec<NetnsId> {
            let has_number =
                |socket: &mut Socket| -> Result<bool, Refused> { Ok(nsid::of_file(socket, &file)?.is_some()) };
            let candidates = found.iter().filter(|f| f.id != netns);
            candidates
                .filter(|f| {
                    let socket = f.open().and_then(|open| open.socket_of_reader(&mut reader));
                    socket.is_ok_and(|mut socket| has_number(&mut socket).unwrap_or(false))
                })
                .map(|f| f.id)
                .collect()
        });
        *self.spaces.found() = found;
        let pointing: Vec<NetnsId> = asked.into_iter().flatten().flatten().collect();
        let mut all = vec![netns];
        all.extend(pointing.into_iter().filter(|id| self.spaces.access(*id).is_some() || self.spaces.enter_found(*id)));
        self.pointing.insert(netns, all.clone());
        Ok(all)
    }
}
