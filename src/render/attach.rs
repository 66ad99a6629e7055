//! What attach did, or the commands that would do it, and what detach removed.

use super::style::{Style, escape};
use crate::model::{Attached, Detached};

/// A dry run is a script that does the same; else a few lines say what is there now.
pub fn attached(said: &Attached, style: Style) -> String {
    let name = escape(&said.target.netns_name);
    let mut out = String::new();
    let lead = if said.dry_run { "# " } else { "" };
    let mut line = |text: String| out.push_str(&format!("{lead}{text}\n"));
    let on = match (&said.master, &said.lower, &said.host_ifname) {
        (Some(master), _, Some(host)) => format!("port {} of {}", escape(host), escape(master)),
        (_, Some(lower), _) => format!("on {}", escape(lower)),
        (_, _, Some(host)) => format!("to {}", escape(host)),
        _ => String::new(),
    };
    let verb = if said.dry_run { "would get" } else { "has" };
    line(format!("{} {verb} {} {}, {on}", style.bold(&name), escape(&said.ifname), said.addrs.join(" ")));
    if !said.gateways.is_empty() {
        let gateways: Vec<String> = said.gateways.iter().map(ToString::to_string).collect();
        line(format!("  gateway {}", gateways.join(" ")));
    }
    for sysctl in &said.sysctls {
        let (was, is) = if said.dry_run { ("is", "would be") } else { ("was", "is now") };
        line(format!("  {} {was} {}, {is} {}", escape(&sysctl.name), sysctl.before, sysctl.after));
    }
    if !said.verified.is_empty() {
        line(format!("  verified: {}", escape(&said.verified.join("; "))));
    }
    for cleared in &said.cleared {
        line(format!("  cleared away what a killed podnet left: {}", escape(cleared)));
    }
    for note in &said.notes {
        line(format!("  note: {}", escape(note)));
    }
    if said.dry_run {
        for step in &said.steps {
            out.push_str(&format!("{}\n", escape(&step.command)));
        }
    }
    out
}

/// What is gone, a line each.
pub fn detached(said: &Detached, style: Style) -> String {
    let mut out = String::new();
    for removed in &said.removed {
        let verb = if said.dry_run { "left over" } else { "removed" };
        let why = removed.why.as_ref().map(|why| format!("    {}", style.dim(&escape(why)))).unwrap_or_default();
        out.push_str(&format!(
            "{verb}  {:8} {}  in {}{why}\n",
            removed.what,
            escape(&removed.name),
            escape(&removed.at)
        ));
    }
    for cleared in &said.cleared {
        out.push_str(&format!("cleared away what a killed podnet left: {}\n", escape(cleared)));
    }
    for note in &said.notes {
        out.push_str(&format!("note: {}\n", escape(note)));
    }
    out
}
