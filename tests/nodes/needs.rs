//! What a test needs of the machine beyond private namespaces.

use std::fs;
use std::process::{Command, Stdio};

/// Where Debian's containernetworking-plugins are.
pub const CNI: &str = "/usr/lib/cni";

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
    /// `nft`, and a kernel with nftables.
    Nft,
    /// `iptables-legacy`, and a kernel with its tables.
    Iptables,
    /// `tc`, and a kernel with its filters u32 and bpf.
    Tc,
    /// The CNI plugins `bridge` and `host-local` where Debian puts them.
    Cni,
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
            Need::Nft => {
                (!ok("nft", &["list", "ruleset"])).then(|| "nft is missing or has no kernel to talk to".into())
            }
            Need::Cni => {
                let there = ["bridge", "host-local"].iter().all(|name| fs::metadata(format!("{CNI}/{name}")).is_ok());
                (!there).then(|| format!("no CNI plugins in {CNI}"))
            }
            Need::Iptables => (!ok("sh", &["-c", "iptables-legacy -w -S && ip6tables-legacy -w -S"]))
                .then(|| "iptables-legacy is missing or has no kernel to talk to".into()),
            Need::Tc => {
                let probe = "tc qdisc add dev lo clsact && tc filter add dev lo ingress protocol ip u32 match u32 0 0 flowid 1:1 && tc filter add dev lo egress bpf da bytecode '1,6 0 0 2,' && tc qdisc del dev lo clsact";
                (!ok("sh", &["-c", probe])).then(|| "tc is missing or the kernel has no filters".into())
            }
            Need::Ifb => (!ok("sh", &["-c", "ip link add probe type ifb && ip link del probe"]))
                .then(|| "links of the kind ifb cannot be made".into()),
        }
    }
}
