//! What sending by a link means, by its kind, and what taking a packet in by one means: the other end of a pair, the link
//! below, the way out of the machine, or a bridge above.

use super::walk::{Frame, Next, Walk};
use crate::model::{Action, Gap, Level, Link, LinkId, LlAddr, NeighState, Step};

impl Walk<'_> {
    pub(super) fn transmit(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        if !link.up {
            return self.down(&link);
        }
        if matches!(link.operstate.as_str(), "DOWN" | "LOWERLAYERDOWN") {
            return self.no_carrier(at, &link);
        }
        match link.kind.as_str() {
            "veth" | "netkit" | "vxcan" => self.send_over(at, &link, frame, Step::Peer),
            "vlan" | "macvlan" | "macvtap" | "ipvlan" | "ipvtap" => self.send_over(at, &link, frame, Step::Lower),
            "bridge" => Next::Bridge(at, Box::new(link), None, frame),
            "loopback" => self.stop(Action::Delivered, format!("it stays inside {}", self.here())),
            "device" | "bond" | "team" => self.leave(&link, frame),
            "tun" => {
                let reason = format!("{} hands it to the process that holds the tun device", link.ifname);
                self.stop(Action::Unknown, reason)
            }
            other => {
                let reason = format!(
                    "podnet does not follow links of kind {other} yet: where {} leads is not seen",
                    link.ifname
                );
                self.stop(Action::Unknown, reason)
            }
        }
    }

    /// The packet leaves the machine, unless nobody is there to take it.
    fn leave(&mut self, link: &Link, frame: Frame) -> Next {
        // The entry stands at the hop that sent the frame; a bridge may be in between.
        let neigh = self.hops.iter().rev().find(|h| h.route.is_some()).and_then(|h| h.neigh.as_ref());
        if neigh.is_some_and(|n| n.state == NeighState::Failed) {
            return self.stop(Action::Dropped, format!("{} does not answer on {}", frame.to, link.ifname));
        }
        self.stop(Action::LeavesNode, format!("by {} towards {}", link.ifname, frame.to))
    }

    fn send_over(&mut self, at: LinkId, link: &Link, frame: Frame, step: Step) -> Next {
        match self.topology.far_end(at, link) {
            Ok(Some(far)) => {
                let end = match self.topology.link(far) {
                    Ok(Some(end)) => end,
                    Ok(None) => return self.gone(far),
                    Err(gap) => return self.shut(far, step, gap),
                };
                if step == Step::Peer {
                    return self.cross(at, link, far, end, frame);
                }
                self.push(far, &end, step);
                self.below(link, far, end, frame)
            }
            Ok(None) => {
                self.gap(Gap::new(format!("other end of {}", link.ifname), self.here(), "the kernel names none"));
                self.stop(Action::Unknown, format!("the kernel names no other end of {}", link.ifname))
            }
            Err(gap) => self.unseen(gap),
        }
    }

    /// Out by the link below. Its bridge sees the frames that come in by it, not those that are sent out by it.
    fn below(&mut self, link: &Link, far: LinkId, end: Link, frame: Frame) -> Next {
        let out = matches!(end.kind.as_str(), "device" | "bond" | "team");
        if link.kind == "vlan" && !out {
            let reason = format!("tagged frames of {} are not followed beyond {} yet", link.ifname, end.ifname);
            return self.stop(Action::Unknown, reason);
        }
        // Links above the same one reach each other without ever leaving it.
        let beside = match link.kind.as_str() {
            "macvlan" | "macvtap" => match self.topology.also_taken(far) {
                Ok(taken) => taken.iter().any(|mac| frame.lladdr.map_or(Some(*mac) != link.address, |to| to == *mac)),
                Err(gap) => return self.unseen(gap),
            },
            // All of them have the address of the link below.
            "ipvlan" | "ipvtap" => frame.to == self.flow.dst,
            _ => false,
        };
        if beside {
            let reason = format!(
                "another {} above {} may have {}: which one is not looked for yet",
                link.kind, end.ifname, frame.to
            );
            return self.stop(Action::Unknown, reason);
        }
        Next::Transmit(far, Box::new(end), frame)
    }

    /// The other end is there, its index is known, and nothing else of it may be seen.
    fn shut(&mut self, far: LinkId, step: Step, gap: Gap) -> Next {
        let ifname = format!("if{}", far.ifindex);
        let link = Link { ifindex: far.ifindex, ifname, kind: "unknown".to_owned(), ..Link::default() };
        self.push(far, &Link { operstate: "UNKNOWN".to_owned(), ..link }, step);
        self.unseen(gap)
    }

    /// Over a pair. Both ends name each other, or the links changed between the two looks.
    fn cross(&mut self, at: LinkId, link: &Link, far: LinkId, end: Link, frame: Frame) -> Next {
        if end.is_pair() && end.link.is_none_or(|back| back == at.ifindex) {
            return Next::Arrive(far, Box::new(end), frame, Step::Peer);
        }
        let why = format!("link {} there does not name {} as its other end", far.ifindex, link.ifname);
        self.gap(Gap::new(format!("other end of {}", link.ifname), self.here(), why));
        self.stop(
            Action::Unknown,
            format!("the links changed while podnet looked for the other end of {}", link.ifname),
        )
    }

    /// A packet has come in by a link that is up: its bridge takes it, or its namespace does, if it is meant.
    pub(super) fn take_in(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        let Some(index) = link.master else {
            return self.accept(at, link, frame);
        };
        let above = Walk::beside(at, index);
        let master = match self.look(above) {
            Ok(master) => master,
            Err(end) => return end,
        };
        self.name_master(&master);
        match master.kind.as_str() {
            "bridge" => {
                self.push(above, &master, Step::Master);
                if !master.up {
                    return self.down(&master);
                }
                Next::Bridge(above, Box::new(master), Some(Box::new(link)), frame)
            }
            // The look-up with the port as arriving link goes to the VRF's table by itself.
            "vrf" => self.accept(at, link, frame),
            "bond" | "team" => Next::Arrive(above, Box::new(master), frame, Step::Master),
            other => {
                self.push(above, &master, Step::Master);
                self.stop(
                    Action::Unknown,
                    format!(
                        "podnet does not follow masters of kind {other} yet: what {} decides is not seen",
                        master.ifname
                    ),
                )
            }
        }
    }

    /// A frame is taken in only by the holder of its address.
    fn accept(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        let known = frame.lladdr.zip(link.address.filter(|a| !a.is_zero()));
        match known {
            Some((wanted, own)) if wanted != own => {
                if let Some(end) = self.taken_above(at, &link, Some(wanted)) {
                    return end;
                }
                self.finding(
                    Level::Fatal,
                    "neigh-wrong",
                    format!("the sender takes {} for {wanted}, and {} is {own}", frame.to, link.ifname),
                    format!("the neighbour entry of {} has the address of another device", frame.to),
                    Some(format!("delete the entry where the packet comes from: ip neigh del {} dev ...", frame.to)),
                );
                let reason = format!("{} ignores frames to {wanted}: its address is {own}", link.ifname);
                self.stop(Action::Dropped, reason)
            }
            Some(_) => Next::Input(at, Box::new(link)),
            // Nobody has resolved the address yet: whoever would be asked decides.
            None => match self.answers_for(at, &link, frame.to) {
                Some(false) => {
                    if let Some(end) = self.taken_above(at, &link, None) {
                        return end;
                    }
                    let reason = format!("nobody answers for {} behind {}", frame.to, link.ifname);
                    self.finding(
                        Level::Fatal,
                        "next-hop-absent",
                        reason.clone(),
                        format!(
                            "{} is no address of {}, and proxy ARP is off on {}",
                            frame.to,
                            self.here(),
                            link.ifname
                        ),
                        Some("mend the gateway of the route, or give its address to that device".to_owned()),
                    );
                    self.stop(Action::Dropped, reason)
                }
                _ => Next::Input(at, Box::new(link)),
            },
        }
    }

    /// A macvlan above the link takes the frame, or may: it can be in any namespace, and the link does not tell where.
    fn taken_above(&mut self, at: LinkId, link: &Link, wanted: Option<LlAddr>) -> Option<Next> {
        match self.topology.also_taken(at) {
            Ok(taken) if wanted.map_or(!taken.is_empty(), |mac| taken.contains(&mac)) => {
                let reason = format!("a link above {} takes it or may: which one is not looked for yet", link.ifname);
                Some(self.stop(Action::Unknown, reason))
            }
            Ok(_) => None,
            Err(gap) => Some(self.unseen(gap)),
        }
    }

    fn no_carrier(&mut self, at: LinkId, link: &Link) -> Next {
        let here = self.here();
        // The other end tells why: it is down, mostly.
        if link.is_pair()
            && let Ok(Some(far)) = self.topology.far_end(at, link)
            && let Ok(Some(peer)) = self.topology.link(far)
            && !peer.up
        {
            self.push(far, &peer, Step::Peer);
            return self.down(&peer);
        }
        self.finding(
            Level::Fatal,
            "no-carrier",
            format!("{} has no carrier", link.ifname),
            format!("{} in {here} is up and its state is {}", link.ifname, link.operstate),
            (link.kind == "bridge").then(|| format!("{} needs a port that is up", link.ifname)),
        );
        self.stop(Action::Dropped, format!("{} has no carrier", link.ifname))
    }
}
