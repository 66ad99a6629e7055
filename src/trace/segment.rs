//! Who on a bridge's segment has an address that nothing is learned about: every port is asked, as the kernel does.

use super::above::MACVLANS;
use super::bridge::Way;
use super::frame::Frame;
use super::vlan::Vid;
use super::walk::Walk;
use crate::model::{Gap, Level, Link, LinkId, LlAddr, Neigh, NeighState};

/// What stands behind the ports of a bridge, as far as an address goes.
#[derive(Default)]
struct Candidates {
    /// The port of the device that has the link-layer address which the frame is for.
    taker: Option<Link>,
    /// Ports, and the device behind each that has the address.
    holders: Vec<(Link, Link)>,
    /// Ports that lead on to another segment, or out of the machine.
    exits: Vec<Link>,
    /// Names of ports that such a frame is not flooded to.
    unasked: Vec<String>,
    /// A port whose other end could not be looked at.
    hidden: Option<Gap>,
    /// A device behind a port may have it on top of itself.
    above: Option<String>,
}

impl Walk<'_> {
    /// The sender has to ask who has the address, and what the bridge's own namespace knows of that is old news: whoever
    /// is behind the port that it names still answers. Asking there alone saves asking everywhere.
    pub(super) fn still_there(&mut self, at: LinkId, mac: LlAddr, vid: Vid, frame: &Frame) -> bool {
        let Ok(Some(entry)) = self.topology.fdb(at, mac, vid) else { return false };
        let id = Walk::beside(at, entry.ifindex);
        let Ok(Some(link)) = self.topology.link(id) else { return false };
        match self.topology.far_end(id, &link) {
            Ok(Some(far)) => match self.topology.link(far) {
                Ok(Some(peer)) => peer.address == Some(mac) && self.answers_for(far, &peer, frame.to) == Some(true),
                _ => false,
            },
            _ => false,
        }
    }

    /// Nothing is learned about the address: the frame, or the question for its address, goes out by every port, and
    /// the one behind which the holder is takes it.
    pub(super) fn by_holder(&mut self, at: LinkId, bridge: &Link, port: Option<&Link>, vid: Vid, frame: &Frame) -> Way {
        let ports = match self.topology.ports(at) {
            Ok(ports) => ports,
            Err(gap) => {
                let why = format!("the ports of {} could not be seen: {}", bridge.ifname, gap.why);
                self.gap(gap);
                return Way::Unseen(why);
            }
        };
        let mut found = Candidates::default();
        for candidate in ports.iter().filter(|c| port.is_none_or(|p| p.ifindex != c.ifindex)) {
            let id = Walk::beside(at, candidate.ifindex);
            // The list of ports says neither kind nor namespace of the other end.
            let Ok(Some(link)) = self.topology.link(id) else { continue };
            match self.is_in(at, &link, vid) {
                Ok(true) => self.ask_behind(id, link, vid, frame, &mut found),
                Ok(false) => {}
                Err(gap) => found.hidden = Some(gap),
            }
        }
        let holder = found.holders.first().and_then(|(_, peer)| peer.address).filter(|_| frame.lladdr.is_none());
        let way = self.choose(bridge, frame, found);
        // Once the sender knows who it is, the bridge decides by what it knows of that one.
        holder.and_then(|mac| self.by_fdb(at, bridge, port, mac, vid)).unwrap_or(way)
    }

    fn ask_behind(&mut self, id: LinkId, link: Link, vid: Vid, frame: &Frame, found: &mut Candidates) {
        // An unknown address goes out by the ports that unknown unicast is flooded to, a question by those for broadcasts.
        let floods = link.port.as_ref().is_none_or(|p| if frame.lladdr.is_some() { p.flood } else { p.bcast_flood });
        if !floods {
            found.unasked.push(link.ifname);
            return;
        }
        if !link.is_pair() || self.is_tagged(id, &link, vid) {
            found.exits.push(link);
            return;
        }
        let far = match self.topology.far_end(id, &link) {
            Ok(Some(far)) => far,
            Ok(None) => return,
            Err(gap) => {
                found.hidden = Some(gap);
                return;
            }
        };
        match self.topology.link(far) {
            // A pair that leads to another bridge may lead anywhere.
            Ok(Some(peer)) if peer.master.is_some() => found.exits.push(link),
            Ok(Some(peer)) if frame.lladdr.is_some() && peer.address == frame.lladdr => found.taker = Some(link),
            Ok(Some(peer)) if self.answers_for(far, &peer, frame.to) == Some(true) => found.holders.push((link, peer)),
            Ok(Some(peer)) if self.topology.also_taken(far).is_ok_and(|taken| !taken.is_empty()) => {
                match self.held_above(far, &peer, frame) {
                    Ok(Some(upper)) => found.holders.push((link, upper)),
                    Ok(None) => {}
                    Err(why) => found.above = Some(why),
                }
            }
            Ok(_) => {}
            Err(gap) => found.hidden = Some(gap),
        }
    }

    fn choose(&mut self, bridge: &Link, frame: &Frame, found: Candidates) -> Way {
        if let Some(taker) = found.taker {
            return Way::Port(taker.ifindex);
        }
        if let Some((link, peer)) = found.holders.first() {
            self.resolved(frame, peer);
            if found.holders.len() > 1 {
                let names: Vec<&str> = found.holders.iter().map(|(link, _)| link.ifname.as_str()).collect();
                let message = format!("{} devices answer for {} on {}", names.len(), frame.to, bridge.ifname);
                let evidence = format!("behind the ports {}", names.join(", "));
                let fix = Some("take the address from all but one of them; this is the way to the first".to_owned());
                self.finding(Level::Critical, "duplicate-address", message, evidence, fix);
            }
            return Way::Port(link.ifindex);
        }
        match (found.exits.as_slice(), found.hidden, found.above) {
            ([exit], None, _) => Way::Port(exit.ifindex),
            ([], None, Some(why)) => Way::Unseen(why),
            ([], None, None) => Way::Nobody(found.unasked),
            (_, Some(gap), _) => {
                let why = format!("who has {} on {} could not be seen: {}", frame.to, bridge.ifname, gap.why);
                self.gap(gap);
                Way::Unseen(why)
            }
            (several, None, _) => {
                let names: Vec<&str> = several.iter().map(|l| l.ifname.as_str()).collect();
                self.gap(Gap::new(
                    format!("the port of {} behind which {} is", bridge.ifname, frame.to),
                    self.here(),
                    "no neighbour and no forwarding entry says so yet",
                ));
                Way::Unseen(format!("{} floods it to {}", bridge.ifname, names.join(", ")))
            }
        }
    }

    /// A macvlan above the other end of a port has the address.
    fn held_above(&mut self, far: LinkId, peer: &Link, frame: &Frame) -> Result<Option<Link>, String> {
        let unseen = |why: &str| format!("a link above {} may have {}{why}", peer.ifname, frame.to);
        let uppers = self.topology.uppers(far, &MACVLANS).map_err(|gap| unseen(&format!(": {}", gap.why)))?;
        if uppers.is_empty() {
            return Err(unseen(", and which links are there is not seen"));
        }
        let holds = |(id, link): &(LinkId, Link)| {
            link.up
                && frame
                    .lladdr
                    .map_or(self.answers_for(*id, link, frame.to) == Some(true), |mac| link.address == Some(mac))
        };
        Ok(uppers.into_iter().find(holds).map(|(_, link)| link))
    }

    /// Notes at the hop that sent the frame whose address it would learn.
    pub(super) fn resolved(&mut self, frame: &Frame, holder: &Link) {
        let sender = self.hops.iter_mut().rev().find(|h| h.route.is_some());
        if let Some(hop) = sender
            && hop.neigh.is_none()
            && holder.address.is_some()
        {
            hop.neigh = Some(Neigh { dst: frame.to, lladdr: holder.address, state: NeighState::None });
        }
    }
}
