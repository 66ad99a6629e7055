//! Whether what was made works: podnet's own trace from the namespace has to reach the gateway over the new devices, the
//! port has to forward, and no address may be somebody else's. Then its segment is told.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::gather;
use crate::error::{Error, ErrorId, Result};
use crate::kernel::addr::{self, Detection};
use crate::kernel::link;
use crate::kernel::{Live, socket::Socket};
use crate::model::{Action, Chain, Hook, IfIndex, Link, NetnsId, Topology};
use crate::trace::{self, Ask};
use crate::wiring;
use crate::wiring::Stop;
use crate::wiring::plan::{Decided, Lease, Way, Wish};

/// What was found to work.
pub(super) struct Verified {
    pub ifindex: IfIndex,
    pub words: Vec<String>,
    pub notes: Vec<String>,
}

/// Not yet, or never.
enum Flaw {
    Waiting(String),
    Final(String),
}

pub(super) fn verify(
    live: &mut Live,
    netns: NetnsId,
    wish: &Wish,
    decided: &Decided,
    leases: &[Lease],
    stop: &Stop,
    patience: Duration,
) -> Result<Verified> {
    let deadline = Instant::now() + patience;
    loop {
        let found = works(live, netns, wish, decided);
        if let Some(signal) = stop.asked() {
            let message = format!("{signal} came before it was known that the link works");
            return Err(Error::new(ErrorId::Interrupted, message));
        }
        let why = match found {
            Ok((link, words)) => {
                let mut verified = Verified { ifindex: link.ifindex, words, notes: Vec::new() };
                // It works without; who knew the address before has to find out by itself then.
                if let Err(why) = announce(live, netns, &link, leases) {
                    verified.notes.push(format!("its addresses could not be announced: {why}"));
                }
                verified.notes.extend(held_up(live, wish, decided));
                return Ok(verified);
            }
            Err(Flaw::Final(why)) => why,
            Err(Flaw::Waiting(_)) if Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(1));
                continue;
            }
            Err(Flaw::Waiting(why)) => format!("{why}, after {} s (--wait)", patience.as_secs_f64()),
        };
        let message = format!("{} was attached to {} and does not work: {why}", wish.ifname, wish.target);
        return Err(Error::new(ErrorId::Failed, message));
    }
}

/// The host is the way out, and lets nothing pass that its rules do not name; those are not podnet's.
fn held_up(live: &mut Live, wish: &Wish, decided: &Decided) -> Option<String> {
    if !decided.gateway_is_host || !wish.default_route {
        return None;
    }
    let [ipv4, ipv6] = [false, true].map(|ipv6| decided.gateways.iter().any(|ip| ip.is_ipv6() == ipv6));
    let own = live.spaces.own();
    let drops = |chain: &&Chain| {
        let family = match chain.family.as_str() {
            "ip" => ipv4,
            "ip6" => ipv6,
            family => family == "inet",
        };
        chain.hook == Hook::Forward && chain.policy == "drop" && family
    };
    let chains = live.chains(own).ok()?;
    let Chain { family, table, chain, .. } = chains.iter().find(drops)?;
    Some(format!(
        "the policy of {family} {table} {chain} is drop: packets of {} pass the host only where a rule there accepts them",
        wish.target
    ))
}

fn works(
    live: &mut Live,
    netns: NetnsId,
    wish: &Wish,
    decided: &Decided,
) -> std::result::Result<(Link, Vec<String>), Flaw> {
    let mut words = Vec::new();
    let own = live.spaces.own();
    let find = |live: &mut Live, netns, name: &str| {
        let (socket, _) = live.spaces.socket(netns).ok_or_else(|| Flaw::Final("the namespace is closed".to_owned()))?;
        let link = link::by_name(socket, name).map_err(|refused| Flaw::Final(refused.to_string()))?;
        link.ok_or_else(|| Flaw::Final(format!("{name} has vanished")))
    };
    if let Way::Bridge { name, .. } = &wish.way {
        let port = find(live, own, &wish.host_ifname)?;
        let state = port.port.map_or_else(|| "no port".to_owned(), |port| port.state);
        if state != "forwarding" {
            let more = match state.as_str() {
                "listening" | "learning" => "; the spanning tree lets it forward after twice its forward delay",
                _ => "",
            };
            return Err(Flaw::Waiting(format!("{} is {state} as a port of {name}{more}", wish.host_ifname)));
        }
        words.push(format!("{} is forwarding", wish.host_ifname));
    }
    let link = find(live, netns, &wish.ifname)?;
    if link.carrier == Some(false) {
        return Err(Flaw::Waiting(format!("{} has no carrier", wish.ifname)));
    }
    if let Some((socket, _)) = live.spaces.socket(netns) {
        addresses(socket, &link)?;
    }
    for gateway in &decided.gateways {
        reaches(live, netns, wish, decided, *gateway)?;
        words.push(match decided.gateway_is_host {
            true => format!("a trace reaches {gateway}"),
            false => format!("a trace to {gateway} leaves by {}", wish.ifname),
        });
    }
    Ok((link, words))
}

fn addresses(socket: &mut Socket, link: &Link) -> std::result::Result<(), Flaw> {
    for (addr, state) in addr::unusable(socket, link.ifindex).map_err(|refused| Flaw::Final(refused.to_string()))? {
        // Nobody waits for the address that the kernel makes up for each link.
        match (addr, state) {
            (IpAddr::V6(ip), Detection::Asking) if ip.is_unicast_link_local() => {}
            (_, Detection::Asking) => return Err(Flaw::Waiting(format!("the kernel still asks who has {addr}"))),
            (_, Detection::Duplicate) => return Err(Flaw::Final(format!("somebody else has {addr}"))),
        }
    }
    Ok(())
}

/// The way to the gateway leads over the devices that were just made.
fn reaches(
    live: &mut Live,
    netns: NetnsId,
    wish: &Wish,
    decided: &Decided,
    gateway: IpAddr,
) -> std::result::Result<(), Flaw> {
    // Without its link that address is one of every segment.
    if matches!(gateway, IpAddr::V6(ip) if ip.is_unicast_link_local()) {
        return Ok(());
    }
    // What others have put beside every link of the machine is not this link's flaw.
    live.wiring_only = true;
    let traced = trace::trace(live, netns, &Ask { to: Some(gateway), ..Ask::default() });
    live.wiring_only = false;
    let Some(path) = traced.paths.first() else {
        return Err(Flaw::Waiting(format!("a trace to {gateway} finds no way")));
    };
    let mut way = path.hops.iter().map(|hop| hop.ifname.as_str());
    let first = way.next() == Some(&wish.ifname);
    let second = matches!(wish.way, Way::Macvlan { .. }) || way.next() == Some(&wish.host_ifname);
    if !first || !second {
        let way: Vec<&str> = path.hops.iter().map(|hop| hop.ifname.as_str()).collect();
        return Err(Flaw::Waiting(format!("a trace to {gateway} goes another way: {}", way.join(", "))));
    }
    // What a router elsewhere does is not podnet's work.
    match path.verdict.action {
        Action::Delivered => Ok(()),
        _ if !decided.gateway_is_host => Ok(()),
        _ => Err(Flaw::Waiting(format!("a trace to {gateway} does not arrive: {}", path.verdict.reason))),
    }
}

fn announce(live: &Live, netns: NetnsId, link: &Link, leases: &[Lease]) -> Result<()> {
    let file = gather::open_again(live, netns)?;
    let addrs: Vec<IpAddr> = leases.iter().map(|lease| lease.addr.addr()).collect();
    let Some(mac) = link.address else { return Ok(()) };
    wiring::announce(&file, link.ifindex, mac, &addrs)
        .map_err(|e| Error::new(ErrorId::Failed, "sending by a packet socket").because(e))
}
