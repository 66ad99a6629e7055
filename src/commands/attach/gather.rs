//! The facts that an attach is decided over, each asked for as cheaply as it can be had.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ipnet::IpNet;
use nix::unistd::{AccessFlags, access};

use crate::cli::AttachArgs;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link::{self, Where};
use crate::kernel::netns::NetnsFile;
use crate::kernel::socket::{Refused, Socket};
use crate::kernel::spaces::Access;
use crate::kernel::{Live, addr, ports, route};
use crate::model::{Attachment, Link, LlAddr, NetnsId, NetnsRef, Route, Source, TableId, Topology};
use crate::wiring::plan::{Facts, Forwarding, Gateways, Lease, Way, Wish};
use crate::wiring::{self, GROUP, Sockets};

const ROOT: &str = "run podnet as root";

/// What was typed, as far as it makes sense by itself.
pub(super) fn wish(args: &AttachArgs) -> Result<Wish> {
    let usage = |message: String, hint: &str| Error::new(ErrorId::Usage, message).hint(hint);
    let mac = args.mac.as_deref().map(|text| {
        let hint = "give six bytes in hex: --mac 02:00:5e:10:00:01";
        let mac =
            text.parse::<LlAddr>().map_err(|e| usage(format!("{text:?} is no address of a link"), hint).because(e));
        mac.and_then(|mac| match mac.bytes().len() {
            6 => Ok(mac),
            n => Err(usage(format!("{text:?} is no address of a link: it has {n} bytes"), hint)),
        })
    });
    let named = args.routes.gateways.iter().filter(|text| *text != "none").map(|text| {
        text.parse().map_err(|e| usage(format!("{text:?} is no gateway"), "give an address, or none").because(e))
    });
    let named = named.collect::<Result<Vec<_>>>()?;
    let gateways = match (named.is_empty(), args.routes.gateways.len()) {
        (true, 0) => Gateways::Host,
        (true, _) => Gateways::None,
        (false, n) if n != named.len() => {
            return Err(usage("none and an address are both given as --gateway".into(), "give one of them"));
        }
        (false, _) => Gateways::Named(named),
    };
    let way = match &args.way.macvlan {
        Some(lower) => Way::Macvlan { lower: lower.clone() },
        None if args.way.ptp => Way::PointToPoint,
        None => Way::Bridge { name: args.way.bridge.clone(), hairpin: args.way.hairpin, isolated: args.way.isolated },
    };
    Ok(Wish {
        target: args.target.clone(),
        ifname: args.ifname.clone(),
        // Another is made up where none was given, as soon as it is known what for.
        host_ifname: args.host_ifname.clone().unwrap_or_else(|| "veth".to_owned()),
        way,
        gateways,
        routes: args.routes.routes.clone(),
        default_route: !args.routes.no_default_route,
        mtu: args.mtu,
        mac: mac.transpose()?,
        masquerade: args.addresses.masquerade,
    })
}

/// The namespace is one that may be changed, and not the host's.
pub(super) fn may_change(live: &mut Live, source: &Source, typed: &str) -> Result<()> {
    let own = live.spaces.own();
    if source.netns == own {
        let message = format!("{typed} is the network namespace that podnet itself is in: there is nothing to attach");
        return Err(
            Error::new(ErrorId::Conflict, message).hint("name a container's; podnet list shows which there are")
        );
    }
    if !matches!(live.spaces.access(source.netns), Some(Access::Inside { .. })) {
        let message = format!("the namespace of {typed} may not be entered");
        return Err(Error::new(ErrorId::NoPermission, message).hint(format!("it takes CAP_SYS_ADMIN: {ROOT}")));
    }
    for (netns, name) in [(own, "the host"), (source.netns, typed)] {
        if let Some((socket, Where::Here)) = live.spaces.socket(netns)
            && let Err(refused) = wiring::allowed(socket)
        {
            let message = format!("the links of {name} may not be changed");
            return Err(Error::new(ErrorId::NoPermission, message)
                .because(refused)
                .hint(format!("it takes CAP_NET_ADMIN there: {ROOT}")));
        }
    }
    Ok(())
}

/// The namespace's file once more, for the one who changes it.
pub(crate) fn open_again(live: &Live, netns: NetnsId) -> Result<NetnsFile> {
    let gone = || Error::new(ErrorId::Gone, "the namespace is closed").hint("podnet list shows what is there");
    let Some(Access::Inside { file, .. }) = live.spaces.access(netns) else { return Err(gone()) };
    let file = file.as_fd().try_clone_to_owned().and_then(NetnsFile::from_fd);
    file.map_err(|e| gone().because(e))
}

/// The sockets that the facts were asked by, for the one who changes what they told.
pub(super) fn sockets(live: &mut Live, netns: NetnsId, name: &NetnsRef) -> Sockets {
    let own = live.spaces.own();
    let mut sockets = Sockets::new();
    for (netns, name) in [(own, &NetnsRef::Host), (netns, name)] {
        let again = live.spaces.socket(netns).filter(|(_, place)| *place == Where::Here);
        sockets.extend(again.and_then(|(socket, _)| Some((name.clone(), socket.again().ok()?))));
    }
    sockets
}

/// How a person would name the namespace to `ip`.
pub(crate) fn netns_ref(live: &mut Live, source: &Source, typed: &str) -> NetnsRef {
    let leads_there = |path: &str| fs::metadata(path).is_ok_and(|stat| source.netns.ino() == Some(stat.ino()));
    for name in [typed, source.netns_name.as_str(), typed.rsplit('/').next().unwrap_or(typed)] {
        if !name.contains('/') && !name.is_empty() && leads_there(&format!("/run/netns/{name}")) {
            return NetnsRef::Named(name.to_owned());
        }
    }
    // `dev/web` is a pod, too.
    if typed.contains('/') && leads_there(typed) {
        return NetnsRef::Path(typed.to_owned());
    }
    if let Some(pid) = source.pid {
        return NetnsRef::Path(format!("/proc/{pid}/ns/net"));
    }
    let found = live.spaces.found().iter().find(|found| found.id == source.netns);
    let path = found.and_then(|found| found.holders.iter().find_map(|holder| holder.path.clone()));
    NetnsRef::Path(path.unwrap_or_else(|| source.netns_name.clone()))
}

/// What tells this namespace from every other, now and later.
pub(crate) fn stem(live: &mut Live, netns: NetnsId) -> Result<String> {
    let closed = || Error::new(ErrorId::NoPermission, "the namespace may not be entered").hint(ROOT);
    let (socket, _) = live.spaces.socket(netns).ok_or_else(closed)?;
    stem_by(socket, netns)
}

/// The same, by a socket inside.
pub(crate) fn stem_by(socket: &Socket, netns: NetnsId) -> Result<String> {
    let failed = |e| {
        Error::new(ErrorId::Failed, "reading which run of the machine this is").because(e).hint("is /proc mounted?")
    };
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(failed)?;
    // Kernels before 5.14 know only the inode, whose number the next namespace may get.
    let number = socket.netns_cookie().map_or_else(|_| format!("i{}", netns.ino().unwrap_or(0)), |c| c.to_string());
    Ok(Attachment::id_stem(&boot, &number))
}

pub(super) fn id(live: &mut Live, source: &Source, typed: &str) -> Result<String> {
    Ok(format!("{}{}", stem(live, source.netns)?, crate::model::label(typed)))
}

fn own_socket(live: &mut Live) -> Result<&mut Socket> {
    let own = live.spaces.own();
    let missing = || Error::new(ErrorId::Failed, "podnet's own namespace is closed");
    live.spaces.socket(own).map(|(socket, _)| socket).ok_or_else(missing)
}

fn kernel(what: &str) -> impl Fn(Refused) -> Error + '_ {
    move |refused| Error::new(ErrorId::Kernel, format!("reading {what}")).because(refused)
}

/// The bridge, or the link below a macvlan, with its addresses.
pub(super) fn base(live: &mut Live, wish: &Wish) -> Result<Option<Link>> {
    let name = match &wish.way {
        Way::Bridge { name, .. } => name,
        Way::Macvlan { lower } => lower,
        Way::PointToPoint => return Ok(None),
    };
    let socket = own_socket(live)?;
    let Some(mut found) = link::by_name(socket, name).map_err(kernel(name))? else { return Ok(None) };
    let addrs = addr::dump(socket, Some(found.ifindex), Where::Here).map_err(kernel("addresses"))?;
    found.addrs = addrs.items.into_iter().map(|(_, addr)| addr).collect();
    Ok(Some(found))
}

/// Everything else. Makes up the name of the host's end where none was given.
pub(super) fn facts(
    live: &mut Live,
    source: &Source,
    args: &AttachArgs,
    wish: &mut Wish,
    base: Option<Link>,
    leases: &[Lease],
    id: &str,
) -> Result<Facts> {
    let host_ifname_taken = host_ifname(live, args, wish, id)?;
    let ipv6 = leases.iter().any(|lease| lease.addr.addr().is_ipv6());
    let own = live.spaces.own();
    let mut facts = Facts {
        bridge_full: match &wish.way {
            Way::Bridge { name, .. } if base.as_ref().is_some_and(|base| base.kind == "bridge") => {
                ports::count(name).is_ok_and(|n| n >= ports::MOST)
            }
            _ => false,
        },
        host_ifname_taken,
        host_routes: host_routes(live, wish, base.as_ref(), leases)?,
        forwarding: forwarding(live, wish, ipv6),
        no_ipv6: if ipv6 { no_ipv6(live, source.netns, "default") } else { None },
        no_host_ipv6: match (&wish.way, &base) {
            (Way::Bridge { name, .. }, Some(_)) if ipv6 => no_ipv6(live, own, name),
            _ if ipv6 => no_ipv6(live, own, "default"),
            _ => None,
        },
        no_masquerade: wish.masquerade.then(wiring::nft_missing).flatten(),
        bridge_mac: Some(made_up_mac(id)),
        base,
        ..Facts::default()
    };
    let Some((socket, _)) = live.spaces.socket(source.netns) else { return Ok(facts) };
    let links = link::dump(socket, Where::Here).map_err(kernel("the namespace's links"))?.items;
    let addrs = addr::dump(socket, None, Where::Here).map_err(kernel("the namespace's addresses"))?.items;
    facts.own_addrs = addrs
        .iter()
        .filter_map(|(index, addr)| {
            let name = links.iter().find(|l| l.ifindex == *index).map_or_else(String::new, |l| l.ifname.clone());
            Some((name, IpNet::new(addr.local, addr.prefix_len).ok()?))
        })
        .collect();
    facts.own_routes = main_routes(socket, &links).map_err(kernel("the namespace's routes"))?;
    facts.own_link = links.into_iter().find(|link| link.ifname == wish.ifname);
    Ok(facts)
}

fn host_ifname(live: &mut Live, args: &AttachArgs, wish: &mut Wish, id: &str) -> Result<bool> {
    let socket = own_socket(live)?;
    let mut taken = |name: &str| Ok(link::by_name(socket, name).map_err(kernel(name))?.is_some());
    if let Some(name) = &args.host_ifname {
        return taken(name);
    }
    for attempt in 0..16 {
        let name = format!("veth{:08x}", hash(&format!("{id}/{}/{attempt}", wish.ifname)));
        let is_taken = taken(&name)?;
        wish.host_ifname = name;
        if !is_taken {
            return Ok(false);
        }
    }
    Ok(true)
}

/// FNV-1a: the same name for the same wish, as far as nobody has it.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// An address of those that everybody may make up.
fn made_up_mac(id: &str) -> LlAddr {
    let [a, b, c, d] = hash(id).to_be_bytes();
    LlAddr::mac([0x02, 0x70, a, b, c, d])
}

/// The routes that a network of the host's may collide with; none where the host gets none.
fn host_routes(live: &mut Live, wish: &Wish, base: Option<&Link>, leases: &[Lease]) -> Result<Vec<Route>> {
    let gets_network = match wish.way {
        Way::PointToPoint => true,
        Way::Macvlan { .. } => false,
        Way::Bridge { .. } => base.is_none_or(|base| {
            let has = |lease: &Lease| base.addrs.iter().any(|a| lease.net().contains(&a.local));
            base.group == GROUP && !leases.iter().all(has)
        }),
    };
    if !gets_network || wish.gateways == Gateways::None {
        return Ok(Vec::new());
    }
    let socket = own_socket(live)?;
    let mut routes = main_routes(socket, &[]).map_err(kernel("the host's routes"))?;
    let nets: Vec<IpNet> = leases.iter().map(Lease::net).collect();
    let near = |route: &Route| nets.iter().any(|net| net.contains(&route.dst) || route.dst.contains(net));
    for route in routes.iter_mut().filter(|route| near(route) && route.dst.prefix_len() > 0) {
        if let Some(index) = route.oif {
            route.dev = link::get(socket, index, Where::Here).ok().flatten().map(|link| link.ifname);
        }
    }
    Ok(routes)
}

fn main_routes(socket: &mut Socket, links: &[Link]) -> Result<Vec<Route>, Refused> {
    let mut routes = route::dump_all(socket)?.items;
    routes.retain(|route| route.table == TableId::MAIN);
    for route in &mut routes {
        route.dev = route.oif.and_then(|oif| links.iter().find(|l| l.ifindex == oif)).map(|link| link.ifname.clone());
    }
    Ok(routes)
}

/// What is set on the host, and what would change along with it.
fn forwarding(live: &mut Live, wish: &Wish, ipv6: bool) -> Forwarding {
    let read = |key: &str| fs::read_to_string(format!("/proc/sys/{key}")).map(|text| text.trim().to_owned()).ok();
    let is_on = |key: &str| read(key).is_none_or(|value| value != "0");
    let mut facts = Forwarding {
        ipv4: is_on("net/ipv4/ip_forward"),
        ipv6: !ipv6 || is_on("net/ipv6/conf/all/forwarding"),
        ..Forwarding::default()
    };
    if (facts.ipv4 && facts.ipv6) || matches!(wish.way, Way::Macvlan { .. }) {
        return facts;
    }
    let links = |family: &str| -> Vec<String> {
        let dir = fs::read_dir(format!("/proc/sys/net/{family}/conf")).into_iter().flatten();
        dir.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| name != "all").collect()
    };
    let forwards = |family: &str| {
        links(family)
            .into_iter()
            .map(|link| format!("net/{family}/conf/{link}/forwarding"))
            .filter_map(|key| read(&key).filter(|value| value == "1").map(|value| (key, value)))
            .collect::<Vec<_>>()
    };
    let mut keys = Vec::new();
    if !facts.ipv4 {
        keys.push("net/ipv4/ip_forward".to_owned());
        facts.along4 = forwards("ipv4");
        let key = "net/ipv4/conf/all/accept_redirects".to_owned();
        facts.along4.extend(read(&key).map(|value| (key, value)));
    }
    if !facts.ipv6 {
        keys.push("net/ipv6/conf/all/forwarding".to_owned());
        facts.along6 = forwards("ipv6");
        facts.advertised = advertised(live).unwrap_or_default();
        facts.advertised.retain(|link| read(&format!("net/ipv6/conf/{link}/accept_ra")).as_deref() == Some("1"));
    }
    facts.read_only = keys.iter().find_map(|key| {
        let place = format!("/proc/sys/{key}");
        access(Path::new(&place), AccessFlags::W_OK).err().map(|errno| format!("{place}: {}", errno.desc()))
    });
    facts
}

/// Links by which a router advertises a default route.
fn advertised(live: &mut Live) -> Result<Vec<String>> {
    let socket = own_socket(live)?;
    let routes = main_routes(socket, &[]).map_err(kernel("the host's routes"))?;
    let by_router = |r: &&Route| r.dst.addr().is_ipv6() && r.dst.prefix_len() == 0 && r.protocol == "ra";
    let links = routes.iter().filter(by_router).filter_map(|route| route.oif);
    let names = links.filter_map(|index| link::get(socket, index, Where::Here).ok().flatten()).map(|link| link.ifname);
    Ok(names.collect())
}

/// Why there can be no IPv6 address on a side, by what a link of that name has or a new one gets.
fn no_ipv6(live: &mut Live, netns: NetnsId, link: &str) -> Option<String> {
    if !Path::new("/proc/sys/net/ipv6").exists() {
        return Some("this kernel has no IPv6".to_owned());
    }
    let key = format!("ipv6/conf/{link}/disable_ipv6");
    match live.sysctl(netns, &key) {
        Ok(Some(1)) => Some(format!("net/{key} is 1 in {}", live.netns(netns).name)),
        _ => None,
    }
}
