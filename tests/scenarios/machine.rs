//! Recordings of machines that this kernel cannot be, made link by link: what the kernel does by itself when a link, an
//! address or a port is added (routes of addresses, entries of ports, numbers of namespaces) is done here as it does it.

use std::net::IpAddr;

use ipnet::IpNet;
use podnet::model::{
    BridgePort, Holder, HolderType, IfIndex, KindData, Link, LinkAddr, LlAddr, NeighState, Nsid, Owner, Pid, PortVlan,
    Program, RecordedConf, RecordedFacts, RecordedFdb, RecordedLink, RecordedNeigh, RecordedNetns, RecordedPeer,
    RecordedPrograms, RecordedRoute, RecordedRule, RecordedVlans, RouteType, Snapshot, TableId,
};

const INET: [&str; 11] = [
    "forwarding",
    "proxy_arp",
    "send_redirects",
    "rp_filter",
    "arp_ignore",
    "accept_local",
    "src_valid_mark",
    "proxy_arp_pvlan",
    "route_localnet",
    "ignore_routes_with_linkdown",
    "bc_forwarding",
];
const INET6: [&str; 7] = [
    "forwarding",
    "use_tempaddr",
    "proxy_ndp",
    "disable_ipv6",
    "use_oif_addrs_only",
    "ignore_routes_with_linkdown",
    "force_forwarding",
];

/// Place of a namespace in a machine.
pub type Space = usize;

/// A link of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At(pub Space, pub IfIndex);

/// A machine under construction; the host's namespace is the first.
pub struct Machine {
    number: u8,
    snapshot: Snapshot,
}

pub const HOST: Space = 0;

impl Machine {
    pub fn new(hostname: &str, number: u8) -> Machine {
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        let snapshot = Snapshot {
            schema: Snapshot::SCHEMA,
            kind: Snapshot::KIND.to_owned(),
            podnet: "0.1.0".to_owned(),
            hostname: hostname.to_owned(),
            kernel: "6.12.0".to_owned(),
            boot_id: "00000000-0000-0000-0000-000000000000".to_owned(),
            taken_at: 1_767_225_600,
            own: HOST,
            host: Some(HOST),
            conf: RecordedConf { inet: names(&INET), inet6: names(&INET6) },
            namespaces: Vec::new(),
            gaps: Vec::new(),
        };
        let mut machine = Machine { number, snapshot };
        machine.space("host");
        machine
    }

    /// A namespace with its loopback device; the first one forwards.
    pub fn space(&mut self, name: &str) -> Space {
        let at = self.snapshot.namespaces.len();
        let holder = match at {
            HOST => (HolderType::Process, Some("systemd".to_owned()), "/proc/1/ns/net".to_owned()),
            _ => (HolderType::Mount, None, format!("/run/netns/{name}")),
        };
        let owner = Owner {
            runtime: "netns".to_owned(),
            name: name.to_owned(),
            pod: None,
            containers: Vec::new(),
            user: None,
            within: None,
        };
        let rule = |priority, table| RecordedRule { priority, table, ..RecordedRule::default() };
        let (local, main) = (rule(0, TableId::LOCAL), rule(32766, TableId::MAIN));
        let facts = RecordedFacts {
            ports: Some(Vec::new()),
            routes: Some(Vec::new()),
            rules: Some(vec![local.clone(), main.clone(), rule(32767, TableId(253))]),
            rules6: Some(vec![local, main]),
            neighbours: Some(Vec::new()),
            proxies: Some(Vec::new()),
            fdb: Some(Vec::new()),
            chains: Some(Vec::new()),
            programs: Some(Vec::new()),
            sysctls: sysctls(at == HOST),
            ..RecordedFacts::default()
        };
        self.snapshot.namespaces.push(RecordedNetns {
            netns: Some(4_026_531_840 + 1000 * u64::from(self.number) + at as u64),
            nsid: None,
            name: name.to_owned(),
            owner: (at != HOST).then_some(owner),
            tenants: Vec::new(),
            pid: (at == HOST).then_some(Pid(1)),
            holders: vec![Holder { holder: holder.0, pid: Pid(1), comm: holder.1, path: Some(holder.2) }],
            nsids: Default::default(),
            links: Vec::new(),
            facts: Some(Box::new(facts)),
            closed: None,
            gaps: Vec::new(),
        });
        let lo = self.link(at, "lo", "loopback", None);
        let link = self.of(lo);
        (link.address, link.mtu, link.operstate) = (Some(LlAddr::mac([0; 6])), Some(65536), "UNKNOWN".to_owned());
        self.addr(lo, "127.0.0.1/8");
        at
    }

    /// A link that is up, with the next free index and an address made of it.
    pub fn link(&mut self, space: Space, ifname: &str, kind: &str, data: Option<KindData>) -> At {
        let links = &mut self.snapshot.namespaces[space].links;
        let ifindex = IfIndex(links.len() as u32 + 1);
        let mut link = Link {
            ifindex,
            ifname: ifname.to_owned(),
            kind: kind.to_owned(),
            address: Some(LlAddr::mac([2, 0, 0, self.number, space as u8, ifindex.0 as u8])),
            mtu: Some(1500),
            up: true,
            operstate: "UP".to_owned(),
            carrier: Some(true),
            data,
            driver: (kind == "device").then(|| "virtio_net".to_owned()),
            ..Link::default()
        };
        let forwards = i64::from(space == HOST);
        link.conf.forwarding4 = Some(forwards != 0);
        link.conf.forwarding6 = Some(forwards != 0);
        (link.conf.proxy_arp, link.conf.rp_filter) = (Some(false), Some(0));
        let mut inet = vec![0; INET.len()];
        (inet[0], inet[2]) = (forwards, 1);
        let mut inet6 = vec![0; INET6.len()];
        inet6[0] = forwards;
        links.push(RecordedLink { link, inet, inet6, peer: None });
        At(space, ifindex)
    }

    pub fn of(&mut self, at: At) -> &mut Link {
        &mut self.snapshot.namespaces[at.0].links[at.1.0 as usize - 1].link
    }

    pub fn facts(&mut self, space: Space) -> &mut RecordedFacts {
        self.snapshot.namespaces[space].facts.as_mut().unwrap()
    }

    /// The number that a namespace has for another one.
    fn nsid(&mut self, of: Space, in_space: Space) -> Option<Nsid> {
        if of == in_space {
            return None;
        }
        let nsids = &mut self.snapshot.namespaces[in_space].nsids;
        let known = nsids.iter().find(|(_, at)| **at == of).map(|(nsid, _)| *nsid);
        let nsid = known.unwrap_or(Nsid(nsids.len() as i32));
        nsids.insert(nsid, of);
        if in_space == HOST {
            self.snapshot.namespaces[of].nsid = Some(nsid);
        }
        Some(nsid)
    }

    /// A link's other end, or the link below it.
    pub fn below(&mut self, upper: At, lower: At) {
        let nsid = self.nsid(lower.0, upper.0);
        let link = &mut self.snapshot.namespaces[upper.0].links[upper.1.0 as usize - 1];
        (link.link.link, link.link.link_netnsid) = (Some(lower.1), nsid);
        link.peer = Some(RecordedPeer { at: Some(lower.0), nsid, ifindex: lower.1 });
    }

    /// Two ends of a pair.
    pub fn pair(&mut self, one: (Space, &str), other: (Space, &str), kind: &str) -> (At, At) {
        let (a, b) = (self.link(one.0, one.1, kind, None), self.link(other.0, other.1, kind, None));
        self.below(a, b);
        self.below(b, a);
        (a, b)
    }

    pub fn vlan(&mut self, space: Space, ifname: &str, on: At, id: u16, ad: bool) -> At {
        let vlan = self.link(space, ifname, "vlan", Some(KindData::Vlan { id, ad }));
        self.below(vlan, on);
        self.of(vlan).address = self.of(on).address;
        vlan
    }

    /// A port of a bond, team, VRF or Open vSwitch.
    pub fn port(&mut self, port: At, master: At, kind: &str) {
        let link = self.of(port);
        (link.master, link.port_kind) = (Some(master.1), Some(kind.to_owned()));
    }

    pub fn bridge(&mut self, space: Space, ifname: &str, vlan_filtering: bool, ports: &[At]) -> At {
        let (stp, ad, nf_call_iptables, nf_call_ip6tables) = (false, false, false, false);
        let data = KindData::Bridge { stp, vlan_filtering, ad, nf_call_iptables, nf_call_ip6tables };
        let bridge = self.link(space, ifname, "bridge", Some(data));
        // It takes the least address of its ports for its own.
        self.of(bridge).address =
            ports.iter().filter_map(|port| self.of(*port).address).min_by_key(|mac| mac.bytes().to_vec());
        for port in ports {
            self.port(*port, bridge, "bridge");
            let link = self.of(*port);
            let state = "forwarding".to_owned();
            link.port =
                Some(BridgePort { state, learning: true, flood: true, bcast_flood: true, ..BridgePort::default() });
            link.promiscuity = 1;
            let mac = link.address.unwrap();
            let facts = self.facts(space);
            facts.ports.as_mut().unwrap().push(port.1);
            let entry = fdb(*port, mac, "permanent");
            facts.fdb.as_mut().unwrap().push(RecordedFdb { master: Some(bridge.1), ..entry });
        }
        bridge
    }

    /// VLANs of a port, or of a bridge itself: number, `pvid`, `untagged`.
    pub fn vlans(&mut self, port: At, vlans: &[(u16, bool, bool)]) {
        let of = |(vid, pvid, untagged): &(u16, bool, bool)| PortVlan {
            vid: *vid,
            last: *vid,
            pvid: *pvid,
            untagged: *untagged,
        };
        let vlans = RecordedVlans { ifindex: port.1, vlans: vlans.iter().map(of).collect() };
        self.facts(port.0).vlans.get_or_insert_default().push(vlans);
    }

    /// A bridge has learned where an address is.
    pub fn learned(&mut self, bridge: At, port: At, mac: LlAddr, vlan: Option<u16>) {
        let entry = RecordedFdb { vlan, master: Some(bridge.1), ..fdb(port, mac, "") };
        self.facts(bridge.0).fdb.as_mut().unwrap().push(entry);
    }

    /// An address with the routes that it brings.
    pub fn addr(&mut self, at: At, text: &str) {
        let net: IpNet = text.parse().unwrap();
        let (ip, prefix_len) = (net.addr(), net.prefix_len());
        let scope = if ip.is_loopback() { 254 } else { 0 };
        self.of(at).addrs.push(LinkAddr { scope, flags: 0x80, ..LinkAddr::new(ip, prefix_len, false) });
        let master = self.of(at).master;
        let domain = master.and_then(|master| match self.of(At(at.0, master)).data {
            Some(KindData::Vrf { table }) => Some(TableId(table)),
            _ => None,
        });
        let v4 = ip.is_ipv4();
        let of = |dst: IpNet, kind, scope| RecordedRoute {
            kind,
            scope: if v4 { scope } else { 0 },
            metric: if v4 || kind == RouteType::Local { 0 } else { 256 },
            table: domain.unwrap_or(if kind == RouteType::Unicast { TableId::MAIN } else { TableId::LOCAL }),
            prefsrc: v4.then_some(ip),
            oif: Some(at.1),
            ..route(dst)
        };
        let mut routes = vec![of(ip.into(), RouteType::Local, 254)];
        if net.max_prefix_len() != prefix_len {
            let kind = if ip.is_loopback() { RouteType::Local } else { RouteType::Unicast };
            routes.push(of(net.trunc(), kind, if ip.is_loopback() { 254 } else { 253 }));
        }
        if v4 && prefix_len < 31 {
            routes.push(of(net.broadcast().into(), RouteType::Broadcast, 253));
        }
        self.facts(at.0).routes.as_mut().unwrap().extend(routes);
    }

    /// A route in the words of `ip route add`.
    pub fn route(&mut self, space: Space, text: &str) {
        let mut words = text.split_whitespace();
        let dst = words.next().unwrap();
        let dst = match dst {
            "default" => "0.0.0.0/0".parse().unwrap(),
            _ => dst.parse().unwrap_or_else(|_| IpNet::from(dst.parse::<IpAddr>().unwrap())),
        };
        let mut route = RecordedRoute { protocol: "boot".to_owned(), table: TableId::MAIN, ..route(dst) };
        let ipv6 = dst.addr().is_ipv6();
        while let Some(word) = words.next() {
            if word == "onlink" {
                route.flags |= RecordedRoute::ONLINK;
                continue;
            }
            let value = words.next().unwrap();
            match word {
                "via" => route.gateway = Some(value.parse().unwrap()),
                "dev" => route.oif = Some(self.named(space, value).1),
                "table" => route.table = TableId(value.parse().unwrap()),
                "src" => route.prefsrc = Some(value.parse().unwrap()),
                "proto" => route.protocol = value.to_owned(),
                _ => panic!("{word}"),
            }
        }
        match (ipv6, route.gateway) {
            (true, _) => route.metric = 1024,
            (false, None) => route.scope = 253,
            _ => {}
        }
        self.facts(space).routes.as_mut().unwrap().push(route);
    }

    pub fn named(&mut self, space: Space, ifname: &str) -> At {
        let links = &self.snapshot.namespaces[space].links;
        At(space, links.iter().find(|l| l.link.ifname == ifname).unwrap().link.ifindex)
    }

    /// A neighbour that has answered.
    pub fn neigh(&mut self, at: At, ip: &str, lladdr: LlAddr) {
        let state = NeighState::Reachable;
        let neigh = RecordedNeigh { ifindex: at.1, dst: ip.parse().unwrap(), lladdr: Some(lladdr), state };
        self.facts(at.0).neighbours.as_mut().unwrap().push(neigh);
    }

    /// The link answers for others' addresses.
    pub fn proxy_arp(&mut self, at: At) {
        let link = &mut self.snapshot.namespaces[at.0].links[at.1.0 as usize - 1];
        link.inet[1] = 1;
        link.link.conf.proxy_arp = Some(true);
    }

    /// A program at a link.
    pub fn program(&mut self, at: At, kind: &str, ingress: bool, name: &str, id: u32) {
        let program = Program { kind: kind.to_owned(), ingress, name: Some(name.to_owned()), id: Some(id) };
        let recorded = RecordedPrograms { ifindex: at.1, programs: vec![program] };
        self.facts(at.0).programs.as_mut().unwrap().push(recorded);
    }

    /// The recording as a file, a namespace a line.
    pub fn written(mut self) -> (String, String) {
        for netns in &mut self.snapshot.namespaces {
            let facts = netns.facts.as_mut().unwrap();
            // As the kernel dumps them: IPv4 first, table by table.
            let key = |r: &RecordedRoute| (r.dst.addr().is_ipv6(), r.table.0, r.dst.addr(), r.dst.prefix_len());
            facts.routes.as_mut().unwrap().sort_by_key(key);
        }
        let namespaces = std::mem::take(&mut self.snapshot.namespaces);
        let whole = serde_json::to_string(&self.snapshot).unwrap();
        let lines: Vec<String> = namespaces.iter().map(|n| serde_json::to_string(n).unwrap()).collect();
        let text = whole.replacen("\"namespaces\":[]", &format!("\"namespaces\":[\n{}\n]", lines.join(",\n")), 1);
        (format!("{}.json", self.snapshot.hostname), text + "\n")
    }
}

/// A route as the kernel makes it for an address.
pub fn route(dst: IpNet) -> RecordedRoute {
    RecordedRoute {
        dst,
        src: None,
        kind: RouteType::Unicast,
        table: TableId::MAIN,
        tos: 0,
        metric: 0,
        scope: 0,
        protocol: "kernel".to_owned(),
        gateway: None,
        oif: None,
        prefsrc: None,
        mtu: None,
        flags: 0,
        pref: 0,
        nexthops: Vec::new(),
        nhid: None,
        encap: None,
    }
}

fn fdb(at: At, mac: LlAddr, state: &str) -> RecordedFdb {
    let (vlan, master, dst, port, vni, nhid, via) = (None, None, None, None, None, None, None);
    RecordedFdb { ifindex: at.1, mac, vlan, state: state.to_owned(), own: false, master, dst, port, vni, nhid, via }
}

fn sysctls(forwards: bool) -> std::collections::BTreeMap<String, Option<i64>> {
    let all = |family: &'static str, names: &'static [&str]| {
        names.iter().map(move |name| (format!("{family}/conf/all/{name}"), 0))
    };
    let own = ["ipv4/ip_forward", "ipv4/fib_multipath_hash_policy", "ipv4/fib_multipath_use_neigh"];
    let own = own.into_iter().chain(["ipv6/fib_multipath_hash_policy"]).map(|name| (name.to_owned(), 0));
    let on = |name: &str| forwards && (name == "ipv4/ip_forward" || name.ends_with("/all/forwarding"));
    all("ipv4", &INET)
        .chain(all("ipv6", &INET6))
        .chain(own)
        .map(|(name, value)| {
            let value = if on(&name) || name.ends_with("send_redirects") { 1 } else { value };
            (name, Some(value))
        })
        .collect()
}
