//! The namespaces of recordings as a listing: what the scan of the machine itself would have said.

use super::Recorded;
use crate::model::{ListedLink, ListedNetns, Listing, NetnsId, PeerRef, RecordedLink, SCHEMA};

impl Recorded {
    /// Every namespace of the recordings.
    pub fn listing(&self) -> Listing {
        let several = self.machines.len() > 1;
        let mut namespaces = Vec::new();
        let mut gaps = Vec::new();
        for (snapshot, machine) in self.machines.iter().enumerate() {
            for (at, space) in machine.spaces.iter().enumerate() {
                let links = space.read.links.iter().map(|link| self.listed(snapshot, at, link)).collect();
                namespaces.push(ListedNetns {
                    netns: self.id(snapshot, at),
                    nsid: space.read.nsid,
                    name: space.read.name.clone(),
                    owner: space.read.owner.clone(),
                    tenants: space.read.tenants.clone(),
                    holders: space.read.holders.clone(),
                    node: several.then(|| machine.hostname.clone()),
                    links,
                });
            }
            gaps.extend(machine.gaps.iter().cloned());
        }
        Listing { schema: SCHEMA, kind: "list", namespaces, gaps }
    }

    fn listed(&self, snapshot: usize, at: usize, recorded: &RecordedLink) -> ListedLink {
        let link = &recorded.link;
        let space = self.machines.get(snapshot).and_then(|m| m.spaces.get(at));
        let peer = recorded.peer.map(|peer| {
            let netns = match peer.at {
                Some(at) => self.id(snapshot, at),
                None => NetnsId::Recorded { snapshot: snapshot as u32, at: u32::MAX, ino: None },
            };
            let end = self.space(netns).and_then(|far| far.link(peer.ifindex));
            PeerRef { netns, nsid: peer.nsid, ifname: end.map(|end| end.ifname.clone()), ifindex: peer.ifindex }
        });
        let master = link.master.and_then(|index| space?.link(index)).map(|master| master.ifname.clone());
        ListedLink {
            ifname: link.ifname.clone(),
            ifindex: link.ifindex,
            kind: link.kind.clone(),
            address: link.address,
            mtu: link.mtu,
            operstate: link.operstate.clone(),
            addrs: link.addrs.clone(),
            peer,
            master,
        }
    }
}
