//! A random namespace, as lines for `ip`: what the kernel does not accept of them it leaves out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::random::Random;
use crate::node::Node;

/// Links whose far ends are in the same namespace, by name and index.
pub const LINKS: [(&str, u32); 5] = [("v1", 11), ("v2", 12), ("v3", 13), ("v4", 14), ("v5", 15)];

/// What a namespace is made of.
pub struct World {
    lines: Vec<String>,
    sysctls: Vec<String>,
    /// Addresses that links were given.
    pub own: Vec<IpAddr>,
}

/// An address out of few, so that prefixes and packets meet.
pub fn ip(r: &mut Random, ipv6: bool) -> IpAddr {
    match ipv6 {
        false if r.chance(3) => *r.of(&["127.0.0.1", "127.1.2.3", "169.254.1.1"].map(|a| a.parse().unwrap())),
        false => Ipv4Addr::new(10, r.below(3) as u8, r.below(3) as u8, 1 + r.below(9) as u8).into(),
        true if r.chance(6) => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1 + r.below(4) as u16).into(),
        true => {
            let first = *r.of(&[0xfd00, 0x2001, 0xfd00]);
            Ipv6Addr::new(first, r.below(3) as u16, r.below(3) as u16, 0, 0, 0, 0, 1 + r.below(9) as u16).into()
        }
    }
}

fn prefix(r: &mut Random, ipv6: bool) -> String {
    if r.chance(12) {
        return "default".to_owned();
    }
    let length =
        *if ipv6 { r.of(&[16, 32, 48, 48, 64, 128, 128]) } else { r.of(&[8, 14, 16, 22, 24, 24, 28, 30, 32, 32]) };
    let net = ipnet::IpNet::new(ip(r, ipv6), length).unwrap().trunc();
    net.to_string()
}

fn link(r: &mut Random) -> &'static str {
    r.of(&LINKS).0
}

impl World {
    pub fn new(r: &mut Random) -> World {
        let mut world = World { lines: Vec::new(), sysctls: Vec::new(), own: Vec::new() };
        world.links(r);
        world.sysctls(r);
        for _ in 0..6 + r.below(25) {
            for ipv6 in [false, true] {
                let route = world.route(r, ipv6);
                world.lines.push(route);
            }
        }
        for ipv6 in [false, true] {
            // Without a rule of one's own local and main are one table.
            if r.chance(70) {
                (0..1 + r.below(7)).for_each(|_| world.rule(r, ipv6));
            }
        }
        // Routers that do not answer.
        for _ in 0..2 {
            let gateway = ip(r, true);
            world.lines.push(format!("neigh replace {gateway} dev {} nud failed", link(r)));
        }
        world
    }

    fn links(&mut self, r: &mut Random) {
        self.lines.push("link set lo up".to_owned());
        for (name, index) in LINKS {
            self.lines.push(format!("link add {name} index {index} type veth peer name p{name}"));
            if r.chance(20) {
                self.lines.push(format!("link set {name} group {}", 1 + r.below(2)));
            }
            if r.chance(92) {
                self.lines.push(format!("link set {name} up"));
            }
            // Without it the link has no carrier.
            if r.chance(88) {
                self.lines.push(format!("link set p{name} up"));
            }
            for ipv6 in [false, false, true, true] {
                if r.chance(70) {
                    self.addr(r, name, ipv6);
                }
            }
        }
        if r.chance(30) {
            self.addr(r, "lo", false);
            self.addr(r, "lo", true);
        }
    }

    fn addr(&mut self, r: &mut Random, name: &str, ipv6: bool) {
        let own = ip(r, ipv6);
        let length = *if ipv6 { r.of(&[48, 64, 64, 128]) } else { r.of(&[16, 22, 24, 24, 30, 32]) };
        let mut line = match r.chance(8) {
            true => format!("addr add {own} peer {}/{length} dev {name}", ip(r, ipv6)),
            false => format!("addr add {own}/{length} dev {name}"),
        };
        if ipv6 {
            line += " nodad";
        }
        if r.chance(10) {
            line += *r.of(&[" scope link", " scope host", " preferred_lft 0"]);
        }
        self.lines.push(line);
        self.own.push(own);
    }

    fn sysctls(&mut self, r: &mut Random) {
        let mut set = |name: String, value: usize| self.sysctls.push(format!("net.{name}={value}"));
        set("ipv4.ip_forward".to_owned(), usize::from(r.chance(70)));
        set("ipv6.conf.all.forwarding".to_owned(), usize::from(r.chance(60)));
        for name in ["all", "v1", "v2", "v3", "v4", "v5"] {
            if r.chance(35) {
                set(format!("ipv4.conf.{name}.rp_filter"), r.below(3));
            }
            let switches =
                ["accept_local", "route_localnet", "src_valid_mark", "ignore_routes_with_linkdown", "bc_forwarding"];
            for switch in switches.into_iter().filter(|_| r.chance(12)).collect::<Vec<_>>() {
                set(format!("ipv4.conf.{name}.{switch}"), 1);
            }
            if r.chance(40) {
                set(format!("ipv4.conf.{name}.send_redirects"), 0);
            }
            if name != "all" {
                for switch in ["forwarding"].into_iter().filter(|_| r.chance(15)).collect::<Vec<_>>() {
                    set(format!("ipv4.conf.{name}.{switch}"), r.below(2));
                }
                let switches = ["use_oif_addrs_only", "ignore_routes_with_linkdown"];
                for switch in switches.into_iter().filter(|_| r.chance(10)).collect::<Vec<_>>() {
                    set(format!("ipv6.conf.{name}.{switch}"), 1);
                }
            }
        }
    }

    fn route(&mut self, r: &mut Random, ipv6: bool) -> String {
        let mut line = format!("{}route add ", if ipv6 { "-6 " } else { "" });
        let refuses = r.chance(14);
        if refuses {
            line += *r.of(&["blackhole ", "unreachable ", "prohibit ", "throw "]);
        } else if r.chance(4) {
            line += "local ";
        }
        line += &prefix(r, ipv6);
        if !ipv6 && r.chance(8) {
            line += *r.of(&[" tos 0x08", " tos 0x10", " tos 0x04"]);
        }
        if ipv6 && r.chance(6) {
            line += &format!(" from {}", prefix(r, true));
        }
        if r.chance(45) {
            line += *r.of(&[" table 100", " table 100", " table 101", " table local", " table 253"]);
        }
        if r.chance(30) {
            line += &format!(" metric {}", r.of(&[1, 50, 100, 1024, 2000]));
        }
        if refuses {
            return line;
        }
        if !self.own.is_empty() && r.chance(15) {
            line += &format!(" src {}", r.of(&self.own));
        }
        if r.chance(10) {
            line += " mtu 1300";
        }
        if ipv6 && r.chance(10) {
            line += *r.of(&[" pref low", " pref high"]);
        }
        let hop = |r: &mut Random| match r.chance(60) {
            true => format!(" via {} dev {}{}", ip(r, ipv6), link(r), if r.chance(70) { " onlink" } else { "" }),
            false => format!(" dev {}", link(r)),
        };
        match r.chance(18) {
            true => {
                for _ in 0..2 + r.below(2) {
                    line += &format!(" nexthop{} weight {}", hop(r), 1 + r.below(4));
                }
                line
            }
            false => line + &hop(r),
        }
    }

    fn rule(&mut self, r: &mut Random, ipv6: bool) {
        let mut line = format!("{}rule add ", if ipv6 { "-6 " } else { "" });
        if r.chance(12) {
            line += "not ";
        }
        line += &format!("priority {} ", r.of(&[0, 5, 10, 20, 30, 40, 1000, 32000, 32766, 32800]));
        for (chance, text) in [
            (35, format!("from {} ", prefix(r, ipv6).replace("default", "all"))),
            (25, format!("to {} ", prefix(r, ipv6).replace("default", "all"))),
            (10, format!("tos {} ", r.of(&["0x08", "0x10", "0x04"]))),
            (20, format!("fwmark {:#x}{} ", r.below(4), r.of(&["", "/0x1", "/0x3", "/0xff"]))),
            (20, format!("iif {} ", r.of(&["lo", "v1", "v2", "v3", "gone"]))),
            (10, format!("oif {} ", r.of(&["v1", "v2", "gone"]))),
            (10, format!("uidrange {} ", r.of(&["0-0", "0-1000", "1000-2000"]))),
            (10, format!("ipproto {} ", r.of(&["tcp", "udp", "icmp"]))),
            (6, "l3mdev ".to_owned()),
        ] {
            if r.chance(chance) {
                line += &text;
            }
        }
        if line.contains("tcp") || line.contains("udp") {
            if r.chance(50) {
                line += &format!("sport {} ", r.of(&["1000", "1000-2000"]));
            }
            if r.chance(50) {
                line += &format!("dport {} ", r.of(&["53", "53-80", "443"]));
            }
        }
        line += &match r.below(10) {
            0 => (*r.of(&["blackhole", "unreachable", "prohibit", "nop"])).to_owned(),
            1 => format!("goto {}", r.of(&[20, 30, 32766, 32800])),
            2 => format!("lookup main suppress_prefixlength {}", r.of(&[0, 8, 16, 24])),
            3 => format!("lookup {} suppress_ifgroup {}", r.of(&["main", "100"]), r.of(&[0, 1, 2])),
            _ => format!("lookup {}", r.of(&["100", "101", "main", "local", "default", "77"])),
        };
        if line.contains("l3mdev") {
            line = line.replace(" lookup", " protocol static lookup");
        }
        self.lines.push(line);
        if r.chance(6) {
            // As routers do it: local is asked after rules of one's own.
            let family = if ipv6 { "-6 " } else { "" };
            self.lines.push(format!("{family}rule add priority 1500 lookup local"));
            self.lines.push(format!("{family}rule del priority 0 lookup local"));
        }
    }

    /// The lines that make it.
    pub fn script(&self) -> String {
        [self.sysctls.join("\n"), self.lines.join("\n")].join("\n")
    }

    /// Makes the namespace.
    pub fn build(&self, node: &Node, netns: &str) {
        let (links, rest): (Vec<&String>, Vec<&String>) = self.lines.iter().partition(|l| l.starts_with("link"));
        let text = |lines: &[&String]| lines.iter().map(|l| format!("{l}\n")).collect::<String>();
        node.sh(&format!(
            "ip netns add {netns}
             set_in {netns} net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0
             cat >/run/links <<'END'\n{}END
             cat >/run/rest <<'END'\n{}END
             cat >/run/sysctls <<'END'\n{}\nEND
             ip -n {netns} -force -batch /run/links >/dev/null 2>&1 || true
             at {netns} sysctl -q -p /run/sysctls
             ip -n {netns} -force -batch /run/rest >/dev/null 2>&1 || true",
            text(&links),
            text(&rest),
            self.sysctls.join("\n"),
        ));
    }
}
