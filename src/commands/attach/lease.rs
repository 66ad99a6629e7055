//! Which addresses a namespace gets: those that were named, and for each network without one the next that is free.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::refused;
use crate::cli::AttachArgs;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link::{self, Where};
use crate::kernel::socket::Socket;
use crate::kernel::{Live, fdb, neigh, ports};
use crate::model::{Attachment, Link, LlAddr};
use crate::wiring::plan::{Gateways, Lease, Pool, Way, Wish, pick};
use crate::wiring::store::{self, Store};
use crate::wiring::{self, Holder, Question};

/// The network of a bridge that podnet makes, where none was named.
const DEFAULT: &str = "10.213.0.0/24";

/// An answer on a segment of virtual links comes within a fraction of this.
const ANSWER: Duration = Duration::from_millis(50);

/// Local namespaces answer while the question is still being sent, or as soon as the kernel goes on with what was too much
/// for one go: that many more, the more ports it has to hand the question to.
const LOCAL_ANSWER: Duration = Duration::from_micros(500);
const PORT: Duration = Duration::from_micros(3);

/// Ports that are looked at for one that leads out of the machine: the host's own links are mostly older than its pods'.
const OLDEST_PORTS: usize = 8;

/// The kernel keeps no longer alias (`IFALIASZ`).
const ALIAS: usize = 255;

/// Addresses, and the store that they will be taken in.
pub(super) struct Leased {
    pub leases: Vec<Lease>,
    pub dir: PathBuf,
    /// Locked; none: in a dry run.
    pub store: Option<Store>,
    /// Whether somebody has one of the addresses that were drawn.
    asked: Option<Question>,
}

impl Leased {
    /// Somebody on the segment who has one of the addresses that were drawn, though no store says so.
    pub(super) fn holder(&mut self) -> Option<Holder> {
        self.asked.take()?.answer().ok().flatten()
    }
}

/// What a person is told of such addresses.
pub(super) fn passed_over(held: &[Holder]) -> Vec<String> {
    const SHOWN: usize = 3;
    let by = |(addr, mac): &Holder| {
        format!("{addr} was passed over: {mac} uses it, though nobody has taken it in the store")
    };
    let mut notes: Vec<String> = held.iter().take(SHOWN).map(by).collect();
    if let [.., (last, _)] = held
        && held.len() > SHOWN
    {
        notes.push(format!("so were {} more, the last of them {last}", held.len() - SHOWN));
    }
    notes
}

pub(super) fn lease(
    live: &mut Live,
    args: &AttachArgs,
    wish: &Wish,
    base: Option<&Link>,
    held: &mut Vec<Holder>,
) -> Result<Leased> {
    let pools = pools(args, wish, base)?;
    let dir = args.addresses.ipam_dir.join(network(args, wish)?);
    let store = match args.dry_run {
        false => Some(Store::open(&dir, Duration::from_secs_f64(args.wait))?),
        true => None,
    };
    let taken = store::taken(&dir).map_err(|e| {
        let hint = "look at the directory, or name another one with --ipam-dir";
        Error::new(ErrorId::Failed, format!("reading the addresses in {}", dir.display())).because(e).hint(hint)
    });
    let mut taken: HashSet<IpAddr> = taken?.into_iter().collect();
    let mut leases = Vec::new();
    for addr in &args.addresses.addresses {
        if taken.contains(&addr.addr()) {
            let message = format!("{} is taken", addr.addr());
            return Err(Error::new(ErrorId::Conflict, message).hint(format!(
                "{} says by whom; podnet detach --gc lists what dead pods have left; or give another --address",
                dir.join(addr.addr().to_string()).display()
            )));
        }
        if let Some((_, mac)) = base.and_then(|base| holder(live, base, addr.addr())) {
            let message = format!("{} is in use already, by {mac} on {}", addr.addr(), base.map_or("", |b| &b.ifname));
            return Err(Error::new(ErrorId::Conflict, message).hint("give another --address"));
        }
        leases.push(Lease { addr: *addr, range: None });
    }
    taken.extend(reserved(wish, base, &pools));
    taken.extend(held.iter().map(|(addr, _)| *addr));
    for (range, pool) in pools.iter().enumerate() {
        if leases.iter().any(|lease| pool.net.contains(&lease.addr.addr())) {
            continue;
        }
        let last = store::last(&dir, range);
        let addr = loop {
            let addr = pick(pool, last, &taken).map_err(refused)?;
            let Some(mac) = base.and_then(|base| known(live, base, addr)) else { break addr };
            held.push((addr, mac));
            taken.insert(addr);
        };
        taken.insert(addr);
        let addr = IpNet::new(addr, pool.net.prefix_len()).unwrap_or(IpNet::from(addr));
        leases.push(Lease { addr, range: Some(range) });
    }
    leases.sort_by_key(|lease| lease.addr.addr().is_ipv6());
    let drawn = leases.iter().filter(|lease| lease.range.is_some()).map(|lease| lease.addr.addr()).collect();
    let asked = base.and_then(|base| ask(base, drawn));
    Ok(Leased { leases, dir, store, asked })
}

/// The networks to give addresses from: those that were named, else those of the bridge.
fn pools(args: &AttachArgs, wish: &Wish, base: Option<&Link>) -> Result<Vec<Pool>> {
    let mut nets = args.addresses.subnets.clone();
    if nets.is_empty() && args.addresses.addresses.is_empty() {
        nets = match (&wish.way, base) {
            (Way::Bridge { .. }, Some(base)) => base
                .addrs
                .iter()
                .filter(|addr| !addr.link_scope)
                .filter_map(|addr| Some(IpNet::new(addr.local, addr.prefix_len).ok()?.trunc()))
                .collect(),
            (Way::Bridge { .. }, None) => DEFAULT.parse().into_iter().collect(),
            _ => Vec::new(),
        };
        nets.dedup();
    }
    if nets.is_empty() && args.addresses.addresses.is_empty() {
        return Err(Error::new(ErrorId::Usage, "nothing says which address the link is to have")
            .hint("give --subnet for the next free one of a network, or --address"));
    }
    let overlap =
        |(at, net): (usize, &IpNet)| nets[..at].iter().any(|other| other.contains(net) || net.contains(other));
    if !args.addresses.subnets.is_empty()
        && let Some((_, net)) = nets.iter().enumerate().find(|at| overlap(*at))
    {
        let message = format!("the network {net} overlaps with another --subnet");
        return Err(
            Error::new(ErrorId::Usage, message).hint("give each network once; the link gets an address of each")
        );
    }
    let mut ranges = args.addresses.ranges.clone();
    let pools = nets.into_iter().map(|net| {
        let part = ranges.iter().position(|(first, _)| net.contains(first)).map(|index| ranges.remove(index));
        Pool::new(net, part).map_err(refused)
    });
    let pools = pools.collect::<Result<Vec<_>>>()?;
    match ranges.first() {
        Some((first, last)) => Err(Error::new(ErrorId::Usage, format!("the range {first}-{last} is of no --subnet"))
            .hint("give the --subnet that it is a part of, and one range for each")),
        None => Ok(pools),
    }
}

/// Addresses that are never given away: those of the host's side.
fn reserved(wish: &Wish, base: Option<&Link>, pools: &[Pool]) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = base.into_iter().flat_map(|base| &base.addrs).map(|addr| addr.local).collect();
    if let Gateways::Named(gateways) = &wish.gateways {
        all.extend(gateways);
    }
    // As the plugins do, whether there is such a gateway or not.
    all.extend(pools.iter().map(Pool::gateway));
    all
}

fn network(args: &AttachArgs, wish: &Wish) -> Result<String> {
    let name = match (&args.addresses.network, &wish.way) {
        (Some(name), _) => name.clone(),
        (None, Way::Bridge { name, .. }) => name.clone(),
        (None, Way::Macvlan { lower }) => lower.clone(),
        (None, Way::PointToPoint) => "podnet-ptp".to_owned(),
    };
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0', '\n']) {
        return Err(Error::new(ErrorId::Usage, format!("{name:?} can be no name of a network"))
            .hint("it becomes the name of a directory: --network web"));
    }
    Ok(name)
}

/// Who uses an address, by the host's tables. A neighbour entry alone may be what a dead pod left: its bridge must know
/// the link-layer address, too.
fn known(live: &mut Live, base: &Link, addr: IpAddr) -> Option<LlAddr> {
    let own = live.spaces.own();
    let (socket, _) = live.spaces.socket(own)?;
    let known = neigh::get(socket, base.ifindex, addr).ok().flatten().and_then(|entry| entry.lladdr);
    known.filter(|mac| !mac.is_zero()).filter(|mac| {
        base.kind != "bridge"
            || fdb::get(socket, base.ifindex, *mac, None).ok().flatten().is_some_and(|entry| !entry.local)
    })
}

/// Who uses an address that was named: for one that no store vouches for the segment itself is asked.
fn holder(live: &mut Live, base: &Link, addr: IpAddr) -> Option<Holder> {
    match known(live, base, addr) {
        None if base.up => wiring::answers(base.ifindex, base.address?, &[addr], ANSWER).ok().flatten(),
        known => known.map(|mac| (addr, mac)),
    }
}

/// Asks who uses addresses that were drawn: not everybody on the segment need have taken his in the store.
fn ask(base: &Link, drawn: Vec<IpAddr>) -> Option<Question> {
    let ports = Some(&base.ifname).filter(|_| base.kind == "bridge").and_then(|name| ports::count(name).ok());
    if !base.up || ports == Some(0) || drawn.is_empty() {
        return None;
    }
    wiring::ask(base.ifindex, base.address?, drawn, || patience(base, ports.unwrap_or(0))).ok()
}

/// How long an answer may take: from outside of the machine, or from a virtual one, longer.
fn patience(base: &Link, count: usize) -> Duration {
    let (Ok(mut socket), Ok(ports)) = (Socket::open(), ports::first(base.ifindex, OLDEST_PORTS)) else { return ANSWER };
    let mut is_pair =
        |index| link::get(&mut socket, index, Where::Here).is_ok_and(|port| port.is_none_or(|p| p.is_pair()));
    match base.kind == "bridge" && ports.iter().all(|(index, _)| is_pair(*index)) {
        true => LOCAL_ANSWER + PORT * count as u32,
        false => ANSWER,
    }
}

/// What will be written beside the link.
pub(super) fn attachment(id: &str, wish: &Wish, leased: &Leased) -> Result<Attachment> {
    let store = std::path::absolute(&leased.dir).unwrap_or_else(|_| leased.dir.clone());
    let attachment = Attachment {
        id: id.to_owned(),
        ifname: wish.ifname.clone(),
        addrs: leased.leases.iter().map(|lease| lease.addr.addr()).collect(),
        store: Some(store.into_os_string().into_string().map_err(|dir| {
            Error::new(ErrorId::Usage, format!("the directory {} is no text", dir.display()))
                .hint("name another --ipam-dir")
        })?),
        masquerade: wish.masquerade,
    };
    match attachment.to_string().len() {
        length if length > ALIAS => {
            let message = format!("what has to be written beside the link has {length} bytes, and {ALIAS} fit");
            Err(Error::new(ErrorId::Usage, message).hint("take a shorter --ipam-dir"))
        }
        _ => Ok(attachment),
    }
}
