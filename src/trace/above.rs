//! Links above another one: macvlan and ipvlan, their siblings on the same lower link, and VLANs; who of them takes what
//! comes in by the link below.

use super::frame::Frame;
use super::walk::{Next, Walk};
use crate::model::{Action, KindData, Level, Link, LinkId, LlAddr, RouteAnswer, Step, Tag, word};

pub(super) const MACVLANS: [&str; 2] = ["macvlan", "macvtap"];
pub(super) const IPVLANS: [&str; 2] = ["ipvlan", "ipvtap"];

impl Walk<'_> {
    /// A VLAN puts its tag around the frame.
    pub(super) fn send_tagged(&mut self, at: LinkId, link: &Link, frame: Frame) -> Next {
        let Some(KindData::Vlan { id, ad }) = link.data else {
            return self.stop(Action::Unknown, format!("the VLAN id of {} is not seen", link.ifname));
        };
        let (below, lower) = match self.lower(at, link) {
            Ok(lower) => lower,
            Err(end) => return end,
        };
        self.push(below, &lower, Step::Lower);
        Next::Transmit(below, Box::new(lower), Box::new(frame.tagged(Tag { vid: id, ad })))
    }

    /// A macvlan: its siblings first, in bridge mode, then out by the link below. The namespace of that link sees
    /// nothing of it.
    pub(super) fn send_macvlan(&mut self, at: LinkId, link: &Link, frame: Frame) -> Next {
        let (below, lower) = match self.lower(at, link) {
            Ok(lower) => lower,
            Err(end) => return end,
        };
        self.push(below, &lower, Step::Lower);
        if macvlan_mode(link) == "bridge" {
            match self.macvlan_sibling(at, link, below, &frame) {
                Ok(Some((id, sibling))) => return Next::Arrive(id, Box::new(sibling), Box::new(frame), Step::Upper),
                Ok(None) => {}
                Err(end) => return end,
            }
        }
        Next::Transmit(below, Box::new(lower), Box::new(frame))
    }

    fn macvlan_sibling(
        &mut self,
        at: LinkId,
        link: &Link,
        below: LinkId,
        frame: &Frame,
    ) -> Result<Option<(LinkId, Link)>, Next> {
        let taken = self.topology.also_taken(below).map_err(|gap| self.unseen(gap))?;
        let of_others = |mac: &LlAddr| frame.lladdr.map_or(Some(*mac) != link.address, |to| to == *mac);
        if !taken.iter().any(of_others) {
            return Ok(None);
        }
        let uppers = self.topology.uppers(below, &MACVLANS).map_err(|gap| self.unseen(gap))?;
        let siblings = uppers.into_iter().filter(|(id, l)| *id != at && l.up && macvlan_mode(l) == "bridge");
        Ok(self.meant(siblings.collect(), frame))
    }

    /// The one of these links that a frame is meant for: by its address, or as the one that answers for it.
    fn meant(&mut self, links: Vec<(LinkId, Link)>, frame: &Frame) -> Option<(LinkId, Link)> {
        let found = match frame.lladdr {
            Some(mac) => links.into_iter().find(|(_, link)| link.address == Some(mac)),
            None => links.into_iter().find(|(id, link)| self.answers_for(*id, link, frame.to) == Some(true)),
        }?;
        self.resolved(frame, &found.1);
        Some(found)
    }

    /// An ipvlan: all above one link have its address, and the destination tells them apart.
    pub(super) fn send_ipvlan(&mut self, at: LinkId, link: &Link, frame: Frame) -> Next {
        let (below, lower) = match self.lower(at, link) {
            Ok(lower) => lower,
            Err(end) => return end,
        };
        self.push(below, &lower, Step::Lower);
        let Some(KindData::Ipvlan { mode, apart }) = &link.data else {
            return self.stop(Action::Unknown, format!("the mode of {} is not seen", link.ifname));
        };
        let within = mode != "l2" || frame.lladdr.is_none_or(|mac| Some(mac) == link.address);
        let sibling = match self.topology.uppers(below, &IPVLANS) {
            Ok(uppers) => uppers.into_iter().find(|(id, l)| *id != at && l.up && l.holds(self.flow.dst)),
            Err(gap) => return self.unseen(gap),
        };
        if let Some((id, sibling)) = sibling.filter(|_| within && apart.as_deref() != Some("vepa")) {
            if apart.as_deref() == Some("private") {
                return self.keeps_apart(at, link, id, &sibling);
            }
            self.resolved(&frame, &sibling);
            return Next::Arrive(id, Box::new(sibling), Box::new(frame), Step::Upper);
        }
        if mode == "l2" {
            return match frame.lladdr {
                // Not one of its siblings: the namespace below, for a sender who knows the address without asking.
                Some(mac) if Some(mac) == link.address => Next::Input(below, Box::new(lower)),
                _ => Next::Transmit(below, Box::new(lower), Box::new(frame)),
            };
        }
        // In the modes of layer 3 the namespace below routes it, by that link.
        self.routed_for_others(below)
    }

    fn keeps_apart(&mut self, at: LinkId, link: &Link, other: LinkId, sibling: &Link) -> Next {
        let of = |walk: &Walk<'_>, id: LinkId, link: &Link| {
            format!("{} of {}", link.ifname, walk.topology.netns(id.netns).name)
        };
        let reason = format!("{} does not reach {}: they are private", of(self, at, link), of(self, other, sibling));
        let evidence = format!("the ipvlans of {} have the flag private", self.hops.last().map_or("", |h| &h.ifname));
        let fix = Some("make them without the flag private, or go by a router outside".to_owned());
        self.finding(Level::Fatal, "link-private", reason.clone(), evidence, fix);
        self.stop(Action::Dropped, reason)
    }

    /// What leaves by a link is not heard by those above and below it on the same machine: macvlans, ipvlans, and the
    /// namespace of the link itself.
    pub(super) fn unheard_above_and_below(&mut self, at: LinkId, link: &Link, frame: &Frame) {
        if frame.to != self.flow.dst || !self.carried.is_empty() {
            return;
        }
        let before = self.hops.len().checked_sub(2).and_then(|index| self.hops.get(index));
        let from_above = before.is_some_and(|hop| [MACVLANS, IPVLANS].concat().contains(&hop.kind.as_str()));
        let holder = if from_above {
            self.is_own_address(at.netns, frame.to).then(|| self.topology.netns(at.netns).name)
        } else {
            // Finding a link above looks through many namespaces: of macvlans the link itself says whether it has any.
            let macvlans = self.topology.also_taken(at).is_ok_and(|taken| !taken.is_empty());
            let kinds = if macvlans { [MACVLANS, IPVLANS].concat() } else { IPVLANS.to_vec() };
            let uppers = self.topology.uppers(at, &kinds).unwrap_or_default();
            let upper = uppers.into_iter().find(|(_, upper)| upper.holds(frame.to));
            upper.map(|(id, upper)| format!("{} of {}", upper.ifname, self.topology.netns(id.netns).name))
        };
        let Some(holder) = holder else { return };
        let message = format!("{} has {} and does not hear it: it goes out by {}", holder, frame.to, link.ifname);
        self.doubtful.get_or_insert(message.clone());
        let evidence = format!("a link and those on top of it share {} only towards the outside", link.ifname);
        let fix = "give the node a link of its own on top for this traffic, or go by a router outside";
        self.finding(Level::Critical, "lower-unheard", message, evidence, Some(fix.to_owned()));
    }

    /// A frame with a tag has come in: the link of that VLAN takes it before a bridge or bond can.
    pub(super) fn vlan_above(&mut self, at: LinkId, frame: &Frame) -> Result<Option<Next>, Next> {
        let Some(tag) = frame.tags.last().copied() else { return Ok(None) };
        let uppers = self.topology.uppers(at, &["vlan"]).map_err(|gap| self.unseen(gap))?;
        let wanted = KindData::Vlan { id: tag.vid, ad: tag.ad };
        let found = uppers.into_iter().find(|(_, link)| link.data.as_ref() == Some(&wanted));
        Ok(found.map(|(id, link)| Next::Arrive(id, Box::new(link), Box::new(frame.clone().untagged()), Step::Upper)))
    }

    /// A macvlan above the link takes a frame that the link itself is not meant by.
    pub(super) fn taken_above(&mut self, at: LinkId, frame: &Frame) -> Option<Next> {
        let taken = match self.topology.also_taken(at) {
            Ok(taken) => taken,
            Err(gap) => return Some(self.unseen(gap)),
        };
        if frame.lladdr.map_or(taken.is_empty(), |mac| !taken.contains(&mac)) {
            return None;
        }
        let uppers = match self.topology.uppers(at, &MACVLANS) {
            Ok(uppers) => uppers,
            Err(gap) => return Some(self.unseen(gap)),
        };
        let source = uppers.iter().any(|(_, l)| macvlan_mode(l) == "source");
        let (id, link) = self.meant(uppers.into_iter().filter(|(_, l)| l.up).collect(), frame)?;
        if source {
            let reason = format!("{} is in source mode: which senders it takes is not seen", link.ifname);
            return Some(self.stop(Action::Unknown, reason));
        }
        Some(Next::Arrive(id, Box::new(link), Box::new(frame.clone()), Step::Upper))
    }

    /// A macvlan in passthru mode takes all that comes in by the link, which has the same address.
    pub(super) fn passed_through(&mut self, at: LinkId, link: &Link, frame: &Frame) -> Option<Next> {
        if link.promiscuity == 0 {
            return None;
        }
        let uppers = self.topology.uppers(at, &MACVLANS).ok()?;
        let (id, upper) = uppers.into_iter().find(|(_, l)| macvlan_mode(l) == "passthru")?;
        Some(Next::Arrive(id, Box::new(upper), Box::new(frame.clone()), Step::Upper))
    }

    /// An ipvlan above the link takes what has one of its addresses; asked only where the namespace itself does not.
    pub(super) fn ipvlan_above(&mut self, at: LinkId, link: &Link) -> Option<Next> {
        // None of these can have another link on top that has addresses of its own.
        if matches!(link.kind.as_str(), "bridge" | "loopback" | "tun" | "ipvlan") {
            return None;
        }
        let uppers = self.topology.uppers(at, &IPVLANS).ok()?;
        let (id, upper) = uppers.into_iter().find(|(_, l)| l.up && l.holds(self.flow.dst))?;
        self.push(id, &upper, Step::Upper);
        match self.topology.route_in(id, &self.flow) {
            Ok(RouteAnswer::Route(_)) => Some(Next::Input(id, Box::new(upper))),
            Ok(RouteAnswer::Refused(_)) => None,
            Err(gap) => Some(self.unseen(gap)),
        }
    }

    /// The link below.
    fn lower(&mut self, at: LinkId, link: &Link) -> Result<(LinkId, Link), Next> {
        let far = match self.topology.far_end(at, link) {
            Ok(Some(far)) => far,
            Ok(None) => return Err(self.no_far_end(link)),
            Err(gap) => return Err(self.unseen(gap)),
        };
        match self.topology.link(far) {
            Ok(Some(lower)) => Ok((far, lower)),
            Ok(None) => Err(self.gone(far)),
            Err(gap) => Err(self.shut(far, Step::Lower, gap)),
        }
    }

    /// Nothing takes a frame with this tag.
    pub(super) fn tag_unknown(&mut self, link: &Link, tag: Tag) -> Next {
        let reason = format!("no link of VLAN {} is on {}", tag.vid, link.ifname);
        let (name, vlan) = (word(&link.ifname), format!("{}.{}", link.ifname, tag.vid));
        let fix = self.to_type(format!("ip link add link {name} name {} type vlan id {}", word(&vlan), tag.vid));
        self.finding(
            Level::Fatal,
            "vlan-absent",
            reason.clone(),
            format!("the frame has the tag {} and {} is no port of a bridge", tag.vid, link.ifname),
            Some(fix),
        );
        self.stop(Action::Dropped, reason)
    }
}

fn macvlan_mode(link: &Link) -> &str {
    match &link.data {
        Some(KindData::Macvlan { mode }) => mode,
        _ => "unknown",
    }
}
