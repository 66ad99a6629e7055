//! Recordings as a topology: what the running kernel would be asked is answered from what was read of it, routing
//! decisions by podnet's own look-up, which the tests hold against the kernel's. Pure: recordings are read elsewhere.

mod above;
mod addr6;
mod anonymise;
mod fib;
mod input4;
mod join;
mod listing;
mod lookup4;
mod lookup6;
mod rules;
mod search;
mod space;
mod target;
mod topology;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::model::{
    ChainId, Flow, Gap, IfIndex, Netns, NetnsId, NfRule, NfSet, RecordedNetns, RecordedRoute, Route, RouteAnswer,
    RouteType, Snapshot, TableId,
};

pub use anonymise::anonymise;

use rules::{Key, LO};
use space::Space;

/// What is wrong with a recording.
pub type Flaw = String;

/// Recordings of one machine or of several.
#[derive(Debug, Default)]
pub struct Recorded {
    machines: Vec<Machine>,
    /// Names by which the target was found.
    called: HashMap<NetnsId, String>,
    /// Where the machines meet.
    joined: Option<join::Joined>,
    /// Rules and sets of netfilter that were asked for: both are asked for again and again.
    nf_rules: HashMap<(NetnsId, ChainId), Arc<[NfRule]>>,
    nf_sets: HashMap<(NetnsId, ChainId, String), Arc<NfSet>>,
    /// What the last look-up left open.
    undecided: Option<(NetnsId, String)>,
    gaps: Vec<Gap>,
}

/// Brings all of a recording of which only the outline was there.
pub struct Whole(pub Box<dyn Fn() -> Option<Snapshot> + Send + Sync>);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Whole")
    }
}

/// One recorded machine.
#[derive(Debug)]
struct Machine {
    hostname: String,
    /// Names that a trace has for namespaces which nothing led into, and which a listing calls otherwise.
    unseen: HashMap<usize, String>,
    own: usize,
    host: Option<usize>,
    spaces: Vec<Space>,
    gaps: Vec<Gap>,
    whole: Option<Whole>,
}

impl Recorded {
    /// Adds a recording. What does not fit together in it is a flaw.
    pub fn add(&mut self, snapshot: Snapshot) -> Result<(), Flaw> {
        self.add_outline(snapshot, None)
    }

    /// Adds a recording of which `whole` brings what was read inside the namespaces, once that is asked for.
    pub fn add_outline(&mut self, snapshot: Snapshot, whole: Option<Whole>) -> Result<(), Flaw> {
        check(&snapshot)?;
        let conf = Arc::new(snapshot.conf);
        let kernel = version(&snapshot.kernel);
        let space = |read| Space::new(read, Arc::clone(&conf), kernel);
        self.machines.push(Machine {
            hostname: snapshot.hostname,
            unseen: unseen(&snapshot.namespaces, snapshot.own),
            own: snapshot.own,
            host: snapshot.host,
            spaces: snapshot.namespaces.into_iter().map(space).collect(),
            gaps: snapshot.gaps,
            whole,
        });
        Ok(())
    }

    fn id(&self, snapshot: usize, at: usize) -> NetnsId {
        let ino = self.machines.get(snapshot).and_then(|m| m.spaces.get(at)).and_then(|s| s.read.netns);
        NetnsId::Recorded { snapshot: snapshot as u32, at: at as u32, ino }
    }

    fn space(&self, id: NetnsId) -> Option<&Space> {
        let NetnsId::Recorded { snapshot, at, .. } = id else { return None };
        self.machines.get(snapshot as usize)?.spaces.get(at as usize)
    }

    /// A namespace with what was read inside.
    fn whole(&self, id: NetnsId) -> Option<&Space> {
        let space = self.space(id)?;
        let NetnsId::Recorded { snapshot, .. } = id else { return None };
        let machine = self.machines.get(snapshot as usize)?;
        if let Some(Whole(bring)) = machine.whole.as_ref().filter(|_| space.was_read() && space.facts().is_none()) {
            let read = bring().map(|snapshot| snapshot.namespaces).unwrap_or_default();
            for (space, read) in machine.spaces.iter().zip(read) {
                space.fetched(read.facts);
            }
        }
        Some(space)
    }

    /// All namespaces with their identity.
    fn all(&self) -> impl Iterator<Item = (NetnsId, &Space)> {
        let of = |(snapshot, machine): (usize, &'_ Machine)| {
            (0..machine.spaces.len()).map(move |at| (snapshot, at)).collect::<Vec<_>>()
        };
        let places = self.machines.iter().enumerate().flat_map(of);
        places.filter_map(|(snapshot, at)| {
            let id = self.id(snapshot, at);
            Some((id, self.space(id)?))
        })
    }

    /// The machine that a namespace is on, where there are several.
    fn node_of(&self, id: NetnsId) -> Option<String> {
        let NetnsId::Recorded { snapshot, .. } = id else { return None };
        let machine = self.machines.get(snapshot as usize).filter(|_| self.machines.len() > 1)?;
        Some(machine.hostname.clone())
    }

    fn name_of(&self, id: NetnsId, space: &Space) -> String {
        let unseen = || match id {
            NetnsId::Recorded { snapshot, at, .. } => self.machines.get(snapshot as usize)?.unseen.get(&(at as usize)),
            _ => None,
        };
        let name = self.called.get(&id).or_else(unseen).unwrap_or(&space.read.name);
        match self.node_of(id) {
            Some(node) => format!("{name} on {node}"),
            None => name.clone(),
        }
    }

    fn netns_of(&self, id: NetnsId) -> Netns {
        match self.space(id) {
            Some(space) => Netns {
                id,
                nsid: space.read.nsid,
                name: self.name_of(id, space),
                node: self.node_of(id),
                owner: space.read.owner.clone(),
                pid: None,
            },
            None => Netns { id, nsid: None, name: "unseen".to_owned(), node: None, owner: None, pid: None },
        }
    }

    /// Output look-up with all next hops that the kernel may take; more than one: it takes one by a secret hash.
    pub fn ways_out(&self, netns: NetnsId, packet: &Packet, oif: Option<IfIndex>) -> Result<Ways, String> {
        let space = self.whole(netns).ok_or("no such namespace")?;
        let key = Key { oif: oif.filter(|oif| oif.0 != 0), ..packet.key(LO) };
        let answer = if key.dst.is_ipv4() { lookup4::output(space, key) } else { lookup6::output(space, key) };
        answer.map(Answer::told)
    }

    /// Input look-up with all next hops that the kernel may take.
    pub fn ways_in(&self, netns: NetnsId, packet: &Packet, iif: IfIndex) -> Result<Ways, String> {
        let space = self.whole(netns).ok_or("no such namespace")?;
        let key = packet.key(iif);
        let answer = if key.dst.is_ipv4() { input4::input(space, key) } else { lookup6::input(space, key) };
        answer.map(Answer::told)
    }
}

/// What of a packet decides its way.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    /// Addresses and what else it has.
    pub flow: Flow,
    /// User that the sending socket belongs to.
    pub uid: u32,
}

impl Packet {
    fn key(&self, iif: IfIndex) -> Key {
        let Flow { src, dst, traffic } = self.flow;
        Key {
            src,
            iif,
            tos: traffic.tos.unwrap_or(0),
            mark: traffic.mark.unwrap_or(0),
            uid: self.uid,
            proto: traffic.proto.map_or(0, |proto| proto.number(dst.is_ipv6())),
            sport: traffic.sport.unwrap_or(0),
            dport: traffic.dport.unwrap_or(0),
            ..Key::to(dst)
        }
    }
}

impl From<&Flow> for Packet {
    fn from(flow: &Flow) -> Self {
        Packet { flow: *flow, uid: 0 }
    }
}

/// What a look-up gives: an answer, and others that are as likely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ways {
    /// The first of them.
    pub first: RouteAnswer,
    /// The others.
    pub others: Vec<RouteAnswer>,
}

/// A route that takes the packet, and what the kernel makes of it.
#[derive(Debug, Clone)]
struct Picked {
    /// None: there is none, and the kernel sends it all the same.
    route: Option<Box<RecordedRoute>>,
    kind: RouteType,
    dst: IpAddr,
    gateway: Option<IpAddr>,
    oif: Option<IfIndex>,
    prefsrc: Option<IpAddr>,
    /// Others that are as likely.
    or: Vec<Answer>,
}

#[derive(Debug, Clone)]
enum Answer {
    Route(Box<Picked>),
    Refused(&'static str),
}

impl Answer {
    fn route(picked: Picked) -> Answer {
        Answer::Route(Box::new(picked))
    }

    /// This one, or one of the others.
    fn or_one_of(self, others: impl Iterator<Item = Answer>) -> Answer {
        let others: Vec<Answer> = others.collect();
        match self {
            Answer::Route(picked) => Answer::route(Picked { or: others, ..*picked }),
            // Whatever else is likely stands in front, for a refusal has no room for others.
            refused => match others.iter().position(|other| matches!(other, Answer::Route(_))) {
                Some(at) => {
                    let mut others = others;
                    let first = others.swap_remove(at);
                    others.push(refused);
                    first.or_one_of(others.into_iter())
                }
                None => refused,
            },
        }
    }

    fn each(self, change: impl Fn(Picked) -> Picked) -> Answer {
        fn all(answer: Answer, change: &dyn Fn(Picked) -> Picked) -> Answer {
            match answer {
                Answer::Route(mut picked) => {
                    let or = std::mem::take(&mut picked.or).into_iter().map(|other| all(other, change)).collect();
                    Answer::route(Picked { or, ..change(*picked) })
                }
                refused => refused,
            }
        }
        all(self, &change)
    }

    fn told(self) -> Ways {
        match self {
            Answer::Refused(errno) => Ways { first: RouteAnswer::Refused(errno.to_owned()), others: Vec::new() },
            Answer::Route(mut picked) => {
                let or = std::mem::take(&mut picked.or);
                Ways {
                    first: RouteAnswer::Route(picked.shown()),
                    others: or.into_iter().map(|a| a.told().first).collect(),
                }
            }
        }
    }
}

impl Picked {
    /// As the kernel tells it: the entry, with the next hop and the source that it picked.
    fn shown(self) -> Route {
        let Picked { route, kind, dst, gateway, oif, prefsrc, .. } = self;
        let entry = route.map(|route| route.shown()).unwrap_or_else(|| Route {
            dst: dst.into(),
            kind,
            gateway: None,
            oif: None,
            dev: None,
            table: TableId(0),
            metric: 0,
            prefsrc: None,
            protocol: "unspec".to_owned(),
            scope: "universe".to_owned(),
            mtu: None,
            nexthops: Vec::new(),
            nhid: None,
            encap: None,
            onlink: false,
        });
        Route { kind, gateway, oif, prefsrc, ..entry }
    }
}

/// The link is of the group that a rule does not want.
fn is_of_group(space: &Space, group: Option<u32>, link: Option<IfIndex>) -> bool {
    let of = |link: IfIndex| space.link(link).is_some_and(|link| Some(link.group) == group);
    group.is_some() && link.is_some_and(of)
}

/// What to call the namespaces that are known by a number only: the number, and who says it.
fn unseen(namespaces: &[RecordedNetns], own: usize) -> HashMap<usize, String> {
    let mut names = HashMap::new();
    let all = namespaces.iter().enumerate();
    // Podnet's own numbers first.
    for (_, by) in namespaces.get(own).map(|own_netns| (own, own_netns)).into_iter().chain(all) {
        for (nsid, at) in &by.nsids {
            if namespaces.get(*at).is_some_and(|n| n.netns.is_none() && n.pid.is_none()) {
                let name = || format!("unseen namespace (nsid {nsid} in {})", by.name);
                names.entry(*at).or_insert_with(name);
            }
        }
    }
    names
}

/// Major and minor version of a kernel release; an unknown one counts as the newest.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor),
        _ => (u32::MAX, u32::MAX),
    }
}

/// Whether the places that a recording names are in it.
fn check(snapshot: &Snapshot) -> Result<(), Flaw> {
    let count = snapshot.namespaces.len();
    let there = |at: usize, what: &str| match at < count {
        true => Ok(()),
        false => Err(format!("{what} is namespace {at}, and it has {count}")),
    };
    there(snapshot.own, "own")?;
    snapshot.host.map_or(Ok(()), |host| there(host, "host"))?;
    for (at, netns) in snapshot.namespaces.iter().enumerate() {
        for other in netns.nsids.values() {
            there(*other, &format!("a number of namespace {at}"))?;
        }
        for peer in netns.links.iter().filter_map(|l| l.peer.and_then(|peer| peer.at)) {
            there(peer, &format!("the other end of a link of namespace {at}"))?;
        }
        for addr in netns.links.iter().flat_map(|l| &l.link.addrs) {
            let most = if addr.local.is_ipv4() { 32 } else { 128 };
            if addr.prefix_len > most {
                return Err(format!("the address {addr} of namespace {at} is none"));
            }
        }
    }
    Ok(())
}
