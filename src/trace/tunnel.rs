//! Tunnels: which endpoint the outer packet goes to, the way of that packet in its own namespace, and the packet inside
//! coming out at the other end.

use std::net::IpAddr;

use super::frame::{Carried, Frame};
use super::walk::{Next, Walk};
use crate::model::{
    Action, Encap, Flow, IfIndex, Iptunnel, KindData, Level, Link, LinkId, LlAddr, NetnsId, Proto, Remote, Step,
    Traffic, word,
};

/// UDP port of GENEVE where none is set.
const GENEVE: u16 = 6081;
/// UDP port of VXLAN by its standard; Linux without a set one uses 8472 and says so.
const VXLAN: u16 = 4789;

/// What a device sends its outer packets with.
struct Outer {
    encap: Encap,
    /// Link that they must leave by.
    via: Option<IfIndex>,
    proto: Option<Proto>,
    /// Mark that they are routed with; none: which one is not known.
    mark: Option<u32>,
}

impl Walk<'_> {
    /// A tunnel puts another packet around this one and sends that.
    pub(super) fn encapsulate(&mut self, at: LinkId, link: &Link, frame: Frame) -> Next {
        let outer = match self.outer(at, link, &frame) {
            Ok(outer) => outer,
            Err(end) => return end,
        };
        let underlay = match self.topology.underlay(at, link) {
            Ok(underlay) => underlay,
            Err(gap) => return self.unseen(gap),
        };
        const MOST_AROUND: usize = 4;
        if self.carried.len() >= MOST_AROUND {
            let evidence = format!("{MOST_AROUND} tunnels are around the packet already");
            self.finding(Level::Fatal, "loop", "the tunnel's packets lead into tunnels again", evidence, None);
            return self.stop(Action::Dropped, "it goes from tunnel to tunnel without an end");
        }
        let Outer { encap, via, proto, mark } = outer;
        let dst = encap.remote;
        let traffic = Traffic { proto, dport: encap.port, mark, ..Traffic::default() };
        let own_mark = self.flow.traffic.mark;
        self.carried.push(Carried {
            flow: self.flow,
            frame,
            kind: link.kind.clone(),
            id: encap.id,
            port: encap.port,
            overhead: encap.overhead,
            sent_by: at.netns,
        });
        self.flow = Flow { src: encap.local, dst, traffic };
        if let Some(hop) = self.hops.last_mut() {
            hop.encap = Some(encap);
        }
        let next = self.routed_out(underlay, via);
        // Routed with whatever mark, it keeps its own, within the namespace.
        self.flow.traffic.mark = own_mark.filter(|_| underlay == at.netns);
        next
    }

    fn outer(&mut self, at: LinkId, link: &Link, frame: &Frame) -> Result<Outer, Next> {
        let inner = self.flow.traffic.mark;
        let external = || format!("{} takes the endpoint from the packet's route or a program", link.ifname);
        match &link.data {
            Some(
                KindData::Vxlan { external: true, .. }
                | KindData::Geneve { external: true, .. }
                | KindData::Iptunnel(Iptunnel { external: true, .. }),
            ) => Err(self.stop(Action::Unknown, format!("{}, which is not read", external()))),
            Some(KindData::Vxlan { id, local, port, lower, .. }) => {
                let (remote, by) = self.vxlan_remote(at, link, frame)?;
                let Some(dst) = remote.dst else {
                    return Err(
                        self.stop(Action::Unknown, format!("the endpoint that {} takes is not seen", link.ifname))
                    );
                };
                let encap = Encap {
                    remote: dst,
                    local: *local,
                    port: Some(remote.port.or(*port).unwrap_or(VXLAN)),
                    id: Some(remote.vni.unwrap_or(*id)),
                    overhead: ethernet_overhead(dst, 16),
                    by,
                };
                Ok(Outer { encap, via: remote.via.or(*lower), proto: Some(Proto::Udp), mark: inner })
            }
            Some(KindData::Geneve { id, remote, port, .. }) => {
                let Some(remote) = *remote else { return Err(self.no_remote(link)) };
                let encap = Encap {
                    remote,
                    local: None,
                    port: Some(port.unwrap_or(GENEVE)),
                    id: Some(*id),
                    overhead: ethernet_overhead(remote, 16),
                    by: "default".to_owned(),
                };
                Ok(Outer { encap, via: None, proto: Some(Proto::Udp), mark: inner })
            }
            Some(KindData::Iptunnel(Iptunnel {
                local, remote, lower, okey, fwmark, inner_fwmark, options, ..
            })) => {
                // Without a remote of its own it goes to the gateway of the packet's route, or to its destination.
                let (remote, by) = match remote {
                    Some(remote) => (*remote, "default"),
                    None if link.kind == "sit" && self.flow.dst.is_ipv6() => {
                        let Some(remote) = inside_address(self.flow.dst, frame.to) else {
                            let reason = format!("which endpoint {} takes for {} is not seen", link.ifname, frame.to);
                            return Err(self.stop(Action::Unknown, reason));
                        };
                        (remote, "gateway")
                    }
                    None => (frame.to, "gateway"),
                };
                let overhead = iptunnel_overhead(&link.kind, remote, okey.is_some()) + options;
                let encap = Encap { remote, local: *local, port: None, id: *okey, overhead, by: by.to_owned() };
                let mark = match link.kind.as_str() {
                    // That of the transformation around it, which is not read.
                    "vti" | "vti6" => None,
                    _ if *inner_fwmark => inner,
                    _ => Some(*fwmark),
                };
                Ok(Outer { encap, via: *lower, proto: None, mark })
            }
            _ => Err(self.stop(Action::Unknown, format!("where {} leads is not seen", link.ifname))),
        }
    }

    /// The endpoint that a vxlan device has for the address that the frame goes to.
    fn vxlan_remote(&mut self, at: LinkId, link: &Link, frame: &Frame) -> Result<(Remote, String), Next> {
        let zero = LlAddr::mac([0; 6]);
        if let Some(mac) = frame.lladdr {
            let entries = self.topology.remotes(at, mac).map_err(|gap| self.unseen(gap))?;
            if let Some(remote) = entries.into_iter().next() {
                return Ok((remote, "fdb".to_owned()));
            }
        }
        let defaults = self.topology.remotes(at, zero).map_err(|gap| self.unseen(gap))?;
        match defaults.as_slice() {
            [] => Err(self.no_endpoint(link, frame)),
            [one] if one.dst.is_some_and(|ip| ip.is_multicast()) => {
                let reason = format!("{} sends it to the group {:?}", link.ifname, one.dst);
                Err(self.stop(Action::Unknown, format!("{reason}: who is in it is not seen")))
            }
            [one] => Ok((one.clone(), "default".to_owned())),
            several => {
                let ends: Vec<String> = several.iter().filter_map(|r| r.dst).map(|ip| ip.to_string()).collect();
                let to = frame.lladdr.map_or(frame.to.to_string(), |mac| mac.to_string());
                let reason = format!("{} knows no endpoint for {to} yet and sends it to all: ", link.ifname);
                Err(self.stop(Action::Unknown, reason + &ends.join(", ")))
            }
        }
    }

    fn no_endpoint(&mut self, link: &Link, frame: &Frame) -> Next {
        let to = frame.lladdr.map_or(frame.to.to_string(), |mac| mac.to_string());
        let reason = format!("{} has no endpoint for {to}", link.ifname);
        let evidence = match frame.lladdr {
            Some(_) => "its forwarding database has no entry for that address and none for all others".to_owned(),
            None => format!("nobody can be asked for {to}: the forwarding database has no entry for all addresses"),
        };
        let dev = word(&link.ifname);
        let sets = match frame.lladdr {
            Some(mac) => format!("bridge fdb append {mac} dev {dev} dst <node>"),
            None => {
                format!("ip neigh add {to} lladdr <mac> dev {dev} and bridge fdb append <mac> dev {dev} dst <node>")
            }
        };
        let fix = Some(format!("restart the network plug-in's agent: it sets {sets}"));
        self.finding(Level::Fatal, "tunnel-endpoint-absent", reason.clone(), evidence, fix);
        self.stop(Action::Dropped, reason)
    }

    fn no_remote(&mut self, link: &Link) -> Next {
        self.stop(Action::Unknown, format!("{} names no endpoint", link.ifname))
    }

    /// The outer packet has reached the namespace that takes it: the packet inside comes out of the tunnel's other end.
    pub(super) fn decapsulate(&mut self, netns: NetnsId) -> Next {
        let Some(carried) = self.carried.pop() else {
            return self.stop(Action::Unknown, "no tunnel's packet");
        };
        let (outer, here) = (self.flow, self.topology.netns(netns).name);
        let ends = match self.topology.tunnels(netns, &carried.kind, carried.id) {
            Ok(ends) => ends,
            Err(gap) => return self.unseen(gap),
        };
        let all: Vec<String> = ends.iter().map(|(_, link)| described(link)).collect();
        let mut ends: Vec<_> = ends.into_iter().filter(|(_, link)| takes(link, &outer, &carried)).collect();
        // The most particular one: with both addresses, with the remote's, with the own one, with none.
        ends.sort_by_key(|(_, link)| match &link.data {
            Some(KindData::Iptunnel(Iptunnel { local, remote, .. })) => {
                2 * u8::from(remote.is_none()) + u8::from(local.is_none())
            }
            _ => 0,
        });
        let Some((at, link)) = ends.into_iter().next() else {
            let id = carried.id.map_or(String::new(), |id| format!(" with the number {id}"));
            let port = carried.port.map_or(String::new(), |port| format!(" and port {port}"));
            let reason =
                format!("{here} has no {} link{id}{port} for packets from {:?}", carried.kind, Shown(outer.src));
            let all = match (all.is_empty(), carried.id) {
                (true, Some(_)) => self.of_other_numbers(netns, &carried.kind),
                _ => all,
            };
            let evidence = match all.as_slice() {
                [] => format!("it has no {} link at all", carried.kind),
                all => format!("its {} links take others: {}", carried.kind, all.join(", ")),
            };
            self.finding(Level::Fatal, "tunnel-end-absent", reason.clone(), evidence, None);
            return self.stop(Action::Dropped, reason);
        };
        self.flow = carried.flow;
        if carried.sent_by != at.netns {
            self.flow.traffic.mark = None;
        }
        Next::Arrive(at, Box::new(link), Box::new(carried.frame), Step::Tunnel)
    }

    /// Links of a kind whatever network they are of.
    fn of_other_numbers(&mut self, netns: NetnsId, kind: &str) -> Vec<String> {
        let ends = self.topology.tunnels(netns, kind, None).unwrap_or_default();
        ends.iter().map(|(_, link)| described(link)).collect()
    }
}

/// What a tunnel's link takes in.
fn described(link: &Link) -> String {
    let mut takes = Vec::new();
    if !link.up {
        takes.push("down".to_owned());
    }
    let (id, remote, port) = match &link.data {
        Some(KindData::Vxlan { id, port, .. }) => (Some(*id), None, *port),
        Some(KindData::Geneve { id, remote, port, .. }) => (Some(*id), *remote, *port),
        Some(KindData::Iptunnel(Iptunnel { remote, ikey, .. })) => (*ikey, *remote, None),
        _ => (None, None, None),
    };
    takes.extend(id.map(|id| format!("number {id}")));
    takes.extend(remote.map(|ip| format!("from {ip}")));
    takes.extend(port.map(|port| format!("port {port}")));
    format!("{} ({})", link.ifname, if takes.is_empty() { "anything".to_owned() } else { takes.join(", ") })
}

/// The link takes packets like the outer one.
fn takes(link: &Link, outer: &Flow, carried: &Carried) -> bool {
    let fits = |own: &Option<IpAddr>, theirs: Option<IpAddr>| own.is_none() || theirs.is_none() || *own == theirs;
    link.up
        && match &link.data {
            Some(KindData::Vxlan { id, port, external, .. }) => {
                (*external || Some(*id) == carried.id) && port.unwrap_or(VXLAN) == carried.port.unwrap_or(VXLAN)
            }
            Some(KindData::Geneve { id, remote, port, external }) => {
                (*external || Some(*id) == carried.id && fits(remote, outer.src))
                    && port.unwrap_or(GENEVE) == carried.port.unwrap_or(GENEVE)
            }
            Some(KindData::Iptunnel(Iptunnel { local, remote, ikey, external, .. })) => {
                *external || fits(local, Some(outer.dst)) && fits(remote, outer.src) && *ikey == carried.id
            }
            _ => false,
        }
}

/// Bytes around an Ethernet frame inside UDP: the outer IP header, UDP and the tunnel's own, and the inner Ethernet one.
fn ethernet_overhead(remote: IpAddr, udp_and_own: u32) -> u32 {
    ip_header(remote) + udp_and_own + 14
}

fn iptunnel_overhead(kind: &str, remote: IpAddr, key: bool) -> u32 {
    let own = match kind {
        "gre" | "ip6gre" => 4,
        "gretap" | "ip6gretap" => 4 + 14,
        // With the header of ERSPAN version 1 in place of a key.
        "erspan" | "ip6erspan" => 8 + 8 + 14,
        _ => 0,
    };
    ip_header(remote) + own + if key { 4 } else { 0 }
}

/// The IPv4 address that a sit tunnel without a remote takes: that in a 6to4 destination, else in an IPv4-compatible
/// gateway or destination.
fn inside_address(dst: IpAddr, to: IpAddr) -> Option<IpAddr> {
    let (IpAddr::V6(dst), IpAddr::V6(to)) = (dst, to) else { return None };
    match (dst.octets(), to.octets()) {
        ([0x20, 0x02, a, b, c, d, ..], _) => Some([a, b, c, d].into()),
        (_, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]) if u32::from_be_bytes([a, b, c, d]) > 1 => {
            Some([a, b, c, d].into())
        }
        _ => None,
    }
}

fn ip_header(remote: IpAddr) -> u32 {
    if remote.is_ipv4() { 20 } else { 40 }
}

/// An address that may not be known.
struct Shown(Option<IpAddr>);

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(ip) => write!(f, "{ip}"),
            None => f.write_str("anybody"),
        }
    }
}
