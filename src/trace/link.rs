//! What sending by a link means, by its kind, and what taking a packet in by one means: the other end of a pair, the link
//! below, the way out of the machine, or a bridge above.

use std::net::IpAddr;

use super::frame::Frame;
use super::refused::setting;
use super::walk::{Next, Walk};
use crate::model::{Action, Flow, Gap, Hook, Hop, KindData, Level, Link, LinkId, LlAddr, RouteAnswer, Step, word};

impl Walk<'_> {
    pub(super) fn transmit(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        if !link.up {
            return self.down(&link);
        }
        if matches!(link.operstate.as_str(), "DOWN" | "LOWERLAYERDOWN") {
            return self.no_carrier(at, &link);
        }
        self.note_programs(at, &link, false);
        self.note_device_chains(at, &link, Hook::Egress);
        if let Some(hop) = self.hops.last_mut().filter(|hop| hop.ifindex == link.ifindex) {
            hop.tags = frame.tags.iter().rev().copied().collect();
        }
        match link.kind.as_str() {
            "netkit" => match self.netkit_refuses(at, &link) {
                Some(end) => end,
                None => self.send_over(at, &link, frame),
            },
            "veth" | "vxcan" => self.send_over(at, &link, frame),
            "vlan" => self.send_tagged(at, &link, frame),
            "macvlan" | "macvtap" => self.send_macvlan(at, &link, frame),
            "ipvlan" | "ipvtap" => self.send_ipvlan(at, &link, frame),
            "bridge" => Next::Bridge(at, Box::new(link), None, Box::new(frame)),
            "loopback" => self.stop(Action::Delivered, format!("it stays inside {}", self.here())),
            "device" => self.leave(at, &link, &frame),
            "bond" | "team" => self.send_by_port(at, &link, frame),
            "vrf" => self.routed_out(at.netns, Some(at.ifindex)),
            "vxlan" | "geneve" | "gre" | "gretap" | "erspan" | "ip6gre" | "ip6gretap" | "ip6erspan" | "ipip"
            | "sit" | "ip6tnl" | "vti" | "vti6" => self.encapsulate(at, &link, frame),
            "tun" => self.hand_to_process(at, &link),
            "ifb" => self.hand_to_ifb(&link),
            "wireguard" => self.hand_to_wireguard(&link),
            "openvswitch" => self.hand_to_switch(&link),
            other => {
                let reason =
                    format!("podnet does not follow links of kind {other}: where {} leads is not seen", link.ifname);
                self.stop(Action::Unknown, reason)
            }
        }
    }

    fn send_over(&mut self, at: LinkId, link: &Link, frame: Frame) -> Next {
        match self.topology.far_end(at, link) {
            Ok(Some(far)) => match self.topology.link(far) {
                Ok(Some(end)) => self.cross(at, link, far, end, frame),
                Ok(None) => self.gone(far),
                Err(gap) => self.shut(far, Step::Peer, gap),
            },
            Ok(None) => self.no_far_end(link),
            Err(gap) => self.unseen(gap),
        }
    }

    pub(super) fn no_far_end(&mut self, link: &Link) -> Next {
        self.gap(Gap::new(format!("other end of {}", link.ifname), self.here(), "the kernel names none"));
        self.stop(Action::Unknown, format!("the kernel names no other end of {}", link.ifname))
    }

    /// Over a pair. Both ends name each other, or the links changed between the two looks.
    fn cross(&mut self, at: LinkId, link: &Link, far: LinkId, end: Link, frame: Frame) -> Next {
        if end.is_pair() && end.link.is_none_or(|back| back == at.ifindex) {
            if at.netns != far.netns {
                self.mark_is_lost();
            }
            return Next::Arrive(far, Box::new(end), Box::new(frame), Step::Peer);
        }
        let why = format!("link {} there does not name {} as its other end", far.ifindex, link.ifname);
        self.gap(Gap::new(format!("other end of {}", link.ifname), self.here(), why));
        self.stop(
            Action::Unknown,
            format!("the links changed while podnet looked for the other end of {}", link.ifname),
        )
    }

    /// A mark is one of the namespace: the kernel takes it off where a packet goes to another one.
    fn mark_is_lost(&mut self) {
        let Some(mark) = self.flow.traffic.mark.take() else { return };
        let here = self.here();
        self.finding(
            Level::Info,
            "mark-lost",
            format!("the mark {mark:#x} ends with {here}: the next namespace sees the packet without it"),
            "the kernel clears marks of packets that go to another namespace",
            None,
        );
    }

    /// A packet has come in by a link that is up: the link of its VLAN takes it, its bridge or bond does, or its
    /// namespace, if it is meant.
    pub(super) fn take_in(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        self.note_programs(at, &link, true);
        self.note_device_chains(at, &link, Hook::Ingress);
        match self.vlan_above(at, &frame) {
            Ok(Some(next)) | Err(next) => return next,
            Ok(None) => {}
        }
        if matches!(link.kind.as_str(), "macvtap" | "ipvtap") {
            return self.hand_to_process(at, &link);
        }
        let Some(index) = link.master else {
            return match frame.tags.last().copied() {
                Some(tag) => self.tag_unknown(&link, tag),
                None => self.accept(at, link, frame),
            };
        };
        let above = Walk::beside(at, index);
        let master = match self.look(above) {
            Ok(master) => master,
            Err(end) => return end,
        };
        self.name_master(&master);
        self.take_in_by_master(at, link, above, master, frame)
    }

    fn take_in_by_master(&mut self, at: LinkId, link: Link, above: LinkId, master: Link, frame: Frame) -> Next {
        match master.kind.as_str() {
            "bridge" => {
                self.push(above, &master, Step::Master);
                if !master.up {
                    return self.down(&master);
                }
                Next::Bridge(above, Box::new(master), Some(Box::new(link)), Box::new(frame))
            }
            // The look-up with the port as arriving link goes to the VRF's table by itself.
            "vrf" => {
                let next = self.accept(at, link, frame);
                if matches!(next, Next::Input(..)) {
                    self.push(above, &master, Step::Master);
                }
                next
            }
            "bond" | "team" => self.take_in_by_port(above, master, &link, frame),
            _ if link.port_kind.as_deref() == Some("openvswitch") || master.kind == "openvswitch" => {
                self.push(above, &master, Step::Master);
                self.hand_to_switch(&link)
            }
            other => {
                self.push(above, &master, Step::Master);
                self.stop(
                    Action::Unknown,
                    format!(
                        "podnet does not follow masters of kind {other}: what {} decides is not seen",
                        master.ifname
                    ),
                )
            }
        }
    }

    /// A frame is taken in only by the holder of its address.
    fn accept(&mut self, at: LinkId, link: Link, frame: Frame) -> Next {
        // Without link-layer addresses whatever comes is meant.
        let bare = link.noarp
            && (link.address.is_none_or(|a| a.is_zero())
                || matches!(link.data, Some(KindData::Iptunnel(_) | KindData::Netkit { l2: false, .. })));
        if bare || link.kind.starts_with("ipvlan") {
            return Next::Input(at, Box::new(link));
        }
        if let Some(next) = self.passed_through(at, &link, &frame) {
            return next;
        }
        let known = frame.lladdr.zip(link.address.filter(|a| !a.is_zero()));
        match known {
            Some((wanted, own)) if wanted != own => {
                if let Some(end) = self.taken_above(at, &frame) {
                    return end;
                }
                let reason = self.neigh_wrong(&link.ifname, &frame, wanted, own);
                self.stop(Action::Dropped, reason)
            }
            Some(_) => Next::Input(at, Box::new(link)),
            // Nobody has resolved the address yet: whoever would be asked decides.
            None => match self.answers_for(at, &link, frame.to) {
                Some(false) => match self.taken_above(at, &frame) {
                    Some(next) => next,
                    None => self.nobody_answers(at, &link, &frame),
                },
                _ => {
                    self.may_be_unanswered(at, &link, frame.to);
                    Next::Input(at, Box::new(link))
                }
            },
        }
    }

    /// The frame is for somebody who does not have its address.
    pub(super) fn neigh_wrong(&mut self, ifname: &str, frame: &Frame, wanted: LlAddr, own: LlAddr) -> String {
        // Whoever sent it here has the entry.
        let knows = |hop: &&Hop| hop.neigh.as_ref().is_some_and(|neigh| neigh.lladdr == Some(wanted));
        let fix = self
            .hops
            .iter()
            .rfind(knows)
            .map(|hop| Self::to_type_at(hop, &format!("ip neigh del {} dev {}", frame.to, word(&hop.ifname))));
        self.finding(
            Level::Fatal,
            "neigh-wrong",
            format!("the sender takes {} for {wanted}, and {ifname} is {own}", frame.to),
            format!("the neighbour entry of {} has the address of another device", frame.to),
            fix,
        );
        format!("{ifname} ignores frames to {wanted}: its address is {own}")
    }

    fn nobody_answers(&mut self, at: LinkId, link: &Link, frame: &Frame) -> Next {
        let reason = format!("nobody answers for {} behind {}", frame.to, link.ifname);
        let (why, fix) = self.no_proxy(at, link, frame.to);
        let fix = fix.unwrap_or_else(|| "mend the gateway of the route, or give its address to that device".to_owned());
        let evidence = format!("{} is no address of {}, and {why}", frame.to, self.here());
        self.finding(Level::Fatal, "next-hop-absent", reason.clone(), evidence, Some(fix));
        self.stop(Action::Dropped, reason)
    }

    /// Why a namespace does not answer for an address of others that it is asked for on a link, and what it takes.
    fn no_proxy(&mut self, at: LinkId, link: &Link, ip: IpAddr) -> (String, Option<String>) {
        let name = &link.ifname;
        if ip.is_ipv6() {
            return (format!("no proxy entry for it is on {name}"), None);
        }
        if link.noarp {
            return (format!("{name} does not speak ARP"), None);
        }
        let flow = Flow { src: self.flow.src.filter(|src| src.is_ipv4()), ..Flow::to(ip) };
        match self.topology.route_in(at, &flow) {
            Ok(RouteAnswer::Route(route)) if route.oif != Some(at.ifindex) => {
                let fix =
                    self.to_type(format!("sysctl -w {}", word(&format!("{}=1", setting(link, "ipv4", "proxy_arp")))));
                (format!("proxy ARP is off on {name}"), Some(fix))
            }
            Ok(RouteAnswer::Route(_)) => {
                (format!("its own way to it is {name}: it answers for what is elsewhere"), None)
            }
            _ if link.conf.forwarding4 == Some(false) => {
                (format!("it answers for what it forwards alone: forwarding is off on {name}"), None)
            }
            _ => {
                let fix = format!("give {} a route to {ip} by another link, be it a default route", self.here());
                ("it has no route to that, and answers for what it could forward alone".to_owned(), Some(fix))
            }
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
        let mut evidence = format!("{} in {here} is up and its state is {}", link.ifname, link.operstate);
        if matches!(link.kind.as_str(), "bond" | "team") {
            evidence = format!("{evidence}; {}", self.port_states(at));
        }
        self.finding(
            Level::Fatal,
            "no-carrier",
            format!("{} has no carrier", link.ifname),
            evidence,
            (link.kind == "bridge").then(|| format!("{} needs a port that is up", link.ifname)),
        );
        self.stop(Action::Dropped, format!("{} has no carrier", link.ifname))
    }
}
