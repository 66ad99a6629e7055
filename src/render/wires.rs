//! What a table says of one namespace: where each link is plugged in, what holds it, and its number.

use unicode_width::UnicodeWidthStr;

use super::owners::{called, containers, made_by};
use super::style::{Style, escape};
use super::table::{Known, cut, lay_out};
use crate::model::{Holder, HolderType, ListedLink, ListedNetns, PeerRef};

/// Links shown of one namespace before the rest is counted; the host has more of its own.
const LINKS: usize = 3;
const LINKS_OF_HOST: usize = 10;

/// Columns of the wide table.
const COLUMNS: usize = 14;

/// One link, or the number of those that are folded.
#[derive(Debug)]
pub(super) struct Wire {
    /// The link itself with its first address.
    head: String,
    /// Where it leads, with the word for how.
    far: Option<String>,
}

impl Wire {
    pub(super) fn width(&self) -> usize {
        self.head.width() + self.far.as_ref().map_or(0, |far| 1 + far.width())
    }

    /// In one line if it fits, else in two.
    pub(super) fn lines(&self, columns: usize, style: Style) -> Vec<String> {
        match &self.far {
            Some(far) if self.width() > columns => {
                vec![cut(&self.head, columns, style), cut(&format!("  {far}"), columns, style)]
            }
            Some(far) => vec![format!("{} {far}", self.head)],
            None => vec![cut(&self.head, columns, style)],
        }
    }
}

/// The links of a namespace that say something of its own; those that serve others are counted.
pub(super) fn wires(netns: &ListedNetns, known: &Known<'_>, style: Style) -> Vec<Wire> {
    let mut shown: Vec<&ListedLink> =
        netns.links.iter().filter(|l| l.kind != "loopback" || addr(l).is_some()).collect();
    shown.sort_by_key(|l| (rank(l), l.ifindex));
    let bare = shown.iter().filter(|l| rank(l) == Rank::BarePair).count();
    let folds = |l: &ListedLink| rank(l) == Rank::BarePair && (l.master.is_some() || bare > 2);
    let (folded, mut shown): (Vec<&ListedLink>, Vec<&ListedLink>) = shown.into_iter().partition(|l| folds(l));
    let limit = if netns.name == "host" { LINKS_OF_HOST } else { LINKS };
    let cut_off = shown.split_off(shown.len().min(limit));
    let mut wires: Vec<Wire> =
        shown.into_iter().map(|l| Wire { head: head(l, netns), far: far(l, netns, known, style) }).collect();
    let count = |links: &[&ListedLink]| match links {
        [] => None,
        [first, rest @ ..] if rest.iter().all(|l| l.kind == first.kind) => {
            Some(format!("+{} {}", links.len(), escape(&first.kind)))
        }
        _ => Some(format!("+{} links", links.len())),
    };
    let counts: Vec<String> = [count(&cut_off), count(&folded)].into_iter().flatten().collect();
    if !counts.is_empty() {
        wires.push(Wire { head: counts.join(", "), far: None });
    }
    // What others tell of links that were not seen themselves.
    for (there, link) in known.into(netns.netns).iter().take(LINKS) {
        let Some(peer) = &link.peer else { continue };
        let head = peer.ifname.as_deref().map_or_else(|| format!("if{}", peer.ifindex), |n| escape(n).into_owned());
        wires.push(Wire { head, far: Some(format!("{} {}", arrow(link, style), end(there, link))) });
    }
    if wires.is_empty() {
        let head = if netns.links.is_empty() { "?" } else { "only lo" };
        wires.push(Wire { head: head.to_owned(), far: None });
    }
    wires
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Addressed,
    Other,
    BarePair,
    Loopback,
}

fn rank(link: &ListedLink) -> Rank {
    match link.kind.as_str() {
        "loopback" => Rank::Loopback,
        _ if addr(link).is_some() => Rank::Addressed,
        _ if is_pair(link) => Rank::BarePair,
        _ => Rank::Other,
    }
}

fn is_pair(link: &ListedLink) -> bool {
    matches!(link.kind.as_str(), "veth" | "netkit" | "vxcan")
}

/// The first address that others can use, and how many more of these there are.
fn addr(link: &ListedLink) -> Option<String> {
    let mut usable = link.addrs.iter().filter(|a| !a.link_scope && !a.local.is_loopback());
    let first = usable.next()?;
    Some(match usable.count() {
        0 => first.to_string(),
        more => format!("{first} +{more}"),
    })
}

fn head(link: &ListedLink, netns: &ListedNetns) -> String {
    let mut head = escape(&link.ifname).into_owned();
    let mut add = |word: &str| {
        head.push(' ');
        head.push_str(word);
    };
    let ports = netns.links.iter().filter(|l| l.master.as_ref() == Some(&link.ifname)).count();
    if let Some(addr) = addr(link) {
        add(&addr);
    }
    if !is_pair(link) && !matches!(link.kind.as_str(), "device" | "loopback" | "unknown") {
        add(&escape(&link.kind));
    }
    match ports {
        0 => {}
        1 => add("with 1 port"),
        n => add(&format!("with {n} ports")),
    }
    if let Some(master) = &link.master {
        add(&format!("({})", escape(master)));
    }
    if matches!(link.operstate.as_str(), "DOWN" | "LOWERLAYERDOWN" | "NOTPRESENT") {
        add("down");
    }
    head
}

fn far(link: &ListedLink, netns: &ListedNetns, known: &Known<'_>, style: Style) -> Option<String> {
    Some(format!("{} {}", arrow(link, style), peer(link.peer.as_ref()?, netns, known)))
}

fn arrow(link: &ListedLink, style: Style) -> &'static str {
    match (is_pair(link), style.ascii) {
        (false, _) => "over",
        (true, true) => "->",
        (true, false) => "→",
    }
}

/// `veth12acb4c1@host (cni0)`
fn end(netns: &ListedNetns, link: &ListedLink) -> String {
    let master = link.master.as_ref().map(|m| format!(" ({})", escape(m))).unwrap_or_default();
    format!("{}@{}{master}", escape(&link.ifname), escape(&netns.name))
}

fn peer(peer: &PeerRef, netns: &ListedNetns, known: &Known<'_>) -> String {
    let ifname = match &peer.ifname {
        Some(ifname) => escape(ifname).into_owned(),
        None => format!("if{}", peer.ifindex),
    };
    if peer.netns == netns.netns {
        return ifname;
    }
    let Some(there) = known.get(peer.netns) else {
        return match peer.nsid {
            Some(nsid) => format!("{ifname}@nsid {nsid}"),
            None => format!("{ifname}@?"),
        };
    };
    match there.links.iter().find(|l| l.ifindex == peer.ifindex) {
        Some(link) if peer.ifname.is_some() => end(there, link),
        _ => format!("{ifname}@{}", escape(&there.name)),
    }
}

/// The first of what holds a namespace, and how many more there are.
pub(super) fn held_by(netns: &ListedNetns) -> String {
    let Some(first) = netns.holders.first() else { return "-".to_owned() };
    let processes = netns.holders.iter().filter(|h| h.holder == HolderType::Process).count();
    let more = if processes > 0 { processes - 1 } else { netns.holders.len() - 1 };
    match more {
        0 => holder(first),
        more => format!("{} +{more}", holder(first)),
    }
}

fn holder(holder: &Holder) -> String {
    let comm = holder.comm.as_deref().map(escape).unwrap_or_default();
    match holder.holder {
        HolderType::Process => format!("{comm} {}", holder.pid),
        HolderType::Thread => format!("thread of {comm} {}", holder.pid),
        HolderType::Fd => format!("file of {comm} {}", holder.pid),
        HolderType::Socket => format!("socket of {comm} {}", holder.pid),
        HolderType::Mount => "mount".to_owned(),
    }
}

/// The inode, or what else tells the namespace from others.
pub(super) fn number(netns: &ListedNetns) -> String {
    match (netns.netns.ino(), netns.nsid) {
        (Some(inode), _) => inode.to_string(),
        (None, Some(nsid)) => format!("nsid {nsid}"),
        (None, None) => "?".to_owned(),
    }
}

/// Every link in a line of its own, with all that is known of it.
pub(super) fn wide(shown: &[&ListedNetns], known: &Known<'_>, style: Style) -> Vec<String> {
    let header = [
        "NAME",
        "RUNTIME",
        "CONTAINERS",
        "NETNS",
        "NSID",
        "HELD BY",
        "LINK",
        "KIND",
        "STATE",
        "MTU",
        "MAC",
        "ADDRESSES",
        "PEER",
        "MASTER",
    ];
    let header = header.map(str::to_owned);
    let mut rows = Vec::new();
    for netns in shown {
        let nsid = netns.nsid.map(|n| n.to_string()).unwrap_or_default();
        let owner = netns.owner.as_ref();
        let runtime = owner.map(made_by).unwrap_or_default();
        let inside = owner.map(|owner| containers(owner).join(",")).unwrap_or_default();
        let start = [called(netns), runtime, inside, number(netns), nsid, all_holders(netns)];
        if netns.links.is_empty() {
            rows.push(columns(&start, Default::default()));
        }
        for link in &netns.links {
            let addrs: Vec<String> = link.addrs.iter().map(ToString::to_string).collect();
            let master = link.master.as_deref().map(|m| escape(m).into_owned()).unwrap_or_default();
            let rest = [
                format!("{} {}", link.ifindex, escape(&link.ifname)),
                escape(&link.kind).into_owned(),
                escape(&link.operstate).into_owned(),
                link.mtu.map(|m| m.to_string()).unwrap_or_default(),
                link.address.map(|a| a.to_string()).unwrap_or_default(),
                addrs.join(","),
                link.peer.as_ref().map(|p| format!("{} {}", p.ifindex, peer(p, netns, known))).unwrap_or_default(),
                master,
            ];
            rows.push(columns(&start, rest));
        }
    }
    let mut widths = header.each_ref().map(|h| h.width());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut bold = [false; COLUMNS];
    bold[0] = true;
    lay_out(header, rows.into_iter(), widths, bold, [false; COLUMNS], style)
}

fn columns(start: &[String; 6], rest: [String; 8]) -> [String; COLUMNS] {
    let mut cells = start.iter().cloned().chain(rest);
    std::array::from_fn(|_| cells.next().unwrap_or_default())
}

fn all_holders(netns: &ListedNetns) -> String {
    let place = |h: &Holder| match (&h.path, h.holder) {
        (Some(path), HolderType::Mount) => format!("mount {}", escape(path)),
        _ => holder(h),
    };
    match netns.holders.as_slice() {
        [] => "-".to_owned(),
        holders if holders.len() <= LINKS => holders.iter().map(place).collect::<Vec<_>>().join(", "),
        holders => {
            let first: Vec<String> = holders.iter().take(LINKS).map(place).collect();
            format!("{} +{}", first.join(", "), holders.len() - LINKS)
        }
    }
}
