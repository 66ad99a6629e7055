//! Other addresses that netfilter gives the packet for certain: the way goes on with them, and that of the answer gives
//! them back.

use std::net::IpAddr;

use super::frame::Frame;
use super::hearing::Heard;
use super::sentence::{Endpoint, Source};
use super::sight::Device;
use super::walk::{Next, Walk};
use crate::model::{HeardChain, Hook, Link, LinkId, NetnsId, Route};

/// A source that a namespace gave the packet instead of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hidden {
    pub netns: NetnsId,
    pub was: IpAddr,
    pub is: IpAddr,
}

/// Who asked for the destination of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// The namespace that takes it in.
    ByNamespace,
    /// A bridge, for a frame.
    ByBridge,
}

impl Walk<'_> {
    /// The packet leaves the namespace with another source.
    pub(super) fn hide(&mut self, netns: NetnsId, source: Source, oif: &Device) {
        let is = match source {
            Source::Address(ip) => Some(ip),
            Source::OfDevice => self.address_of(netns, oif),
        };
        match is.zip(self.flow.src) {
            Some((is, was)) => {
                // That of a tunnel's packet is none of the one inside.
                if self.carried.is_empty() {
                    self.hearing.sources.push(Hidden { netns, was, is });
                }
                self.flow.src = Some(is);
            }
            None => self.hearing.hidden = true,
        }
    }

    /// The address that a device hides packets behind, as the kernel picks it: the first one of the network of the next
    /// hop, else the first one (`inet_select_addr`); of IPv6, which picks by more, the only one.
    fn address_of(&self, netns: NetnsId, oif: &Device) -> Option<IpAddr> {
        /// `IFA_F_SECONDARY`
        const SECONDARY: u32 = 1;
        let Device::Link(_, index) = oif else { return None };
        let hop = self.hops.iter().rev().find(|hop| hop.netns == netns && hop.ifindex.0 == *index)?;
        let next = hop.route.as_ref().and_then(|route| route.gateway).unwrap_or(self.flow.dst);
        let ipv6 = self.flow.dst.is_ipv6();
        let fits = hop.addrs.iter().filter(|addr| addr.local.is_ipv6() == ipv6 && addr.scope == 0 && addr.is_usable());
        let mut fits = fits.filter(|addr| ipv6 || addr.flags & SECONDARY == 0).peekable();
        let first = fits.peek()?.local;
        let all: Vec<_> = fits.collect();
        match ipv6 {
            true => Some(first).filter(|_| all.len() == 1),
            false => {
                let near = all
                    .iter()
                    .find(|addr| ipnet::IpNet::new(addr.local, addr.prefix_len).is_ok_and(|net| net.contains(&next)));
                Some(near.map_or(first, |addr| addr.local))
            }
        }
    }

    /// The source that the namespace gave the packet which this answer is for.
    pub(super) fn hidden_here(&self, netns: NetnsId) -> Option<Hidden> {
        let last = self.hearing.sources.last().copied().filter(|_| self.hearing.answers.is_some())?;
        Some(last).filter(|last| last.netns == netns && last.is == self.flow.dst)
    }

    /// An answer comes to the namespace that gave the packet its destination, and leaves it with the one for its source
    /// that the packet was sent to.
    pub(super) fn give_back_destination(&mut self, netns: NetnsId, hooks: &[Hook]) {
        let Some((_, was)) = self.hearing.back_in.filter(|(there, _)| *there == netns) else { return };
        if hooks.contains(&Hook::Postrouting) {
            self.flow.src = Some(was);
        }
        self.hearing.back_in =
            self.hearing.back_in.filter(|_| !hooks.iter().any(|h| matches!(h, Hook::Postrouting | Hook::Input)));
    }

    /// An answer has come to the namespace that gave the packet another source: it goes on to the own one.
    pub(super) fn is_given_back(&mut self, netns: NetnsId) -> bool {
        let Some(last) = self.hidden_here(netns) else { return false };
        self.hearing.sources.pop();
        self.flow.dst = last.was;
        true
    }

    /// The packet gets another address for certain as it comes into a namespace, or is sent there, and goes on to there. Of
    /// several endpoints this walk takes the one that it was told to.
    pub(super) fn is_redirected(&mut self, netns: NetnsId, hook: Hook) -> Option<Asked> {
        let (at, endpoints, endpoint) = self.sent_on(netns, hook)?;
        self.hearing.endpoints = self.hearing.endpoints.max(endpoints);
        self.flow.dst = endpoint.ip.unwrap_or(self.flow.dst);
        self.flow.traffic.dport = endpoint.port.or(self.flow.traffic.dport);
        self.hearing.marked = Some((netns, endpoint.mark));
        self.hearing.sends_elsewhere(netns, Some(true));
        let heard = self.hearing.heard.get_mut(at)?;
        heard.followed = true;
        Some(if heard.bridged { Asked::ByBridge } else { Asked::ByNamespace })
    }

    /// Which chain at a hook sends the packet elsewhere, to how many endpoints, and the one of them that this walk takes.
    pub(super) fn sent_on(&self, netns: NetnsId, hook: Hook) -> Option<(usize, usize, Endpoint)> {
        let here = |heard: &&Heard| {
            let hop = self.hops.get(heard.hop).filter(|hop| hop.netns == netns && !heard.followed);
            hop.and_then(|hop| hop.chains.get(heard.chain)).is_some_and(|heard| heard.chain.hook == hook)
        };
        let to = |heard: &Heard| {
            let endpoints = &heard.sentence.to;
            Some((endpoints.len(), *endpoints.get(self.hearing.pick % endpoints.len().max(1))?))
        };
        let mut heard = self.hearing.heard.iter().enumerate().filter(|(_, heard)| here(heard));
        heard.find_map(|(at, heard)| to(heard).map(|(endpoints, to)| (at, endpoints, to)))
    }

    /// Takes back hops that lead to where the packet is not sent any more; what the first of them has that was said of it
    /// before it was sent elsewhere.
    pub(super) fn take_back(&mut self, netns: NetnsId, hops: usize) -> Vec<HeardChain> {
        self.hearing.sent_anew = Some(netns);
        let chains = self.hops.get_mut(hops).map(|hop| std::mem::take(&mut hop.chains)).unwrap_or_default();
        self.hops.truncate(hops);
        self.overhead.truncate(hops);
        let asked = |chain: &HeardChain| chain.chain.hook == Hook::Output;
        let heard = std::mem::take(&mut self.hearing.heard);
        let mut said = Vec::new();
        for one in heard {
            if one.hop < hops {
                self.hearing.heard.push(one);
            } else if let Some(chain) = chains.get(one.chain).filter(|chain| one.hop == hops && asked(chain)) {
                self.hearing.heard.push(Heard { chain: said.len(), ..one });
                said.push(chain.clone());
            }
        }
        said
    }

    /// Puts what was said before to the hop that the packet is sent by instead.
    pub(super) fn put_before(&mut self, hops: usize, said: Vec<HeardChain>) {
        let Some(hop) = self.hops.get_mut(hops) else { return };
        let own = self.hearing.heard.iter().filter(|heard| heard.hop == hops).count() - said.len();
        let behind = self.hearing.heard.iter_mut().rev().filter(|heard| heard.hop == hops).take(own);
        behind.for_each(|heard| heard.chain += said.len());
        hop.chains.splice(0..0, said);
    }

    /// A bridge that asked for a frame's destination hands the frame on itself, where it leads back to it: not to the port
    /// that it came by, unless that one may (hairpin).
    pub(super) fn bridged_on(&mut self, at: LinkId, bridge: Link, route: &Route) -> Next {
        let to = route.gateway.unwrap_or(self.flow.dst);
        let came = self.hops.iter().rev().nth(1).filter(|hop| hop.netns == at.netns);
        let port = match came.map(|hop| Walk::beside(at, hop.ifindex)).map(|port| self.look(port)) {
            Some(Ok(port)) => Some(Box::new(port)),
            Some(Err(end)) => return end,
            None => None,
        };
        let neigh = self.topology.neigh(at, to);
        let neigh = self.seen(neigh);
        let lladdr = neigh.filter(|n| n.state.is_valid()).and_then(|n| n.lladdr).filter(|a| !a.is_zero());
        let frame = Frame { to, lladdr, from: None, tags: Vec::new() };
        Next::Bridge(at, Box::new(bridge), port, Box::new(frame))
    }
}
