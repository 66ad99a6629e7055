//! The scene of `podnet demo` as a tree, the traces made in it, and what to try in its shell.

use super::style::Style;
use crate::model::Machine;

/// What was built, and then each command with what it said.
pub fn text(machines: &[Machine], traces: &[(String, String)], style: Style) -> String {
    let mut out = "Two nodes of a cluster, in namespaces of their own; podnet is on node-a:\n\n".to_owned();
    out.push_str(&tree(machines, style));
    for (command, said) in traces {
        out.push_str(&format!("\n{}\n\n{said}", style.bold(&format!("$ {command}"))));
    }
    out.push_str(&format!("\n{} opens a shell there.\n", style.bold("podnet demo --shell")));
    out
}

/// The machines, each below the one that it hangs on.
fn tree(machines: &[Machine], style: Style) -> String {
    let mut rows = Vec::new();
    for root in machines.iter().filter(|m| m.link.is_none()) {
        branch(machines, root, "", "", style, &mut rows);
    }
    let widths = [0, 1, 2].map(|i| rows.iter().map(|row| row[i].chars().count()).max().unwrap_or(0));
    let mut out = String::new();
    for [name, link, far] in rows {
        let line = format!("  {name:0$}   {link:1$}   {far:2$}", widths[0], widths[1], widths[2]);
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Name, own link and what is at the other end or below, of a machine and of those that hang on it.
fn branch(machines: &[Machine], machine: &Machine, lead: &str, below: &str, style: Style, rows: &mut Vec<[String; 3]>) {
    let [fork, last, down] = if style.ascii { ["|- ", "`- ", "|  "] } else { ["├─ ", "└─ ", "│  "] };
    let own = machine.link.map(|link| format!("{:4} {}", link.ifname, link.addr));
    // The root has no link of its own, only the end that the first machine hangs on.
    let lent = machines.iter().filter_map(|m| m.link).find(|l| l.peer == machine.name && l.peer_addr.is_some());
    let lent = lent.and_then(|l| Some(format!("{:4} {}", l.peer_ifname, l.peer_addr?)));
    let far = match (machine.bridge, machine.link) {
        (Some(bridge), _) => format!("{:4} {}", bridge.ifname, bridge.addr),
        (None, Some(link)) => format!("port {}", link.peer_ifname),
        (None, None) => "every other address".to_owned(),
    };
    rows.push([format!("{lead}{}", machine.name), own.or(lent).unwrap_or_default(), far]);
    let children: Vec<&Machine> = machines.iter().filter(|m| m.link.is_some_and(|l| l.peer == machine.name)).collect();
    for (i, child) in children.iter().enumerate() {
        let (here, under) = if i + 1 < children.len() { (fork, down) } else { (last, "   ") };
        branch(machines, child, &format!("{below}{here}"), &format!("{below}{under}"), style, rows);
    }
}

/// What greets the one who opens a shell in the scene.
pub fn shell_note(machines: &[Machine], style: Style) -> String {
    let try_out = [
        "podnet list",
        "podnet trace signin-test-a",
        "podnet trace signin-test-a --to 172.22.1.7",
        "ip netns exec signin-test-a ping -c 3 172.22.1.7",
        "ip link set veth12acb4c1 down    and trace again: what broke?",
    ];
    let mut out = format!("{}\nThis shell is on node-a. Try\n\n", tree(machines, style));
    for line in try_out {
        out.push_str(&format!("  {line}\n"));
    }
    out.push_str("\nand exit when you are done; nothing of it stays.\n\n");
    out
}
