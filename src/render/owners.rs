//! Owners in a table: what a namespace is called, the containers that share it, and those that use the host's.

use unicode_width::UnicodeWidthStr;

use super::path::wrap;
use super::style::{Style, escape};
use super::table::boundary;
use crate::model::{Container, ListedNetns, Owner};

/// The name of a namespace and, in lines below it, its containers where they are several, and the user whose it is.
pub(super) fn name(netns: &ListedNetns) -> Vec<String> {
    let mut lines = vec![called(netns)];
    let Some(owner) = &netns.owner else { return lines };
    let names = containers(owner);
    if names.len() > 1 {
        let more = names.iter().filter(|name| **name != escape(&netns.name)).map(|name| format!("  {name}"));
        lines.extend(more.collect::<Vec<_>>());
    }
    lines.extend(owner.user.map(|uid| format!("  of uid {uid}")));
    lines
}

/// The name of a namespace, with the machine that it is on where there are several.
pub(super) fn called(netns: &ListedNetns) -> String {
    match &netns.node {
        Some(node) => format!("{} on {}", escape(&netns.name), escape(node)),
        None => escape(&netns.name).into_owned(),
    }
}

/// Names of the containers that do the work, or the starts of their ids.
pub(super) fn containers(owner: &Owner) -> Vec<String> {
    let called = |c: &Container| escape(c.name.as_deref().unwrap_or_else(|| start(&c.id))).into_owned();
    owner.containers.iter().filter(|c| !c.sandbox).map(called).collect()
}

/// As much of an id as runtimes show.
fn start(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// The runtime, and the user whose own it is.
pub(super) fn made_by(owner: &Owner) -> String {
    let user = owner.user.map(|uid| format!(" of uid {uid}")).unwrap_or_default();
    format!("{}{user}", escape(&owner.runtime))
}

/// Who uses the host's namespace instead of one of their own.
pub(super) fn tenants(shown: &[&ListedNetns], style: Style) -> Vec<String> {
    let tenants = shown.iter().flat_map(|n| &n.tenants);
    let told: Vec<String> = tenants.map(|owner| format!("{} ({})", escape(&owner.name), made_by(owner))).collect();
    if told.is_empty() {
        return Vec::new();
    }
    let room = style.width.unwrap_or(usize::MAX).saturating_sub(2).max(20);
    let lines = wrap(&told.join(", "), room).into_iter().map(|line| format!("  {line}"));
    [String::new(), style.bold("share the host's namespace")].into_iter().chain(lines).collect()
}

/// The whole name in lines of this many columns, broken where names of pods have their parts: names that differ in
/// their last letters only must not look the same.
pub(super) fn fold(text: &str, columns: usize) -> Vec<String> {
    let indent = "    ";
    let (mut lines, mut rest) = (Vec::new(), text);
    loop {
        let lead = if lines.is_empty() || columns <= 2 * indent.len() { "" } else { indent };
        let room = columns.saturating_sub(lead.len()).max(2);
        if rest.width() <= room {
            lines.push(format!("{lead}{rest}"));
            return lines;
        }
        let full = boundary(rest, room).max(rest.chars().next().map_or(1, char::len_utf8));
        let part = rest[..full].rfind(['-', '/', '_', '.']).map(|at| at + 1).filter(|at| *at > full / 2);
        let (line, after) = rest.split_at(part.unwrap_or(full));
        lines.push(format!("{lead}{line}"));
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn names_are_broken_between_their_parts_and_nothing_is_lost() {
        let name = "dev/signin-test-a-8bcd5db69-9z2c5";
        assert_eq!(fold(name, 20), ["dev/signin-test-a-", "    8bcd5db69-9z2c5"]);
        assert_eq!(fold(name, 40), [name]);
        for (text, columns) in
            [(name, 12), (name, 1), ("日本語のとても長い名前", 9), ("", 5), ("aaaaaaaaaaaaaaaaaaaaaaaa", 10)]
        {
            let whole: String = fold(text, columns).iter().map(|line| line.trim_start()).collect();
            assert_eq!(whole, text, "{columns}");
        }
    }
}
