//! Each step of a plan as the command of iproute2, procps, nftables or the shell that does the same.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use super::{Change, Masquerade, NetnsRef, NewLink, Plan, PlanStep, Reservation, RouteType};

/// A veth has by default a queue for each processor, and a node has many veths.
const ONE_QUEUE: &str = "numtxqueues 1 numrxqueues 1";

impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetnsRef::Host => f.write_str("host"),
            NetnsRef::Named(name) | NetnsRef::Path(name) => f.write_str(name),
        }
    }
}

impl NetnsRef {
    /// As `ip` takes it behind `netns`.
    fn as_operand(&self) -> Cow<'_, str> {
        match self {
            NetnsRef::Host => Cow::Borrowed("1"),
            NetnsRef::Named(name) => word(name),
            NetnsRef::Path(path) => word(path),
        }
    }
}

/// A word that a shell takes for what it is, whatever characters somebody has put into it.
pub fn word(text: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:@%+=,".contains(&b);
    if !text.is_empty() && text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("'{}'", text.replace('\'', "'\\''")))
}

/// As the arguments of `ip link add` after the name's keyword.
impl fmt::Display for NewLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&word(&self.ifname))?;
        if self.up {
            f.write_str(" up")?;
        }
        if let Some(address) = self.address {
            write!(f, " address {address}")?;
        }
        if let Some(mtu) = self.mtu {
            write!(f, " mtu {mtu}")?;
        }
        if let Some(group) = self.group {
            write!(f, " group {group}")?;
        }
        Ok(())
    }
}

/// Which program makes a change.
enum Tool {
    /// One that has an option for the namespace.
    OfNamespace(&'static str),
    /// One that has to be run in the namespace.
    Inside,
    /// One that needs no namespace.
    Anywhere,
}

impl Change {
    fn tool(&self) -> Tool {
        match self {
            Change::SetSysctl { .. } | Change::AddMasquerade(_) | Change::DelMasquerade { .. } => Tool::Inside,
            Change::SetPort { .. } => Tool::OfNamespace("bridge"),
            Change::Reserve(_) | Change::Release { .. } => Tool::Anywhere,
            _ => Tool::OfNamespace("ip"),
        }
    }
}

/// As the command that does the same.
impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_command(f, &self.netns, &self.change)
    }
}

impl PlanStep {
    /// The commands that take the step back.
    pub fn undo_commands(&self) -> impl Iterator<Item = String> + '_ {
        self.undo.iter().map(|(netns, undo)| Command(netns, undo).to_string())
    }
}

struct Command<'a>(&'a NetnsRef, &'a Change);

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_command(f, self.0, self.1)
    }
}

fn write_command(f: &mut fmt::Formatter<'_>, netns: &NetnsRef, change: &Change) -> fmt::Result {
    match (change.tool(), netns) {
        (Tool::Anywhere, _) | (Tool::Inside, NetnsRef::Host) => {}
        (Tool::OfNamespace(tool), NetnsRef::Host) => write!(f, "{tool} ")?,
        (Tool::OfNamespace(tool), NetnsRef::Named(name)) => write!(f, "{tool} -n {} ", word(name))?,
        (Tool::OfNamespace(tool), NetnsRef::Path(path)) => write!(f, "nsenter --net={} {tool} ", word(path))?,
        (Tool::Inside, NetnsRef::Named(name)) => write!(f, "ip netns exec {} ", word(name))?,
        (Tool::Inside, NetnsRef::Path(path)) => write!(f, "nsenter --net={} ", word(path))?,
    }
    write!(f, "{change}")
}

/// As the command without the words that say where. A link may be called `up`, so `ip` is told what is a name.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A link's name may have a dot in it; sysctl takes the slashes too.
            Change::SetSysctl { key, value } if key.contains('.') => write!(f, "sysctl -qw {}={value}", word(key)),
            Change::SetSysctl { key, value } => write!(f, "sysctl -qw {}={value}", word(&key.replace('/', "."))),
            Change::AddBridge(link) => write!(f, "link add name {link} type bridge"),
            Change::AddVeth { link, master, peer_netns, peer } => {
                write!(f, "link add name {link} {ONE_QUEUE}")?;
                if let Some(master) = master {
                    write!(f, " master {}", word(master))?;
                }
                write!(f, " type veth peer name {peer} {ONE_QUEUE} netns {}", peer_netns.as_operand())
            }
            Change::AddMacvlan { lower, link, link_netns } => {
                let (lower, netns) = (word(lower), link_netns.as_operand());
                write!(f, "link add name {link} link {lower} netns {netns} type macvlan mode bridge")
            }
            Change::DelLink { ifname } | Change::DelBridge { ifname } => write!(f, "link del dev {}", word(ifname)),
            Change::SetAlias { ifname, alias } => write!(f, "link set dev {} alias {}", word(ifname), word(alias)),
            Change::SetGroup { ifname, group } => write!(f, "link set dev {} group {group}", word(ifname)),
            Change::SetPort { ifname, hairpin, isolated } => {
                let on = |is: &bool| if *is { "on" } else { "off" };
                write!(f, "link set dev {} hairpin {} isolated {}", word(ifname), on(hairpin), on(isolated))
            }
            Change::AddAddr { ifname, addr, nodad, link_scope } => {
                write!(f, "addr add {addr}")?;
                match addr {
                    // What has a broadcast address gets it.
                    IpNet::V4(net) if net.prefix_len() < 31 => f.write_str(" brd +")?,
                    IpNet::V6(_) if *nodad => f.write_str(" nodad")?,
                    _ => {}
                }
                if *link_scope {
                    f.write_str(" scope link")?;
                }
                write!(f, " dev {}", word(ifname))
            }
            Change::DelAddr { ifname, addr } => write!(f, "addr del {addr} dev {}", word(ifname)),
            Change::SetUp { ifname } => write!(f, "link set dev {} up", word(ifname)),
            Change::AddRoute { kind, dst, gateway, dev } => write_route(f, *kind, dst, *gateway, dev.as_deref()),
            Change::Reserve(reservation) => write_reservation(f, reservation),
            Change::Release { store, addr, .. } => write!(f, "rm {}", word(&format!("{store}/{addr}"))),
            Change::AddMasquerade(rule) => write!(f, "nft {}", word(&rule.script())),
            Change::DelMasquerade { comment } => {
                write!(f, "nft -a list chain inet podnet postrouting    # and delete those with the comment {comment}")
            }
        }
    }
}

fn write_route(
    f: &mut fmt::Formatter<'_>,
    kind: RouteType,
    dst: &IpNet,
    gateway: Option<IpAddr>,
    dev: Option<&str>,
) -> fmt::Result {
    f.write_str("route add ")?;
    if kind != RouteType::Unicast {
        write!(f, "{} ", kind.word())?;
    }
    match (dst.prefix_len(), dst) {
        // Without a gateway to tell, `ip` takes a bare `default` for IPv4's.
        (0, IpNet::V6(_)) if gateway.is_none() => f.write_str("::/0")?,
        (0, _) => f.write_str("default")?,
        _ => write!(f, "{}", dst.trunc())?,
    }
    if let Some(gateway) = gateway {
        write!(f, " via {gateway}")?;
    }
    if let Some(dev) = dev {
        write!(f, " dev {}", word(dev))?;
    }
    // `ip` puts these elsewhere unless told.
    match kind {
        RouteType::Local | RouteType::Broadcast | RouteType::Anycast => f.write_str(" table main"),
        _ => Ok(()),
    }
}

fn write_reservation(
    f: &mut fmt::Formatter<'_>,
    Reservation { store, addr, id, ifname, range }: &Reservation,
) -> fmt::Result {
    let place = |file: String| word(&format!("{store}/{file}")).into_owned();
    let file = place(addr.to_string());
    write!(f, "mkdir -p {} && printf '%s\\r\\n%s' {} {} >{file}", word(store), word(id), word(ifname))?;
    match range {
        Some(number) => write!(f, " && printf %s {addr} >{}", place(format!("last_reserved_ip.{number}"))),
        None => Ok(()),
    }
}

impl Masquerade {
    /// What is told to `nft`. Tables and chains that are there already stay as they are.
    pub fn script(&self) -> String {
        let Masquerade { addr, within, comment } = self;
        let (family, group) = if addr.is_ipv4() { ("ip", "224.0.0.0/4") } else { ("ip6", "ff00::/8") };
        let within = within.trunc();
        format!(
            "add table inet podnet; \
             add chain inet podnet postrouting {{ type nat hook postrouting priority srcnat; }}; \
             add rule inet podnet postrouting {family} saddr {addr} {family} daddr != {{ {within}, {group} }} \
             masquerade comment \"{comment}\""
        )
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ifname: &str) -> NewLink {
        NewLink { ifname: ifname.into(), ..NewLink::default() }
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
        plan.step(
            &pod,
            Change::AddAddr {
                ifname: "eth0".into(),
                addr: "172.22.0.253/24".parse().unwrap(),
                nodad: false,
                link_scope: false,
            },
        );
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
            "sysctl -qw net.ipv4.ip_forward=1\n\
             ip netns exec blue sysctl -qw net/ipv4/conf/eth0.7/rp_filter=0\n\
             ip link add name cni0 mtu 1500 type bridge\n\
             ip link add name veth1 numtxqueues 1 numrxqueues 1 master cni0 type veth \
             peer name eth0 address c2:ce:72:1b:97:6e numtxqueues 1 numrxqueues 1 netns blue\n\
             ip -n blue link add name a numtxqueues 1 numrxqueues 1 type veth \
             peer name b numtxqueues 1 numrxqueues 1 netns 1\n\
             ip -n blue addr add 172.22.0.253/24 brd + dev eth0\n\
             ip -n blue link set dev eth0 up\n\
             ip -n blue route add default via 172.22.0.1\n\
             ip -n blue route add 172.22.0.0/16 dev eth0\n\
             ip -n blue route add local default dev lo table main\n"
        );
    }
}
