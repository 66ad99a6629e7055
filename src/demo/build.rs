//! Builds the scene inside the private namespaces: holders, names, links, and first packets.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sys::prctl::set_name;
use nix::unistd::sethostname;

use super::hold::Holder;
use super::scene::{self, NODE_A};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link::{self, Where};
use crate::kernel::netns::NetnsFile;
use crate::model::{Link, Machine, NetnsRef, Role};
use crate::wiring;

/// Where `ip netns` and podnet look for names of namespaces.
const NAMES: &str = "/run/netns";

/// Where the demo puts its own binary under the name that a person types.
const BIN: &str = "/run/podnet/bin";

/// A scene that stands until it is dropped.
#[derive(Debug)]
pub struct Built {
    /// The machines with their namespaces.
    pub machines: Vec<Machine>,
    /// A directory with `podnet` in it, for PATH.
    pub bin: PathBuf,
    _holders: Vec<Holder>,
}

/// Builds the machines. The caller is pid 1 of private namespaces; its own network becomes that of [`NODE_A`].
///
/// The other namespaces are held by runs of the own binary, whose `main` has to give way to [`super::hold::hold`] where
/// [`super::hold::name_to_hold`] says so.
pub fn build(machines: &[Machine]) -> Result<Built> {
    let failed = |what: &str| {
        let message = format!("the demo's {what}");
        move |e: io::Error| Error::new(ErrorId::Isolation, message).because(e)
    };
    sethostname(NODE_A).map_err(|e| failed("host name could not be set")(e.into()))?;
    // As the holders do; a name that does not stick is no loss.
    let _ = CString::new(NODE_A).map(|name| set_name(&name));
    let (holders, netns) = namespaces(machines)?;
    wiring::apply(
        &scene::plan(machines, Path::new("/proc/sys/net/ipv6").exists()),
        &netns,
        wiring::Sockets::new(),
        &mut || None,
    )?;
    await_links(&netns);
    greet(machines, &netns);
    fs::create_dir_all(BIN)
        .and_then(|()| symlink("/proc/1/exe", Path::new(BIN).join("podnet")))
        .map_err(failed("binary could not be named"))?;
    let id = |m: &Machine| netns.get(&NetnsRef::Named(m.name.to_owned())).map(NetnsFile::id);
    let machines = machines.iter().map(|m| Machine { netns: id(m), ..*m }).collect();
    Ok(Built { machines, bin: BIN.into(), _holders: holders })
}

/// A process for each machine but the own node, and a name for every one.
fn namespaces(machines: &[Machine]) -> Result<(Vec<Holder>, BTreeMap<NetnsRef, NetnsFile>)> {
    let failed = |e: io::Error| Error::new(ErrorId::Isolation, "the demo's namespaces could not be made").because(e);
    fs::create_dir_all(NAMES).map_err(failed)?;
    let mut holders = Vec::new();
    for machine in machines.iter().filter(|m| m.name != NODE_A) {
        holders.push((machine.name, Holder::start(machine.name).map_err(failed)?));
    }
    let mut netns = BTreeMap::new();
    for (name, holder) in &mut holders {
        let file = NetnsFile::from_fd(holder.netns()?.into()).map_err(failed)?;
        bind(&holder.path(), name).map_err(failed)?;
        netns.insert(NetnsRef::Named((*name).to_owned()), file);
    }
    bind("/proc/self/ns/net", NODE_A).map_err(failed)?;
    netns.insert(NetnsRef::Named(NODE_A.to_owned()), NetnsFile::own().map_err(failed)?);
    Ok((holders.into_iter().map(|(_, holder)| holder).collect(), netns))
}

fn bind(netns: &str, name: &str) -> io::Result<()> {
    let path = Path::new(NAMES).join(name);
    File::create(&path)?;
    Ok(mount(Some(netns), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?)
}

/// Waits until the kernel has noticed every carrier: before that a bridge drops what its ports get.
fn await_links(netns: &BTreeMap<NetnsRef, NetnsFile>) {
    let deadline = Instant::now() + Duration::from_secs(2);
    let works = |link: &Link| {
        let forwards = link.port.as_ref().is_none_or(|port| port.state == "forwarding");
        link.is_loopback() || (link.operstate == "UP" && forwards)
    };
    for file in netns.values() {
        let Ok(mut socket) = file.socket() else { continue };
        let mut ready = || link::dump(&mut socket, Where::Here).is_ok_and(|dump| dump.items.iter().all(works));
        while !ready() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Lets the pods talk, as pods do: neighbour tables and forwarding databases get the entries that they have on a node
/// in use. Nobody listens on the discard port, so each answer is a refusal that shows that the way holds.
fn greet(machines: &[Machine], netns: &BTreeMap<NetnsRef, NetnsFile>) {
    let addr = |m: &Machine| m.link.map(|link| link.addr.addr());
    let outside = machines.iter().filter_map(|m| m.link?.peer_addr).map(|net| net.addr()).next();
    let pods: Vec<&Machine> = machines.iter().filter(|m| m.role == Role::Pod).collect();
    for (i, pod) in pods.iter().enumerate() {
        let others = pods.iter().filter(|_| i == 0).filter_map(|m| addr(m));
        let to: Vec<IpAddr> = outside.into_iter().chain(others).filter(|to| addr(pod) != Some(*to)).collect();
        if let Some(file) = netns.get(&NetnsRef::Named(pod.name.to_owned())) {
            // A packet that gets lost leaves an entry out, no more.
            let _ = file.inside(move || to.iter().try_for_each(|to| datagram(*to)));
        }
    }
}

fn datagram(to: IpAddr) -> io::Result<()> {
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind(("0.0.0.0", 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    socket.connect((to, DISCARD))?;
    socket.send(&[0])?;
    match socket.recv(&mut [0]) {
        Err(e) if e.kind() != io::ErrorKind::ConnectionRefused => Err(e),
        _ => Ok(()),
    }
}
