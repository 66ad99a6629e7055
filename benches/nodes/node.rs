//! A node of many pods, each with a process, a name and a pair to a bridge, wired by podnet's own code.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

use ipnet::{IpNet, Ipv4Net};
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, Pid, fork, pause};
use podnet::kernel::netns::NetnsFile;
use podnet::model::{Change, LlAddr, NetnsRef, NewLink, Plan, RouteType};
use podnet::wiring;

use super::FLOOR;

/// A bridge takes 1,023 ports; some are left for what is attached on top.
const PORTS: usize = 950;

/// What stands ready to be measured.
pub struct Node {
    /// The process of a pod in the middle.
    pub pid: Pid,
    /// How many there are.
    pods: usize,
}

fn bridge(pod: usize) -> (String, Ipv4Addr) {
    let number = pod / PORTS;
    (format!("cni{number}"), Ipv4Addr::new(10, 100 + number as u8, 0, 1))
}

/// Address of a pod on its bridge.
fn address(pod: usize) -> Ipv4Addr {
    let [a, b, ..] = bridge(pod).1.octets();
    let low = (pod % PORTS + 10) as u16;
    let [c, d] = low.to_be_bytes();
    Ipv4Addr::new(a, b, c, d)
}

fn net(ip: Ipv4Addr, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new(ip, length).expect("a prefix"))
}

fn named(link: &str) -> NewLink {
    NewLink { ifname: link.to_owned(), ..NewLink::default() }
}

fn add_addr(ifname: String, addr: IpNet) -> Change {
    Change::AddAddr { ifname, addr, link_scope: false, nodad: false }
}

impl Node {
    /// Builds it in the namespaces of the process, which is alone in them.
    pub fn build(pods: usize) -> io::Result<Node> {
        // Writing into many namespaces at once keeps sockets open in all of them.
        let files = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
        // SAFETY: the struct lives through the call.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files) };
        fs::create_dir_all("/run/netns")?;
        fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        let mut pids = Vec::new();
        for pod in 0..pods {
            pids.push(namespace(pod)?);
        }
        let mut netns: BTreeMap<NetnsRef, NetnsFile> = BTreeMap::from([(NetnsRef::Host, NetnsFile::own()?)]);
        uplink()?;
        apply(&host_plan(pods), &netns)?;
        for first in (0..pods).step_by(100) {
            let mut plan = Plan::default();
            for pod in first..pods.min(first + 100) {
                netns.insert(name(pod), NetnsFile::open(format!("/run/netns/pod{pod}"))?);
                pod_plan(&mut plan, pod);
            }
            apply(&plan, &netns)?;
            netns.retain(|at, _| !matches!(at, NetnsRef::Named(name) if name.starts_with("pod")));
        }
        quiet(pods)?;
        Ok(Node { pid: pids[pods / 2], pods })
    }

    /// The number of one more pod, with a namespace and no link.
    pub fn spare(&mut self) -> io::Result<usize> {
        self.pods += 1;
        namespace(self.pods - 1)?;
        Ok(self.pods - 1)
    }
}

fn apply(plan: &Plan, netns: &BTreeMap<NetnsRef, NetnsFile>) -> io::Result<()> {
    wiring::apply(plan, netns, wiring::Sockets::new(), &mut || None)
        .map(drop)
        .map_err(|e| io::Error::other(format!("{e:?}")))
}

fn name(pod: usize) -> NetnsRef {
    NetnsRef::Named(format!("pod{pod}"))
}

/// Starts a process that holds a namespace of its own, and gives it a name.
fn namespace(pod: usize) -> io::Result<Pid> {
    let (ready, tell) = nix::unistd::pipe()?;
    // SAFETY: the process has one thread.
    let pid = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let made = unshare(CloneFlags::CLONE_NEWNET).is_ok();
            let _ = nix::unistd::write(&tell, &[u8::from(made)]);
            drop((ready, tell));
            loop {
                pause();
            }
        }
    };
    let mut made = [0];
    nix::unistd::read(&ready, &mut made)?;
    if made != [1] {
        return Err(io::Error::other("no network namespace could be made"));
    }
    let (source, path) = (format!("/proc/{pid}/ns/net"), format!("/run/netns/pod{pod}"));
    File::create(&path)?;
    mount(Some(source.as_str()), path.as_str(), None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(pid)
}

/// A link that leads out of all that podnet can see, as a machine's own device does.
fn uplink() -> io::Result<()> {
    let status = Command::new("ip").args(["link", "add", "eth0", "type", "ifb"]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("no link of kind ifb could be made")) }
}

/// The uplink and the bridges.
fn host_plan(pods: usize) -> Plan {
    let host = NetnsRef::Host;
    let mut plan = Plan::default();
    plan.step(&host, add_addr("eth0".to_owned(), net(Ipv4Addr::new(10, 30, 180, 56), 24)));
    plan.step(&host, Change::SetUp { ifname: "eth0".into() });
    let gateway = Some(IpAddr::from([10, 30, 180, 254]));
    let default = net(Ipv4Addr::UNSPECIFIED, 0);
    plan.step(&host, Change::AddRoute { kind: RouteType::Unicast, dst: default, gateway, dev: None });
    for number in 0..=pods.saturating_sub(1) / PORTS {
        let (ifname, ip) = bridge(number * PORTS);
        // With an address of its own it does not take another with each port.
        let address = format!("02:00:00:00:ff:{number:02x}").parse::<LlAddr>().ok();
        plan.step(&host, Change::AddBridge(NewLink { address, ..named(&ifname) }));
        plan.step(&host, add_addr(ifname.clone(), net(ip, 16)));
        plan.step(&host, Change::SetUp { ifname });
    }
    plan
}

fn pod_plan(plan: &mut Plan, pod: usize) {
    let (host, inside, (bridge, gateway)) = (NetnsRef::Host, name(pod), bridge(pod));
    let veth = format!("veth{pod}");
    let master = Some(bridge);
    let eth0 = || "eth0".to_owned();
    plan.step(&host, Change::AddVeth { link: named(&veth), master, peer_netns: inside.clone(), peer: named("eth0") });
    plan.step(&host, Change::SetUp { ifname: veth });
    plan.step(&inside, add_addr(eth0(), net(address(pod), 16)));
    plan.step(&inside, Change::SetUp { ifname: eth0() });
    let via = |dst: IpNet| Change::AddRoute {
        kind: RouteType::Unicast,
        dst,
        gateway: Some(gateway.into()),
        dev: Some(eth0()),
    };
    plan.step(&inside, via(net(Ipv4Addr::UNSPECIFIED, 0)));
    plan.step(&inside, via(net(Ipv4Addr::new(172, 22, 0, 0), 16)));
    plan.step(&inside, via(net(Ipv4Addr::new(172, 23, 0, 0), 16)));
}

/// Ports flood no multicast: the start-up packets of every pod would go to all others for seconds. And every pod knows
/// its gateway.
fn quiet(pods: usize) -> io::Result<()> {
    for pod in 0..pods {
        fs::write(format!("/sys/class/net/veth{pod}/brport/multicast_flood"), "0")?;
        let (netns, gateway) = (format!("/run/netns/pod{pod}"), bridge(pod).1.to_string());
        let status =
            Command::new(FLOOR).args(["neighbour", &netns, "eth0", &gateway, &(pod / PORTS).to_string()]).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("the gateway of {netns} could not be made known")));
        }
    }
    Ok(())
}

/// The bridge of the pods that are attached on top, and its address.
pub fn bridge_of(pod: usize) -> (String, Ipv4Addr) {
    bridge(pod)
}
