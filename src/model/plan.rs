//! What will be done to the machine, in order, as plain data; each step reads as the command that does the same.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{LlAddr, RouteType};

/// Which namespace a step works in.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetnsRef {
    /// That of pid 1.
    Host,
    /// One with a name under the netns directory.
    Named(String),
}

/// A link that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// Name (`IFLA_IFNAME`).
    pub ifname: String,
    /// Link-layer address; none: the kernel draws one (`IFLA_ADDRESS`).
    pub address: Option<LlAddr>,
    /// MTU in bytes; none: that of the kind (`IFLA_MTU`).
    pub mtu: Option<u32>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a sysctl of the namespace.
    SetSysctl {
        /// Path below `/proc/sys`, as in `net/ipv4/ip_forward`.
        key: String,
        /// What is written.
        value: String,
    },
    /// Makes a bridge.
    AddBridge(NewLink),
    /// Makes a veth pair, each end at once where it belongs.
    AddVeth {
        /// This namespace's end.
        link: NewLink,
        /// Bridge that it becomes a port of (`IFLA_MASTER`).
        master: Option<String>,
        /// Namespace of the other end (`IFLA_NET_NS_FD` in `VETH_INFO_PEER`).
        peer_netns: NetnsRef,
        /// The other end.
        peer: NewLink,
    },
    /// Gives a link an address.
    AddAddr {
        /// The link.
        ifname: String,
        /// The address with the length of its prefix (`IFA_LOCAL`, `ifa_prefixlen`).
        addr: IpNet,
    },
    /// Takes a link into use (`IFF_UP`).
    SetUp {
        /// The link.
        ifname: String,
    },
    /// Adds a route to the main table.
    AddRoute {
        /// What it does (`rtm_type`).
        kind: RouteType,
        /// Destination (`RTA_DST`).
        dst: IpNet,
        /// Router to send to (`RTA_GATEWAY`).
        gateway: Option<IpAddr>,
        /// Link to send by (`RTA_OIF`); none: the kernel takes the one that leads to the gateway.
        dev: Option<String>,
    },
}

/// One change and the namespace that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStep {
    /// The namespace.
    pub netns: NetnsRef,
    /// The change.
    pub change: Change,
}

/// Steps in the order that they have to be taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<PlanStep>,
}

impl Plan {
    /// Appends a step.
    pub fn step(&mut self, netns: &NetnsRef, change: Change) {
        self.steps.push(PlanStep { netns: netns.clone(), change });
    }
}

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetnsRef::Host => f.write_str("host"),
            NetnsRef::Named(name) => f.write_str(name),
        }
    }
}

/// As the arguments of `ip link add` after the name's keyword.
impl fmt::Display for NewLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.ifname)?;
        if let Some(address) = self.address {
            write!(f, " address {address}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        Ok(())
    }
}

/// As the command of iproute2 or procps that does the same.
impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.change, &self.netns) {
            (Change::SetSysctl { .. }, NetnsRef::Host) => {}
            (Change::SetSysctl { .. }, NetnsRef::Named(name)) => write!(f, "ip netns exec {name} ")?,
            (_, NetnsRef::Host) => f.write_str("ip ")?,
            (_, NetnsRef::Named(name)) => write!(f, "ip -n {name} ")?,
        }
        self.change.fmt(f)
    }
}

/// As the command without the words that say where.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A link's name may have a dot in it; sysctl takes the slashes too.
            Change::SetSysctl { key, value } if key.contains('.') => write!(f, "sysctl -w {key}={value}"),
            Change::SetSysctl { key, value } => write!(f, "sysctl -w {}={value}", key.replace('/', ".")),
            Change::AddBridge(link) => write!(f, "link add {link} type bridge"),
            Change::AddVeth { link, master, peer_netns, peer } => {
                write!(f, "link add {link} {ONE_QUEUE}")?;
                if let Some(master) = master {
                    write!(f, " master {master}")?;
                }
                write!(f, " type veth peer name {peer} {ONE_QUEUE} netns ")?;
                match peer_netns {
                    NetnsRef::Host => f.write_str("1"),
                    NetnsRef::Named(name) => f.write_str(name),
                }
            }
            Change::AddAddr { ifname, addr } => write!(f, "addr add {addr} dev {ifname}"),
            Change::SetUp { ifname } => write!(f, "link set {ifname} up"),
            Change::AddRoute { kind, dst, gateway, dev } => {
                f.write_str("route add ")?;
                if *kind != RouteType::Unicast {
                    write!(f, "{} ", kind.word())?;
                }
                match dst.prefix_len() {
                    0 => f.write_str("default")?,
                    _ => write!(f, "{dst}")?,
                }
                if let Some(gateway) = gateway {
                    write!(f, " via {gateway}")?;
                }
                if let Some(dev) = dev {
                    write!(f, " dev {dev}")?;
                }
                Ok(())
            }
        }
    }
}

/// A veth has by default a queue for each processor, and a node has many veths.
const ONE_QUEUE: &str = "numtxqueues 1 numrxqueues 1";

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifname: &str) -> NewLink {
        NewLink { ifname: ifname.into(), address: None, mtu: None }
    }

    #[test]
    fn steps_read_as_commands() {
        let (host, pod) = (NetnsRef::Host, NetnsRef::Named("blue".into()));
        let mut plan = Plan::default();
        plan.step(&host, Change::SetSysctl { key: "net/ipv4/ip_forward".into(), value: "1".into() });
        plan.step(&pod, Change::SetSysctl { key: "net/ipv4/conf/eth0.7/rp_filter".into(), value: "0".into() });
        plan.step(&host, Change::AddBridge(NewLink { mtu: Some(1500), ..link("cni0") }));
        plan.step(
            &host,
            Change::AddVeth {
                link: link("veth1"),
                master: Some("cni0".into()),
                peer_netns: pod.clone(),
                peer: NewLink { address: "c2:ce:72:1b:97:6e".parse().ok(), ..link("eth0") },
            },
        );
        plan.step(&pod, Change::AddVeth { link: link("a"), master: None, peer_netns: NetnsRef::Host, peer: link("b") });
        plan.step(&pod, Change::AddAddr { ifname: "eth0".into(), addr: "172.22.0.253/24".parse().unwrap() });
        plan.step(&pod, Change::SetUp { ifname: "eth0".into() });
        let route = |kind, dst: &str, gateway: Option<&str>, dev: Option<&str>| Change::AddRoute {
            kind,
            dst: dst.parse().unwrap(),
            gateway: gateway.map(|g| g.parse().unwrap()),
            dev: dev.map(str::to_owned),
        };
        plan.step(&pod, route(RouteType::Unicast, "0.0.0.0/0", Some("172.22.0.1"), None));
        plan.step(&pod, route(RouteType::Unicast, "172.22.0.0/16", None, Some("eth0")));
        plan.step(&pod, route(RouteType::Local, "0.0.0.0/0", None, Some("lo")));
        assert_eq!(
            plan.to_string(),
            "sysctl -w net.ipv4.ip_forward=1\n\
             ip netns exec blue sysctl -w net/ipv4/conf/eth0.7/rp_filter=0\n\
             ip link add cni0 mtu 1500 type bridge\n\
             ip link add veth1 numtxqueues 1 numrxqueues 1 master cni0 type veth \
             peer name eth0 address c2:ce:72:1b:97:6e numtxqueues 1 numrxqueues 1 netns blue\n\
             ip -n blue link add a numtxqueues 1 numrxqueues 1 type veth \
             peer name b numtxqueues 1 numrxqueues 1 netns 1\n\
             ip -n blue addr add 172.22.0.253/24 dev eth0\n\
             ip -n blue link set eth0 up\n\
             ip -n blue route add default via 172.22.0.1\n\
             ip -n blue route add 172.22.0.0/16 dev eth0\n\
             ip -n blue route add local default dev lo\n"
        );
    }
}
