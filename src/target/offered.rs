//! What could be typed, for the shell to complete: the names that this machine has now.

use super::owner::{self, Kind};
use crate::kernel::Live;
use crate::kernel::holders::NETNS_DIRS;
use crate::kernel::link::{self, Where};

/// Targets that begin with what was typed.
pub fn offered(live: &mut Live, typed: &str) -> Vec<String> {
    let (kind, rest) = match typed.split_once(':') {
        Some((kind, rest)) if matches!(kind, "pod" | "ctr" | "netns" | "link") => (Some(kind), rest),
        _ => (None, typed),
    };
    let mut names = match kind {
        Some("pod") => owner::names(live, Kind::Pod),
        Some("ctr") => owner::names(live, Kind::Container),
        Some("netns") => of_files(),
        Some(_) => of_links(live),
        None => owner::names(live, Kind::Any),
    };
    // A node has hundreds of links, which are no help to whom has typed nothing.
    if kind.is_none() && !rest.is_empty() {
        names.extend(of_links(live));
    }
    names.retain(|name| name.starts_with(rest) && is_plain(name));
    names.sort();
    names.dedup();
    match kind {
        Some(kind) => names.into_iter().map(|name| format!("{kind}:{name}")).collect(),
        None => names,
    }
}

/// Names under the netns directories.
pub(super) fn of_files() -> Vec<String> {
    let entries = NETNS_DIRS.iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten().flatten();
    entries.filter_map(|e| e.file_name().into_string().ok()).collect()
}

/// Links of podnet's own namespace.
pub(super) fn of_links(live: &mut Live) -> Vec<String> {
    let own = live.spaces.own();
    let links = live.spaces.socket(own).and_then(|(socket, _)| link::dump(socket, Where::Here).ok());
    links.into_iter().flat_map(|dump| dump.items).map(|link| link.ifname).collect()
}

/// The shell puts a name on the command line as it is, and a container may have chosen it: nothing that a shell reads
/// as more than a letter.
fn is_plain(name: &str) -> bool {
    !name.starts_with('-')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/' | b'@'))
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn nothing_that_a_shell_would_act_on_is_offered() {
        for good in ["dev/signin-test-a-8bcd5db69-9z2c5", "web_1", "veth12acb4c1", "a.b", "eth0@if2"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in
            ["$(reboot)", "a b", "a;b", "`x`", "a\nb", "\u{1b}[31m", "-rf", "a'b", "a\"b", "a&b", "*", "ä", "a\\b"]
        {
            assert!(!is_plain(bad), "{bad}");
        }
    }
}
