//! The listing as a table: a namespace in a line or two, its name first, then how it is plugged in, who holds it and
//! its number. Links that only serve others, like the host's ends of its pods' pairs, are folded.

use std::collections::{HashMap, HashSet};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::owners::{fold, name, tenants};
use super::path::{gap_text, wrap};
use super::style::Style;
use super::wires::{Wire, held_by, number, wires};
use crate::model::{ListedLink, ListedNetns, Listing, NetnsId};

/// Blank columns between two columns of the table.
const SPACE: usize = 2;
/// What an address of a link needs, and a name gives way for.
const WIRING: usize = 24;

/// All namespaces of a listing, to name what is at the other end of a link.
#[derive(Debug)]
pub(super) struct Known<'a> {
    by_id: HashMap<NetnsId, &'a ListedNetns>,
    /// For those whose own links were not seen: links of others that lead there.
    into: HashMap<NetnsId, Vec<(&'a ListedNetns, &'a ListedLink)>>,
}

impl<'a> Known<'a> {
    fn of(listing: &'a Listing) -> Self {
        let unseen: HashSet<NetnsId> =
            listing.namespaces.iter().filter(|n| n.links.is_empty()).map(|n| n.netns).collect();
        let mut into: HashMap<NetnsId, Vec<_>> = HashMap::new();
        for netns in &listing.namespaces {
            for link in &netns.links {
                if let Some(peer) = link.peer.as_ref().filter(|p| unseen.contains(&p.netns)) {
                    into.entry(peer.netns).or_default().push((netns, link));
                }
            }
        }
        Known { by_id: listing.namespaces.iter().map(|n| (n.netns, n)).collect(), into }
    }

    pub(super) fn get(&self, id: NetnsId) -> Option<&'a ListedNetns> {
        self.by_id.get(&id).copied()
    }

    /// Links that lead into a namespace whose own ones were not seen.
    pub(super) fn into(&self, id: NetnsId) -> &[(&'a ListedNetns, &'a ListedLink)] {
        self.into.get(&id).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The listing as text; `shown` are those of its namespaces that were asked for.
pub fn text(listing: &Listing, shown: &[&ListedNetns], style: Style, wide: bool) -> String {
    let known = Known::of(listing);
    let mut out = String::new();
    let lines = match shown {
        [] => vec![format!("no namespace matches; {} are there", listing.namespaces.len())],
        _ if wide => super::wires::wide(shown, &known, style),
        _ => narrow(shown, &known, style),
    };
    for line in lines.into_iter().chain(tenants(shown, style)) {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    if !listing.gaps.is_empty() {
        out.push_str(&format!("\n{}\n", style.bold("not seen")));
        let room = style.width.unwrap_or(usize::MAX).saturating_sub(2).max(20);
        for line in listing.gaps.iter().flat_map(|gap| wrap(&gap_text(gap), room)) {
            out.push_str(&format!("  {}\n", style.dim(&line)));
        }
    }
    out
}

/// One namespace before it is laid out.
struct Row {
    /// Its name, and the containers below where they are several.
    name: Vec<String>,
    wires: Vec<Wire>,
    held_by: String,
    number: String,
}

fn narrow(shown: &[&ListedNetns], known: &Known<'_>, style: Style) -> Vec<String> {
    let row =
        |n: &&ListedNetns| Row { name: name(n), wires: wires(n, known, style), held_by: held_by(n), number: number(n) };
    let rows: Vec<Row> = shown.iter().map(row).collect();
    let widths = widths(&rows, style);
    let [name, wiring, held, number] = widths;
    let cells = |row: &Row| {
        [
            row.name.iter().flat_map(|line| fold(line, name)).collect::<Vec<_>>().join("\n"),
            row.wires.iter().flat_map(|wire| wire.lines(wiring, style)).collect::<Vec<_>>().join("\n"),
            cut(&row.held_by, held, style),
            cut(&row.number, number, style),
        ]
    };
    let header = ["NAME", "LINKS", "HELD BY", "NETNS"].map(str::to_owned);
    lay_out(header, rows.iter().map(cells), widths, [true, false, false, false], [false, false, false, true], style)
}

/// How wide each column becomes: as wide as it needs to be where there is room. Else the name and the holder give way,
/// and the links get the rest, which is enough for one link in two lines.
fn widths(rows: &[Row], style: Style) -> [usize; 4] {
    let widest = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let name = widest(&|r| r.name.iter().map(|line| line.width()).max().unwrap_or(0)).max(4);
    let wiring = widest(&|r| r.wires.iter().map(Wire::width).max().unwrap_or(0)).max(5);
    let held = widest(&|r| r.held_by.width()).max(7);
    let number = widest(&|r| r.number.width()).max(5);
    let Some(width) = style.width else { return [name, wiring, held, number] };
    let room = width.saturating_sub(number + 3 * SPACE);
    if name + wiring + held <= room {
        return [name, wiring, held, number];
    }
    let held = held.min((width / 6).max(8));
    let left = room.saturating_sub(held + WIRING);
    let name = name.min((width / 4).min(left).max(12));
    [name, wiring.min(room.saturating_sub(name + held).max(16)), held, number]
}

/// Lays out cells that have been cut to their width already, and then colours the columns.
pub(super) fn lay_out<const N: usize>(
    header: [String; N],
    rows: impl Iterator<Item = [String; N]>,
    widths: [usize; N],
    bold: [bool; N],
    dim: [bool; N],
    style: Style,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (index, width) in widths.iter().enumerate() {
        if let Some(column) = table.column_mut(index) {
            let space = if index + 1 < N { SPACE } else { 0 };
            column.set_padding((0, space as u16));
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed((width + space) as u16)));
        }
    }
    let paint = |(number, line): (usize, String)| {
        let mut painted = String::new();
        let mut rest = line.as_str();
        for (index, width) in widths.iter().enumerate() {
            let at = if index + 1 < N { boundary(rest, width + SPACE) } else { rest.len() };
            let (cell, after) = rest.split_at(at);
            let word = cell.trim_end();
            painted.push_str(&match () {
                () if word.is_empty() => String::new(),
                () if number == 0 || dim[index] => style.dim(word),
                () if bold[index] => style.bold(word),
                () => word.to_owned(),
            });
            painted.push_str(&cell[word.len()..]);
            rest = after;
        }
        painted
    };
    if !style.color {
        return table.lines().collect();
    }
    table.lines().enumerate().map(paint).collect()
}

/// Where in the text this many columns of the terminal are full.
pub(super) fn boundary(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return at;
        }
    }
    text.len()
}

/// The text in no more than this many columns of the terminal; what is cut off leaves a mark.
pub(super) fn cut(text: &str, columns: usize, style: Style) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mark = if style.ascii { ".." } else { "…" };
    format!("{}{mark}", &text[..boundary(text, columns.saturating_sub(mark.width()))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Gap, Holder, HolderType, IfIndex, LinkAddr, Nsid, PeerRef, Pid, SCHEMA};

    const HOST: NetnsId = NetnsId::Inode { dev: 4, ino: 4026531840 };
    const POD: NetnsId = NetnsId::Inode { dev: 4, ino: 4026532750 };

    fn link(ifindex: u32, ifname: &str, kind: &str, addr: Option<&str>) -> ListedLink {
        let parsed = |a: &str| {
            let (ip, len) = a.split_once('/').unwrap();
            LinkAddr::new(ip.parse().unwrap(), len.parse().unwrap(), false)
        };
        ListedLink {
            ifname: ifname.to_owned(),
            ifindex: IfIndex(ifindex),
            kind: kind.to_owned(),
            address: None,
            mtu: Some(1500),
            operstate: "UP".to_owned(),
            addrs: addr.map(parsed).into_iter().collect(),
            peer: None,
            master: None,
        }
    }

    fn netns(netns: NetnsId, name: &str, comm: &str, links: Vec<ListedLink>) -> ListedNetns {
        let holder =
            |pid| Holder { holder: HolderType::Process, pid: Pid(pid), comm: Some(comm.to_owned()), path: None };
        ListedNetns {
            node: None,
            netns,
            nsid: Some(Nsid(0)),
            name: name.to_owned(),
            owner: None,
            tenants: Vec::new(),
            holders: vec![holder(1), holder(2)],
            links,
        }
    }

    fn node(pod: &str, comm: &str, veth: &str) -> Listing {
        let mut port = link(220, veth, "veth", None);
        port.master = Some("cni0".to_owned());
        port.peer = Some(PeerRef { netns: POD, nsid: Some(Nsid(0)), ifname: Some("eth0".into()), ifindex: IfIndex(2) });
        let mut eth0 = link(2, "eth0", "veth", Some("172.22.0.253/24"));
        eth0.peer =
            Some(PeerRef { netns: HOST, nsid: Some(Nsid(0)), ifname: Some(veth.into()), ifindex: IfIndex(220) });
        let own = vec![
            link(1, "lo", "loopback", Some("127.0.0.1/8")),
            link(2, "eth0", "device", Some("10.30.180.56/24")),
            link(3, "cni0", "bridge", Some("172.22.0.1/24")),
            port,
        ];
        Listing {
            schema: SCHEMA,
            kind: "list",
            namespaces: vec![netns(HOST, "host", "systemd", own), netns(POD, pod, comm, vec![eth0])],
            gaps: vec![Gap::new("ns/net", "3 processes", "Permission denied").needs("CAP_SYS_PTRACE")],
        }
    }

    fn at(listing: &Listing, width: Option<usize>) -> String {
        text(listing, &listing.namespaces.iter().collect::<Vec<_>>(), Style { width, ..Style::PLAIN }, false)
    }

    #[test]
    fn a_node_in_80_columns() {
        let expected = "\
NAME           LINKS                                    HELD BY       NETNS
host           eth0 10.30.180.56/24                     systemd 1 +1  4026531840
               cni0 172.22.0.1/24 bridge with 1 port
               +1 veth
signin-test-a  eth0 172.22.0.253/24                     pause 1 +1    4026532750
                 → veth12acb4c1@host (cni0)

not seen
  3 processes: ns/net: Permission denied (needs CAP_SYS_PTRACE)
";
        let text = at(&node("signin-test-a", "pause", "veth12acb4c1"), Some(80));
        assert_eq!(text, expected, "\n{text}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let long = "signin-production-api-gateway-8bcd5db69-9z2c5-with-a-name-that-goes-on";
        for (pod, comm, veth) in [
            (long, "pause", "veth12acb4c1"),
            ("日本語のとても長い名前", "日本語プロセス", "日本語"),
            ("\u{1b}[31m\n", "\u{202e}x", "e\u{1b}"),
        ] {
            for width in [60, 80, 100, 120, 200] {
                let text = at(&node(pod, comm, veth), Some(width));
                for line in text.lines() {
                    assert!(line.width() <= width, "{width}: {} {line:?}", line.width());
                }
                assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
                assert!(text.contains("4026532750") && text.contains("172.22.0.253/24"), "{text}");
            }
        }
    }

    #[test]
    fn colour_changes_nothing_but_the_colour() {
        let listing = node("日本語", "pause", "veth12acb4c1");
        let plain = at(&listing, Some(80));
        let style = Style { color: true, ascii: false, width: Some(80) };
        let coloured = text(&listing, &listing.namespaces.iter().collect::<Vec<_>>(), style, false);
        let mut bare = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            bare.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        let trim = |text: &str| text.lines().map(|l| l.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trim(&bare), trim(&plain));
        assert_ne!(coloured, plain);
    }
}
