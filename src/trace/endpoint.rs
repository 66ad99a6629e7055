//! Links at which a packet goes to something that podnet cannot look into: a process, a switch of its own, an encryption;
//! and what netkit and ifb do before anything else.

use super::frame::Frame;
use super::walk::{Next, Walk};
use crate::model::{Action, HeldBy, KindData, Level, Link, LinkId, NeighState, Step};

impl Walk<'_> {
    /// The packet comes in at another machine, where that one is known.
    pub(super) fn over_the_wire(&mut self, at: LinkId, frame: &Frame) -> Option<Next> {
        let far = match self.topology.beyond(at, frame.to, frame.lladdr) {
            Ok(far) => far?,
            Err(gap) => {
                self.gap(gap);
                return None;
            }
        };
        let link = self.topology.link(far).ok().flatten()?;
        Some(Next::Arrive(far, Box::new(link), Box::new(frame.clone()), Step::Wire))
    }

    /// The packet leaves the machine, unless nobody is there to take it.
    pub(super) fn leave(&mut self, at: LinkId, link: &Link, frame: &Frame) -> Next {
        // The entry stands at the hop that sent the frame; a bridge may be in between.
        let neigh = self.hops.iter().rev().find(|h| h.route.is_some()).and_then(|h| h.neigh.as_ref());
        if neigh.is_some_and(|n| n.state == NeighState::Failed) {
            return self.stop(Action::Dropped, format!("{} does not answer on {}", frame.to, link.ifname));
        }
        if let Some(next) = self.over_the_wire(at, frame) {
            return next;
        }
        self.unheard_above_and_below(at, link, frame);
        let inside = match self.carried.last() {
            Some(carried) => format!(" in a {} packet", carried.kind),
            None => String::new(),
        };
        self.stop(Action::LeavesNode, format!("by {} towards {}{inside}", link.ifname, frame.to))
    }

    /// A process holds the other side of the device and reads the packet.
    pub(super) fn hand_to_process(&mut self, at: LinkId, link: &Link) -> Next {
        let held = match self.topology.held_by(at, link) {
            Ok(held) => held,
            Err(gap) => {
                self.gap(gap);
                Vec::new()
            }
        };
        let reason = match held.as_slice() {
            [] => format!("{} hands it to the process that holds the device, which is not seen", link.ifname),
            [one] => format!("{} hands it to {}: what that does with it is not seen", link.ifname, named(one)),
            several => {
                let names: Vec<String> = several.iter().map(named).collect();
                format!("{} hands it to one of {}: what that does with it is not seen", link.ifname, names.join(", "))
            }
        };
        if let Some(hop) = self.hops.last_mut() {
            hop.held_by = held;
        }
        self.stop(Action::Unknown, reason)
    }

    pub(super) fn hand_to_switch(&mut self, link: &Link) -> Next {
        let reason = format!(
            "Open vSwitch decides what becomes of it behind {}: its flows are not read (ovs-appctl ofproto/trace tells)",
            link.ifname
        );
        self.stop(Action::Unknown, reason)
    }

    pub(super) fn hand_to_wireguard(&mut self, link: &Link) -> Next {
        let reason = format!(
            "{0} encrypts it for the peer that has {1} among its allowed IPs: which one that is, and where, is not read \
             (wg show {0} tells)",
            link.ifname, self.flow.dst
        );
        self.stop(Action::Unknown, reason)
    }

    /// Only what tc has redirected to it goes through an ifb; the rest it drops.
    pub(super) fn hand_to_ifb(&mut self, link: &Link) -> Next {
        let reason = format!("{} drops what was not redirected to it by tc", link.ifname);
        let evidence = format!("a route leads out by {}, which is of the kind ifb", link.ifname);
        let fix = Some("mend the route: an ifb leads nowhere".to_owned());
        self.finding(Level::Fatal, "ifb-not-redirected", reason.clone(), evidence, fix);
        self.stop(Action::Dropped, reason)
    }

    /// Without a program the policy of the end that sends decides. The programs of both ends are known at the first one.
    pub(super) fn netkit_refuses(&mut self, at: LinkId, link: &Link) -> Option<Next> {
        let Some(KindData::Netkit { policy, .. }) = &link.data else { return None };
        if policy != "blackhole" || self.has_program(|p| p.kind == "netkit") {
            return None;
        }
        if let Ok(Some(far)) = self.topology.far_end(at, link)
            && let Ok(Some(end)) = self.topology.link(far)
        {
            match self.topology.programs(far, &end) {
                Ok(programs) if programs.iter().any(|p| p.kind == "netkit" && p.ingress) => return None,
                Ok(_) => {}
                Err(gap) => return Some(self.unseen(gap)),
            }
        }
        let reason = format!("{} drops what no program lets pass", link.ifname);
        let evidence = format!("the policy of {} is {policy}, and no program is seen at it", link.ifname);
        let fix = Some("attach the program again: restart the network plug-in's agent".to_owned());
        self.finding(Level::Fatal, "netkit-blackhole", reason.clone(), evidence, fix);
        Some(self.stop(Action::Dropped, reason))
    }

    /// The other end is there, its index is known, and nothing else of it may be seen.
    pub(super) fn shut(&mut self, far: LinkId, step: Step, gap: crate::model::Gap) -> Next {
        let ifname = format!("if{}", far.ifindex);
        let link = Link { ifindex: far.ifindex, ifname, kind: "unknown".to_owned(), ..Link::default() };
        self.push(far, &Link { operstate: "UNKNOWN".to_owned(), ..link }, step);
        self.unseen(gap)
    }
}

fn named(held: &HeldBy) -> String {
    let doubt = if held.sure { "" } else { ", going by the device's name" };
    format!("{} (pid {}{doubt})", held.comm, held.pid)
}
