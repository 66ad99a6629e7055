//! The loop that carries a packet from decision to decision, and the record it leaves: hops, findings, gaps.

use std::collections::HashSet;
use std::net::IpAddr;

use super::frame::{Carried, Frame};
use super::hearing::{Hearing, Sort};
use super::start::Start;
use super::translated::Hidden;
use crate::model::{
    Action, Finding, Flow, Gap, Hop, IfIndex, Level, Link, LinkId, NetnsId, Path, Seen, Step, Tag, Topology, Verdict,
    word,
};

/// A way longer than this is a way in circles: IP itself gives a packet 64 routers.
const MOST_STEPS: usize = 256;

/// What happens to the packet next.
#[derive(Debug)]
pub(super) enum Next {
    /// It is sent by a link.
    Transmit(LinkId, Box<Link>, Box<Frame>),
    /// It arrives by a link, coming from another one.
    Arrive(LinkId, Box<Link>, Box<Frame>, Step),
    /// It is inside a bridge, having come in by a port, or from the bridge's own namespace.
    Bridge(LinkId, Box<Link>, Option<Box<Link>>, Box<Frame>),
    /// The namespace decides what to do with it, as it came in by this link.
    Input(LinkId, Box<Link>),
    /// It is at its end.
    End(Verdict),
}

/// A walk under way.
pub(super) struct Walk<'a> {
    pub topology: &'a mut dyn Topology,
    pub flow: Flow,
    pub hops: Vec<Hop>,
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    path: usize,
    /// Where it has come in already; in another tunnel, VLAN or to another place it may come there again.
    arrived: HashSet<(LinkId, IpAddr, usize, Vec<Tag>)>,
    /// Packets that the one under way is around, the innermost first.
    pub carried: Vec<Carried>,
    /// Bytes that tunnels have put around the packet, for each hop.
    pub overhead: Vec<u32>,
    /// Why a good end is not to be relied on.
    pub doubtful: Option<String>,
    /// Why it may have gone another way, so that no end is certain.
    pub astray: Option<String>,
    /// The first program on the way, after which no end is certain.
    pub programmed: Option<String>,
    /// What netfilter was asked and has said.
    pub hearing: Hearing,
}

/// What came of a walk.
#[derive(Debug)]
pub(super) struct Walked {
    pub path: Path,
    pub findings: Vec<Finding>,
    pub gaps: Vec<Gap>,
    /// Sources that netfilter has given it, one after the other.
    pub sources: Vec<Hidden>,
    /// Endpoints that netfilter could have sent it to.
    pub endpoints: usize,
    /// Namespaces that know the connection.
    pub tracked: Vec<NetnsId>,
}

/// Follows one start to its end.
pub(super) fn walk(topology: &mut dyn Topology, from: NetnsId, start: Start, path: usize, sort: Sort) -> Walked {
    let mut walk = Walk {
        topology,
        flow: Flow::to(IpAddr::from([0, 0, 0, 0])),
        hops: Vec::new(),
        findings: Vec::new(),
        gaps: Vec::new(),
        path,
        arrived: HashSet::new(),
        carried: Vec::new(),
        overhead: Vec::new(),
        doubtful: None,
        astray: None,
        programmed: None,
        hearing: Hearing::new(sort),
    };
    let traffic = start.traffic();
    let given = match &start {
        Start::Flow { flow, .. } | Start::Arriving { flow, .. } => flow.src,
        _ => None,
    };
    let (to, verdict, dst, bound_to) = match start {
        Start::Flow { to, flow, bound_to } => {
            walk.flow = flow;
            let first = walk.output(from, bound_to);
            (to, walk.run(first), Some(flow.dst), bound_to)
        }
        Start::Arriving { to, flow, at, link, lladdr, tags } => {
            walk.flow = flow;
            let frame = Frame { to: flow.dst, lladdr, from: None, tags };
            (to, walk.run(Next::Arrive(at, link, Box::new(frame), Step::Peer)), Some(flow.dst), None)
        }
        Start::Wiring { to, link, no_route } => (to, walk.wiring(from, *link, no_route), None, None),
        Start::Unused { to, link } => {
            let at = LinkId { netns: from, ifindex: link.ifindex };
            walk.push(at, &link, Step::Route);
            let reason =
                format!("a route leads out by {}, and no packet that podnet can think of takes it", link.ifname);
            (to, walk.end(Action::Unknown, reason), None, None)
        }
        Start::Nowhere => {
            let verdict = walk.end(Action::Dropped, "the namespace has no link but the loopback device");
            ("default".to_owned(), verdict, None, None)
        }
    };
    walk.check_mtu();
    let verdict = walk.by_netfilter(verdict);
    let verdict = walk.not_translated(verdict);
    let verdict = walk.with_doubt(verdict);
    let bound_to = bound_to.and_then(|_| walk.hops.first()).map(|h| h.ifname.clone());
    // The packet that was asked for, not the one around it.
    let src = walk.carried.first().map_or(walk.flow.src, |inside| inside.flow.src);
    let tracked = walk.hearing.tracked();
    let sources = if walk.hearing.answers.is_none() { walk.hearing.sources } else { Vec::new() };
    let hidden_as = sources.last().map(|last| last.is);
    let src = given.or(sources.first().map(|first| first.was)).or(src);
    let redirected_to = Some(walk.carried.first().map_or(walk.flow.dst, |inside| inside.flow.dst));
    let redirected_to = redirected_to.filter(|_| walk.hearing.heard.iter().any(|heard| heard.followed));
    let path =
        Path { to, dst, redirected_to, src, hidden_as, traffic, reply_to: None, bound_to, verdict, hops: walk.hops };
    Walked { path, findings: walk.findings, gaps: walk.gaps, endpoints: walk.hearing.endpoints, sources, tracked }
}

impl Walk<'_> {
    /// A decision that was made on less than the kernel knows makes no promise.
    fn with_doubt(&self, verdict: Verdict) -> Verdict {
        let verdict = match &self.programmed {
            // A program may pass, drop, redirect or rewrite: whatever the rest of the way says hangs on it.
            Some(program) if verdict.action != Action::Unknown => {
                let reason = format!("what {program} does is not seen; if it changes nothing: {}", verdict.reason);
                return Verdict { action: Action::Unknown, reason, ..verdict };
            }
            _ => verdict,
        };
        let doubt = match verdict.action {
            Action::Unknown => None,
            Action::Dropped => self.astray.as_ref(),
            Action::Delivered | Action::LeavesNode => self.astray.as_ref().or(self.doubtful.as_ref()),
        };
        match doubt {
            Some(why) => {
                let reason = format!("{}, if nothing hidden decides otherwise ({why})", verdict.reason);
                Verdict { action: Action::Unknown, reason, ..verdict }
            }
            None => verdict,
        }
    }

    fn run(&mut self, first: Next) -> Verdict {
        let mut next = first;
        for _ in 0..MOST_STEPS {
            next = match next {
                Next::Transmit(at, link, frame) => self.transmit(at, *link, *frame),
                Next::Arrive(at, link, frame, step) => self.arrive(at, *link, *frame, step),
                Next::Bridge(at, bridge, port, frame) => self.bridge(at, *bridge, port.map(|p| *p), *frame),
                Next::Input(at, link) => self.input(at, *link),
                Next::End(verdict) => return verdict,
            };
        }
        self.end(Action::Unknown, format!("given up after {MOST_STEPS} steps"))
    }

    /// The wiring of a link alone: to the other end and what that is plugged into.
    fn wiring(&mut self, from: NetnsId, link: Link, no_route: bool) -> Verdict {
        let at = LinkId { netns: from, ifindex: link.ifindex };
        let name = link.ifname.clone();
        self.push(at, &link, Step::Route);
        if !link.up {
            self.down(&link);
        }
        if let Ok(Some(far)) = self.topology.far_end(at, &link)
            && let Ok(Some(peer)) = self.topology.link(far)
        {
            let step = if link.is_pair() { Step::Peer } else { Step::Lower };
            self.push(far, &peer, step);
            if let Some(index) = peer.master {
                let above = LinkId { netns: far.netns, ifindex: index };
                if let Ok(Some(master)) = self.topology.link(above) {
                    self.name_master(&master);
                    self.push(above, &master, Step::Master);
                }
            }
        }
        if !no_route {
            return self.end(Action::Unknown, "the routes of this namespace cannot be seen");
        }
        let mut verdict = self
            .end(Action::Dropped, format!("no route leads out by {name}: other networks are unreachable from here"));
        verdict.hop = Some(0);
        verdict
    }

    /// The packet comes by a link; `step` says from where. Refuses to go round in circles.
    fn arrive(&mut self, at: LinkId, link: Link, frame: Frame, step: Step) -> Next {
        self.push(at, &link, step);
        if let Some(hop) = self.hops.last_mut() {
            hop.tags = frame.tags.iter().rev().copied().collect();
        }
        if !self.arrived.insert((at, self.flow.dst, self.carried.len(), frame.tags.clone())) {
            let evidence = format!("{} was crossed before in the same direction", link.ifname);
            self.finding(Level::Fatal, "loop", "the packet goes round in circles", evidence, None);
            return self.stop(Action::Dropped, "it goes round in circles until its time to live is over");
        }
        if !link.up {
            return self.down(&link);
        }
        self.take_in(at, link, frame)
    }

    /// A link that must be there for the packet to go on.
    pub(super) fn look(&mut self, at: LinkId) -> Result<Link, Next> {
        match self.topology.link(at) {
            Ok(Some(link)) => Ok(link),
            Ok(None) => Err(self.gone(at)),
            Err(gap) => Err(self.unseen(gap)),
        }
    }

    /// A link that other links named is not there any more.
    pub(super) fn gone(&mut self, at: LinkId) -> Next {
        let name = self.topology.netns(at.netns).name;
        self.gap(Gap::new(format!("link {}", at.ifindex), name, "it was gone when podnet looked"));
        self.stop(Action::Unknown, "a link of the path vanished while podnet looked")
    }

    pub(super) fn push(&mut self, at: LinkId, link: &Link, step: Step) {
        let netns = self.topology.netns(at.netns);
        self.overhead.push(self.carried.iter().map(|c| c.overhead).sum());
        self.hops.push(Hop {
            netns: at.netns,
            nsid: if at.netns.ino().is_none() { netns.nsid } else { None },
            netns_name: netns.name,
            node: netns.node,
            ifname: link.ifname.clone(),
            ifindex: link.ifindex,
            kind: link.kind.clone(),
            address: link.address.filter(|a| !a.is_zero()),
            mtu: link.mtu,
            operstate: link.operstate.clone(),
            addrs: link.addrs.clone(),
            driver: link.driver.clone(),
            step,
            master: None,
            link_index: link.link,
            port: link.port.clone(),
            route: None,
            neigh: None,
            fdb: None,
            segment: None,
            tags: Vec::new(),
            encap: None,
            held_by: Vec::new(),
            pf: link.pf.clone(),
            chains: Vec::new(),
            programs: Vec::new(),
        });
    }

    /// Notes the name of the last hop's master, once that is known.
    pub(super) fn name_master(&mut self, master: &Link) {
        if let Some(hop) = self.hops.last_mut() {
            hop.master = Some(master.ifname.clone());
        }
    }

    /// A judgement on the last hop.
    pub(super) fn finding(
        &mut self,
        level: Level,
        id: &str,
        message: impl Into<String>,
        evidence: impl Into<String>,
        fix: Option<String>,
    ) {
        let hop = self.hops.len().saturating_sub(1);
        self.finding_at(hop, level, id, message, evidence, fix);
    }

    /// A judgement on a hop.
    pub(super) fn finding_at(
        &mut self,
        hop: usize,
        level: Level,
        id: &str,
        message: impl Into<String>,
        evidence: impl Into<String>,
        fix: Option<String>,
    ) {
        let (message, evidence) = (message.into(), evidence.into());
        self.findings.push(Finding { level, id: id.to_owned(), path: self.path, hop, message, evidence, fix });
    }

    pub(super) fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// A fact that the walk can do without: what could not be seen is recorded, and absent.
    pub(super) fn seen<T>(&mut self, fact: Seen<Option<T>>) -> Option<T> {
        fact.unwrap_or_else(|gap| {
            self.gap(gap);
            None
        })
    }

    /// A fact that the walk cannot do without was not to be had.
    pub(super) fn unseen(&mut self, gap: Gap) -> Next {
        let reason = format!("not seen in {}: {}: {}", gap.at, gap.what, gap.why);
        self.gap(gap);
        self.stop(Action::Unknown, reason)
    }

    /// The link is not up.
    pub(super) fn down(&mut self, link: &Link) -> Next {
        let name = self.here();
        let fix = self.to_type(format!("ip link set {} up", word(&link.ifname)));
        self.finding(
            Level::Fatal,
            "link-down",
            format!("{} is down", link.ifname),
            format!("{} in {name} is not administratively up", link.ifname),
            Some(fix),
        );
        self.stop(Action::Dropped, format!("{} is down", link.ifname))
    }

    pub(super) fn end(&self, action: Action, reason: impl Into<String>) -> Verdict {
        Verdict { action, reason: reason.into(), hop: self.hops.len().checked_sub(1), undecided: Vec::new() }
    }

    pub(super) fn stop(&self, action: Action, reason: impl Into<String>) -> Next {
        Next::End(self.end(action, reason))
    }

    /// Index of the last hop that is this link.
    pub(super) fn hop_of(&self, link: &Link) -> usize {
        let found = self.hops.iter().rposition(|h| h.ifindex == link.ifindex && h.ifname == link.ifname);
        found.unwrap_or(self.hops.len().saturating_sub(1))
    }

    /// The name of the namespace of the last hop.
    pub(super) fn here(&self) -> String {
        self.hops.last().map(|h| h.netns_name.clone()).unwrap_or_default()
    }

    /// A command for the namespace that the packet is in, as it has to be typed; said to be for another machine, or for a
    /// namespace that there is no way into, where that is so.
    pub(super) fn to_type(&self, command: String) -> String {
        self.hops.last().map_or_else(|| command.clone(), |hop| Self::to_type_at(hop, &command))
    }

    /// The same for the namespace of a hop.
    pub(super) fn to_type_at(hop: &Hop, command: &str) -> String {
        match (hop.netns.ino(), &hop.node) {
            // Nobody else may be called that.
            (Some(_), None) if hop.netns_name == "host" => command.to_owned(),
            (Some(ino), None) => format!("podnet exec netns:{ino} -- {command}"),
            // Here it would be another one's. A name from a recording can be anything.
            _ => format!("in {}: {command}", hop.netns_name.replace(char::is_control, "?")),
        }
    }

    /// The link of the same namespace with this index.
    pub(super) fn beside(at: LinkId, ifindex: IfIndex) -> LinkId {
        LinkId { netns: at.netns, ifindex }
    }
}
