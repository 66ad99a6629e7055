//! What a test needs of the machine beyond private namespaces.

use std::fs;
use std::process::{Command, Stdio};

/// One thing that a machine may lack.
#[derive(Debug, Clone, Copy)]
pub enum Need {
    /// `ip`, `bridge`, `nsenter`, `unshare`, `ping`, `setpriv`: with these every test is built.
    Tools,
    /// `strace`, and that a process may be traced.
    Strace,
    /// More than one user.
    Users,
    /// Tap devices.
    Tap,
    /// Links of the kind ifb.
    Ifb,
}

impl Need {
    /// Why it is not there; none: it is.
    pub fn missing(self) -> Option<String> {
        let ok = |program: &str, args: &[&str]| {
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|s| s.success())
        };
        match self {
            Need::Tools => {
                let tools = ["ip", "bridge", "nsenter", "unshare", "ping", "setpriv", "timeout"];
                let missing: Vec<_> =
                    tools.into_iter().filter(|tool| !ok(tool, &["-V"]) && !ok(tool, &["--version"])).collect();
                (!missing.is_empty()).then(|| format!("{} not installed", missing.join(", ")))
            }
            Need::Strace => (!ok("strace", &["-f", "true"])).then(|| "strace is missing or may not trace".into()),
            Need::Users => {
                let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
                let many = map.split_whitespace().nth(2).is_some_and(|count| count != "1");
                (!many).then(|| "only root can map a second user".into())
            }
            Need::Tap => (!ok("sh", &["-c", "ip tuntap add dev probe mode tap && ip link del probe"]))
                .then(|| "tap devices cannot be made".into()),
            Need::Ifb => (!ok("sh", &["-c", "ip link add probe type ifb && ip link del probe"]))
                .then(|| "links of the kind ifb cannot be made".into()),
        }
    }
}
