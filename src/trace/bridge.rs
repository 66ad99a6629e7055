//! What a bridge does with a frame: up to its own namespace, out by a port, or nothing.

use super::frame::Frame;
use super::vlan::Vid;
use super::walk::{Next, Walk};
use crate::model::{Action, FdbEntry, Hook, IfIndex, Level, Link, LinkId, LlAddr, Segment, Step, word};

/// A segment shows this many of its ports; finding a holder may look at more.
const SHOWN: usize = 8;

/// Where a bridge sends a frame.
pub(super) enum Way {
    /// Up to its own namespace.
    Up,
    /// Up, where it is ignored: the forwarding entry of a port says that the address is the machine's own.
    Ignored(IfIndex, LlAddr),
    /// Out by a port.
    Port(IfIndex),
    /// Nowhere: nobody on the segment is meant. Names ports that the frame is not flooded to.
    Nobody(Vec<String>),
    /// That cannot be told.
    Unseen(String),
}

impl Walk<'_> {
    pub(super) fn bridge(&mut self, at: LinkId, bridge: Link, port: Option<Link>, frame: Frame) -> Next {
        if let Some(port) = &port
            && let Some(end) = self.port_closed(port)
        {
            return end;
        }
        self.show_segment(at, port.as_ref());
        let (vid, frame) = match self.vlan_in(at, &bridge, port.as_ref(), frame) {
            Ok(inside) => inside,
            Err(end) => return end,
        };
        if let Some(port) = &port
            && let Some(end) = self.locked_out(at, port, vid, &frame)
        {
            return end;
        }
        match port {
            Some(_) => self.note_bridge_chains(at, Some(&bridge), &[Hook::Prerouting]),
            None => self.note_bridge_chains(at, None, &[Hook::Output]),
        }
        match self.way(at, &bridge, port.as_ref(), vid, &frame) {
            Way::Up => self.up(at, bridge, vid, frame),
            Way::Ignored(index, mac) => self.ignored(Walk::beside(at, index), &bridge, mac, &frame),
            Way::Port(index) => self.out_by(Walk::beside(at, index), &bridge, port.as_ref(), vid, frame),
            Way::Nobody(unasked) => self.nobody_there(&bridge, vid, &frame, &unasked),
            Way::Unseen(why) => self.stop(Action::Unknown, why),
        }
    }

    fn nobody_there(&mut self, bridge: &Link, vid: Vid, frame: &Frame, unasked: &[String]) -> Next {
        // That the sender has the wrong address of the bridge is said already.
        if self.findings.last().is_some_and(|finding| finding.id == "neigh-wrong") {
            let reason =
                format!("nobody on {} has the address that the sender takes for that of {}", bridge.ifname, frame.to);
            return self.stop(Action::Dropped, reason);
        }
        let (within, ports) = match vid {
            Some(vid) => {
                (format!("in VLAN {vid} of {}", bridge.ifname), format!("port of {} in VLAN {vid}", bridge.ifname))
            }
            None => (format!("on {}", bridge.ifname), format!("port of {}", bridge.ifname)),
        };
        let reason = format!("nobody {within} has the address {}", frame.to);
        let mut evidence =
            format!("no other {ports} leads to a holder of {}, and none leads out of the machine", frame.to);
        let mut fix = vid.map(|vid| format!("if it is behind another port: bridge vlan add dev <port> vid {vid}"));
        if let Some(first) = unasked.first() {
            let sort = if frame.lladdr.is_some() { "flood" } else { "bcast_flood" };
            evidence = format!("{evidence}; {sort} is off, so nobody is asked, at {}", unasked.join(", "));
            fix = Some(self.to_type(format!("bridge link set dev {} {sort} on", word(first))));
        }
        self.finding(Level::Fatal, "next-hop-absent", reason.clone(), evidence, fix);
        self.stop(Action::Dropped, reason)
    }

    /// Up to the bridge's own namespace, or to a link on top of the bridge.
    fn up(&mut self, at: LinkId, bridge: Link, vid: Vid, frame: Frame) -> Next {
        let frame = match self.vlan_out(at, &bridge, &bridge, vid, frame) {
            Ok(frame) => frame,
            Err(end) => return end,
        };
        match self.vlan_above(at, &frame) {
            Ok(Some(next)) | Err(next) => return next,
            Ok(None) => {}
        }
        match frame.tags.last().copied() {
            Some(tag) => self.tag_unknown(&bridge, tag),
            None => {
                self.note_bridge_chains(at, None, &[Hook::Input]);
                self.note_device_chains(at, &bridge, Hook::Ingress);
                Next::Input(at, Box::new(bridge))
            }
        }
    }

    /// The port that the frame came in by does not let it in.
    fn port_closed(&mut self, port: &Link) -> Option<Next> {
        let state = port.port.as_ref().map(|p| p.state.clone()).filter(|s| s != "forwarding" && s != "unknown")?;
        let hop = self.hops.len().saturating_sub(2);
        self.finding_at(
            hop,
            Level::Fatal,
            "port-not-forwarding",
            format!("the bridge port {} is {state}", port.ifname),
            format!("its state is {state}, only forwarding lets packets through"),
            Some("spanning tree is on, or the port was disabled: see bridge -d link".to_owned()),
        );
        Some(self.stop(Action::Dropped, format!("the bridge port {} is {state}", port.ifname)))
    }

    /// The port lets in only senders that the bridge knows to be behind it, in the VLAN of the frame.
    fn locked_out(&mut self, at: LinkId, port: &Link, vid: Vid, frame: &Frame) -> Option<Next> {
        port.port.as_ref().filter(|p| p.locked)?;
        let sender = frame.from?;
        let entry = self.topology.fdb(at, sender, vid);
        if self.seen(entry).is_some_and(|entry| entry.ifindex == port.ifindex) {
            return None;
        }
        let reason = format!("the bridge port {} is locked, and {sender} is not known behind it", port.ifname);
        let vlan = vid.map_or(String::new(), |vid| format!(" vlan {vid}"));
        let fix = format!("bridge fdb add {sender} dev {} master static{vlan}", word(&port.ifname));
        let fix = Some(self.to_type(fix));
        let hop = self.hops.len().saturating_sub(2);
        self.finding_at(hop, Level::Fatal, "port-locked", reason.clone(), "locked is on at the port", fix);
        Some(self.stop(Action::Dropped, reason))
    }

    /// Names the other ports: who else is on the segment.
    fn show_segment(&mut self, at: LinkId, port: Option<&Link>) {
        // One more than is shown besides the port that the frame came by: that tells whether there are more.
        let Ok(ports) = self.topology.first_ports(at, SHOWN + 2) else { return };
        let others = ports.into_iter().filter(|(index, _)| port.is_none_or(|p| p.ifindex != *index));
        let mut names: Vec<String> = others.map(|(_, name)| name).collect();
        let more = names.len() > SHOWN;
        names.truncate(SHOWN);
        if let Some(hop) = self.hops.last_mut() {
            hop.segment = Some(Segment { ports: names, more });
        }
    }

    fn way(&mut self, at: LinkId, bridge: &Link, port: Option<&Link>, vid: Vid, frame: &Frame) -> Way {
        if let Some(mac) = frame.lladdr {
            if let Some(way) = self.by_fdb(at, bridge, port, mac, vid) {
                return way;
            }
            // Nobody has that address as far as is known, and the bridge itself has what is looked for.
            if let Some(own) = bridge.address.filter(|_| port.is_some() && bridge.holds(frame.to)) {
                let reason = self.neigh_wrong(&bridge.ifname, frame, mac, own);
                self.doubtful.get_or_insert(reason);
            }
        } else if port.is_some() && self.answers_for(at, bridge, frame.to) == Some(true) {
            self.may_be_unanswered(at, bridge, frame.to);
            self.resolved(frame, bridge);
            return Way::Up;
        } else if let Ok(Some(neigh)) = self.topology.neigh(at, frame.to)
            && let Some(mac) = neigh.lladdr.filter(|_| neigh.state.is_valid())
            && (port.is_none() || self.still_there(at, mac, vid, frame))
            && let Some(way) = self.by_fdb(at, bridge, port, mac, vid)
        {
            return way;
        }
        self.by_holder(at, bridge, port, vid, frame)
    }

    /// Where the forwarding database sends what is for a link-layer address; none: it knows nothing of it.
    pub(super) fn by_fdb(
        &mut self,
        at: LinkId,
        bridge: &Link,
        port: Option<&Link>,
        mac: LlAddr,
        vid: Vid,
    ) -> Option<Way> {
        if bridge.address == Some(mac) {
            if port.is_none() {
                let why = format!("{mac} is the address of {} itself, and of another device", bridge.ifname);
                return Some(Way::Unseen(why));
            }
            let entry =
                FdbEntry { mac, ifindex: bridge.ifindex, vlan: vid, state: "permanent".to_owned(), local: true };
            self.note_fdb(entry);
            return Some(Way::Up);
        }
        let entry = match self.topology.fdb(at, mac, vid) {
            Ok(entry) => entry?,
            Err(gap) => {
                self.gap(gap);
                return None;
            }
        };
        let way = match port {
            // The bridge hands it to its own namespace, which ignores what is for another address than that of the
            // bridge or of the device that it came in by.
            Some(port) if entry.local && port.address != Some(mac) => Way::Ignored(entry.ifindex, mac),
            _ if entry.local => Way::Up,
            _ => Way::Port(entry.ifindex),
        };
        self.note_fdb(entry);
        Some(way)
    }

    fn ignored(&mut self, port: LinkId, bridge: &Link, mac: LlAddr, frame: &Frame) -> Next {
        let link = match self.look(port) {
            Ok(link) => link,
            Err(end) => return end,
        };
        if let Some(own) = bridge.address.filter(|_| link.address == Some(mac)) {
            let reason = self.neigh_wrong(&bridge.ifname, frame, mac, own);
            return self.stop(Action::Dropped, reason);
        }
        let reason = format!("{} takes frames to {mac} for its own, and ignores them", bridge.ifname);
        let evidence = format!("the forwarding entry of {mac} at {} is local, and no device here has it", link.ifname);
        let fix = self.to_type(format!("bridge fdb del {mac} dev {} master", word(&link.ifname)));
        self.finding(Level::Fatal, "fdb-local", reason.clone(), evidence, Some(fix));
        self.stop(Action::Dropped, reason)
    }

    fn note_fdb(&mut self, entry: FdbEntry) {
        if let Some(hop) = self.hops.last_mut() {
            hop.fdb = Some(entry);
        }
    }

    fn out_by(&mut self, id: LinkId, bridge: &Link, port: Option<&Link>, vid: Vid, frame: Frame) -> Next {
        let link = match self.look(id) {
            Ok(link) => link,
            Err(end) => return end,
        };
        self.push(id, &link, Step::Fdb);
        self.name_master(bridge);
        let (from, to) = (port.and_then(|p| p.port.as_ref()), link.port.as_ref());
        if port.is_some_and(|p| p.ifindex == link.ifindex) && !from.is_some_and(|p| p.hairpin) {
            let reason = format!("{} is behind the port it came from, and hairpin is off there", frame.to);
            let fix = Some(self.to_type(format!("bridge link set dev {} hairpin on", word(&link.ifname))));
            self.finding(
                Level::Fatal,
                "hairpin-off",
                reason.clone(),
                format!("hairpin is off on {}", link.ifname),
                fix,
            );
            return self.stop(Action::Dropped, reason);
        }
        if from.is_some_and(|p| p.isolated) && to.is_some_and(|p| p.isolated) {
            let reason = format!("both ports of {} are isolated from each other", bridge.ifname);
            let fix = Some(self.to_type(format!("bridge link set dev {} isolated off", word(&link.ifname))));
            self.finding(Level::Fatal, "port-isolated", reason.clone(), "isolated is on at both ports", fix);
            return self.stop(Action::Dropped, reason);
        }
        // A port without carrier is disabled, too; sending by it tells why it has none.
        let dead = !link.up || matches!(link.operstate.as_str(), "DOWN" | "LOWERLAYERDOWN");
        if let Some(state) = to.map(|p| p.state.clone()).filter(|s| !dead && s != "forwarding" && s != "unknown") {
            let reason = format!("the bridge port {} is {state}", link.ifname);
            self.finding(Level::Fatal, "port-not-forwarding", reason.clone(), format!("its state is {state}"), None);
            return self.stop(Action::Dropped, reason);
        }
        let frame = match self.vlan_out(id, bridge, &link, vid, frame) {
            Ok(frame) => frame,
            Err(end) => return end,
        };
        match port {
            Some(_) => {
                self.note_bridge_chains(id, Some(bridge), &[Hook::Forward]);
                self.note_bridge_chains(id, Some(bridge), &[Hook::Postrouting]);
            }
            None => self.note_bridge_chains(id, None, &[Hook::Postrouting]),
        }
        Next::Transmit(id, Box::new(link), Box::new(frame))
    }
}
