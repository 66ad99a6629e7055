//! A trace as text: from top to bottom, a device a line, namespaces as headings, the deciding fact beside the hop, what
//! is wrong under its hop, the verdict last.

use std::fmt::Write;

use unicode_width::UnicodeWidthStr;

use super::beside;
use super::owners::{containers, made_by};
use super::style::{Style, escape};
use crate::model::{Action, Finding, Gap, Hop, Level, Neigh, NeighState, Path, Route, Source, Step, TableId, Trace};

/// Text that is piped somewhere is laid out for this many columns: it fits wherever it is read.
const PIPE_WIDTH: usize = 80;

/// A heading does not follow the edge of a very wide terminal.
const HEADING_WIDTH: usize = 100;

/// The trace as text.
pub fn text(trace: &Trace, style: Style) -> String {
    let mut page = Page { out: String::new(), style, width: style.width.unwrap_or(PIPE_WIDTH).max(40) };
    for (index, path) in trace.paths.iter().enumerate() {
        if index > 0 {
            page.out.push('\n');
        }
        page.path(trace, index, path);
    }
    page.gaps(&trace.gaps);
    page.out
}

struct Page {
    out: String,
    style: Style,
    width: usize,
}

/// Widths that make the columns of one path line up.
struct Columns {
    name: usize,
    kind: usize,
}

impl Page {
    fn path(&mut self, trace: &Trace, index: usize, path: &Path) {
        let columns = Columns {
            name: path.hops.iter().map(|h| device(h).width()).max().unwrap_or(0).min(28),
            kind: path.hops.iter().map(|h| escape(&h.kind).width()).max().unwrap_or(0).min(12),
        };
        if trace.paths.len() > 1 {
            self.title(path);
        }
        if path.hops.is_empty() {
            self.heading(&trace.source.netns_name, Some(&trace.source), trace.source.netns.ino(), None);
        }
        let mut before: Option<&Hop> = None;
        for (number, hop) in path.hops.iter().enumerate() {
            if before.is_none_or(|b| b.netns != hop.netns) {
                let source = (number == 0 && hop.netns == trace.source.netns).then_some(&trace.source);
                self.heading(&hop.netns_name, source, hop.netns.ino(), hop.nsid.map(|n| n.0));
            }
            // In the first namespace the device is what one looks for; later the decision comes before the device.
            if number > 0 {
                self.decision(hop);
            }
            self.device(hop, &columns);
            if number == 0 {
                self.decision(hop);
            }
            self.beside(hop, path.hops.get(number + 1));
            for finding in trace.findings.iter().filter(|f| f.path == index && f.hop == number) {
                self.finding(finding);
            }
            before = Some(hop);
        }
        if path.hops.is_empty() {
            trace.findings.iter().filter(|f| f.path == index).for_each(|f| self.finding(f));
        }
        self.verdict(path);
    }

    fn title(&mut self, path: &Path) {
        let family = match path.dst {
            Some(ip) if ip.is_ipv6() => " (IPv6)",
            Some(_) => " (IPv4)",
            None => "",
        };
        let by = path.hops.first().map(|h| format!(" by {}", escape(&h.ifname))).unwrap_or_default();
        let bound = match &path.bound_to {
            Some(link) => format!(", only when bound to {}", escape(link)),
            None => String::new(),
        };
        let answer = if path.reply_to.is_some() { "answer, " } else { "" };
        let sent = path.redirected_to.map(|ip| format!(", sent to {ip}")).unwrap_or_default();
        let text = format!("{answer}to {}{family}{by}{bound}{sent}", path.to);
        let _ = writeln!(self.out, "{}", self.style.underline(&text));
    }

    fn heading(&mut self, name: &str, source: Option<&Source>, ino: Option<u64>, nsid: Option<i32>) {
        let name = escape(name);
        let (mut left, mut styled) = (String::new(), String::new());
        if source.is_some_and(|s| s.owner.as_ref().is_some_and(|o| o.pod.is_some())) {
            left.push_str("pod ");
            styled.push_str(&self.style.dim("pod "));
        }
        left.push_str(&name);
        styled.push_str(&self.style.bold(&name));
        if let Some(source) = source {
            let more = beside_name(source);
            left.push_str(&more);
            styled.push_str(&self.style.dim(&more));
        }
        let right = match (ino, nsid) {
            (Some(ino), _) => format!("net:[{ino}]"),
            (None, Some(nsid)) => format!("nsid {nsid}, not opened"),
            (None, None) => "not opened".to_owned(),
        };
        let room = self.width.min(HEADING_WIDTH).saturating_sub(left.width() + right.width()).max(2);
        let _ = writeln!(self.out, "{styled}{:room$}{}", "", self.style.dim(&right));
    }

    fn device(&mut self, hop: &Hop, columns: &Columns) {
        let glyphs = self.style.glyphs();
        let name = device(hop);
        let kind = escape(&hop.kind);
        let pad = |text: &str, to: usize| " ".repeat(to.saturating_sub(text.width()));
        let lead = format!(" {}  ", glyphs.device);
        let head_width = 4 + columns.name.max(name.width()) + 2 + columns.kind.max(kind.width()) + 2;
        let mut line = format!(
            "{lead}{}{}  {}{}  ",
            self.style.bold(&name),
            pad(&name, columns.name),
            self.style.dim(&kind),
            pad(&kind, columns.kind),
        );
        let mut used = head_width;
        let mut first = true;
        for fact in facts(hop) {
            let gap = if first { 0 } else { 3 };
            if !first && used + gap + fact.width() > self.width {
                self.end_line(&line);
                line = format!(" {}  {:indent$}", glyphs.line, "", indent = head_width - 4);
                used = head_width;
                line.push_str(&fact);
            } else {
                line.push_str(&" ".repeat(gap));
                line.push_str(&fact);
                used += gap;
            }
            used += fact.width();
            first = false;
        }
        self.end_line(&line);
    }

    fn end_line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    /// The route that chose a device and whom the packet is handed to there.
    fn decision(&mut self, hop: &Hop) {
        let Some(route) = &hop.route else { return };
        let way = route_text(route);
        let neigh = hop.neigh.as_ref().map(neigh_text);
        match neigh {
            Some(neigh) if 6 + way.width() + 4 + neigh.width() <= self.width => {
                let neigh = self.style.dim(&neigh);
                self.aside(&format!("{}    {neigh}", self.style.cyan(&way)));
            }
            Some(neigh) => {
                self.aside(&self.style.cyan(&way));
                self.aside(&self.style.dim(&neigh));
            }
            None => self.aside(&self.style.cyan(&way)),
        }
    }

    /// What a bridge knows and who else is there.
    fn beside(&mut self, hop: &Hop, next: Option<&Hop>) {
        if let (Some(entry), Some(port)) = (hop.fdb.as_ref().filter(|e| !e.local), next) {
            let how = if entry.state == "static" { "set by hand" } else { "learned" };
            self.aside(&self.style.dim(&format!("{} is behind {} ({how})", entry.mac, escape(&port.ifname))));
        }
        let room = self.width.saturating_sub(6);
        for line in beside::lines(hop).iter().flat_map(|text| wrap(text, room)) {
            self.aside(&self.style.dim(&line));
        }
        if let Some(segment) = hop.segment.as_ref().filter(|s| !s.ports.is_empty()) {
            let names: Vec<String> = segment.ports.iter().map(|p| escape(p).into_owned()).collect();
            let more = if segment.more { " and more" } else { "" };
            let text = format!("also on {}: {}{more}", escape(&hop.ifname), names.join(", "));
            for line in wrap(&text, self.width.saturating_sub(6)) {
                self.aside(&self.style.dim(&line));
            }
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let glyphs = self.style.glyphs();
        let word = match finding.level {
            Level::Info => "info",
            Level::Warning => "warning",
            Level::Critical => "critical",
            Level::Fatal => "fatal",
        };
        let text = format!("{word}: {}", escape(&finding.message));
        for (number, line) in wrap(&text, self.width.saturating_sub(6)).into_iter().enumerate() {
            let mark = if number == 0 { glyphs.finding } else { " " };
            let line = format!(" {mark}    {line}");
            let line = self.style.level(finding.level, &line);
            self.end_line(&line);
        }
        for line in wrap(&format!("seen: {}", escape(&finding.evidence)), self.width.saturating_sub(6)) {
            self.end_line(&format!("      {line}"));
        }
        // In one line, however long: what is copied from there may be a command.
        if let Some(fix) = &finding.fix {
            self.end_line(&format!("      fix: {}", escape(fix)));
        }
    }

    fn verdict(&mut self, path: &Path) {
        let glyphs = self.style.glyphs();
        let (mark, word) = match path.verdict.action {
            Action::Delivered => (glyphs.delivered, "delivered"),
            Action::LeavesNode => (glyphs.leaves, "leaves node"),
            Action::Dropped => (glyphs.dropped, "DROPPED"),
            Action::Unknown => (glyphs.unknown, "unknown"),
        };
        let mut text = format!("{word}: {}", escape(&path.verdict.reason));
        // A default route was followed with an address that nobody typed.
        if let Some(dst) = path.dst.map(|dst| dst.to_string()).filter(|dst| path.to == "default" && text.contains(dst))
        {
            let _ = write!(text, " ({dst} stands for any address)");
        }
        for (number, line) in wrap(&text, self.width.saturating_sub(4)).into_iter().enumerate() {
            let mark = if number == 0 { mark } else { " " };
            let line = self.style.verdict(path.verdict.action, &format!(" {mark}  {line}"));
            self.end_line(&line);
        }
    }

    fn gaps(&mut self, gaps: &[Gap]) {
        if gaps.is_empty() {
            return;
        }
        self.out.push('\n');
        self.end_line(&self.style.bold("not seen"));
        let room = self.width.saturating_sub(2);
        for line in gaps.iter().flat_map(|gap| wrap(&gap_text(gap), room)) {
            self.end_line(&format!("  {}", self.style.dim(&line)));
        }
    }

    /// A line beside the way.
    fn aside(&mut self, text: &str) {
        let line = self.style.glyphs().line;
        self.end_line(&format!(" {line}    {text}"));
    }
}

/// One gap in one sentence.
pub(super) fn gap_text(gap: &Gap) -> String {
    let mut text = format!("{}: {}: {}", escape(&gap.at), escape(&gap.what), escape(&gap.why));
    if let Some(needs) = &gap.needs {
        let _ = write!(text, " (needs {})", escape(needs));
    }
    text
}

/// What stands beside the name of the namespace that a trace starts in.
fn beside_name(source: &Source) -> String {
    let mut text = String::new();
    if let Some(owner) = source.owner.as_ref().filter(|owner| !owner.is_bare()) {
        let _ = write!(text, "  {}", made_by(owner));
        // Whoever asked for one of several shall find it here.
        let names = containers(owner);
        if names.len() > 1 {
            let _ = write!(text, ": {}", names.join(", "));
        }
    }
    if let Some(tenant) = &source.tenant {
        let _ = write!(text, "  used by {} {}", made_by(tenant), escape(&tenant.name));
    }
    if let Some(pid) = source.pid {
        let _ = write!(text, "  pid {pid}");
    }
    text
}

/// `eth0@if220`, as `ip link` writes a device with another end.
fn device(hop: &Hop) -> String {
    match hop.link_index {
        Some(index) => format!("{}@if{index}", escape(&hop.ifname)),
        None => escape(&hop.ifname).into_owned(),
    }
}

/// What stands beside a device, the most telling first.
fn facts(hop: &Hop) -> Vec<String> {
    let mut facts = Vec::new();
    if let Some(master) = &hop.master {
        let state = hop.port.as_ref().map(|p| format!(", {}", p.state)).unwrap_or_default();
        facts.push(format!("port of {}{state}", escape(master)));
    }
    let wide: Vec<_> = hop.addrs.iter().filter(|a| !a.link_scope).collect();
    match wide.as_slice() {
        [] => {}
        [one] => facts.push(one.to_string()),
        [one, two] => facts.push(format!("{one} {two}")),
        [one, two, rest @ ..] => facts.push(format!("{one} {two} (+{})", rest.len())),
    }
    facts.extend(hop.pf.as_ref().map(|pf| format!("virtual function of {}", escape(pf))));
    facts.extend(beside::tags(hop));
    facts.extend(hop.driver.as_ref().map(|d| escape(d).into_owned()));
    facts.extend(hop.mtu.filter(|_| hop.step == Step::Route).map(|mtu| format!("mtu {mtu}")));
    if hop.step == Step::Route && hop.master.is_none() || hop.step == Step::Peer && !wide.is_empty() {
        facts.extend(hop.address.map(|a| a.to_string()));
    }
    if !matches!(hop.operstate.as_str(), "UP" | "UNKNOWN") {
        facts.push(format!("state {}", escape(&hop.operstate)));
    }
    facts
}

fn route_text(route: &Route) -> String {
    let mut text = match route.kind {
        crate::model::RouteType::Unicast => String::new(),
        other => format!("{} ", other.word()),
    };
    text.push_str(&route.dst_text());
    if let Some(gateway) = route.gateway {
        let _ = write!(text, " via {gateway}");
    }
    if let Some(dev) = &route.dev {
        let _ = write!(text, " dev {}", escape(dev));
    }
    if !matches!(route.table, TableId::MAIN | TableId::LOCAL) {
        let _ = write!(text, " table {}", route.table);
    }
    if route.nexthops.len() > 1 {
        let _ = write!(text, " (1 of {} next hops)", route.nexthops.len());
    }
    text
}

fn neigh_text(neigh: &Neigh) -> String {
    let dst = neigh.dst;
    match (neigh.state, neigh.lladdr) {
        (NeighState::None, Some(mac)) => format!("{dst} will be {mac} (not asked for yet)"),
        (NeighState::Failed, _) => format!("{dst} does not answer (failed)"),
        (NeighState::Incomplete, _) => format!("{dst} is being asked for (incomplete)"),
        (state, Some(mac)) => format!("{dst} is {mac} ({})", format!("{state:?}").to_lowercase()),
        (state, None) => format!("{dst} ({})", format!("{state:?}").to_lowercase()),
    }
}

/// Breaks text at spaces so that each line fits; a word that is longer stays whole.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map_or(0, |l| l.width());
        if line > 0 && line + 1 + word.width() > width {
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}
