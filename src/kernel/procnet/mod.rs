//! A process's network namespace as anybody may see it, through the world-readable files of /proc/PID/net: links,
//! addresses, routes and IPv4 neighbours of a namespace that may not be entered. What is read as root comes from netlink.

mod addr4;
mod files;
mod links;
mod lookup;
mod neigh;
mod route4;
mod route6;
mod sharing;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::model::{Gap, Link, Pid, Route};

pub use sharing::{netns_mark, shares_netns};

/// What would show the rest.
const NEEDS: &str = "CAP_SYS_ADMIN and CAP_SYS_PTRACE: run podnet as root";

/// The namespace of a process as far as /proc/PID/net shows it.
#[derive(Debug)]
pub struct ProcNet {
    /// The process.
    pub pid: Pid,
    /// The links by index, with their addresses. Their kind is `unknown` (but for the loopback), their operational
    /// state `UNKNOWN`, and MTU, link-layer address and master are left out: no file shows these.
    pub links: Vec<Link>,
    /// What could not be read; the first says what the files never show.
    pub gaps: Vec<Gap>,
    names: links::Names,
    addrs4: addr4::Addrs4,
    addrs6: Vec<links::Addr6>,
    v4: table::Tables,
    v6: table::Tables,
    files: files::Files,
    hidden_rules: [bool; 2],
}

impl ProcNet {
    /// Reads the namespace of a process. Not found: there is no such process, it has ended, or /proc hides it
    /// (`hidepid=2`). Not permitted: /proc hides its files (`hidepid=1`).
    pub fn read(pid: Pid) -> io::Result<ProcNet> {
        ProcNet::read_dir(pid, Path::new(&format!("/proc/{pid}/net")))
    }

    fn read_dir(pid: Pid, dir: &Path) -> io::Result<ProcNet> {
        let files = files::Files::open(pid, dir)?;
        let mut gaps = vec![files.gap(
            "kinds, MTUs, states and masters of links, IPv6 neighbours, sysctls, policy rules, and of routes the origin, \
             the preferred source, the MTU and all but the first next hop",
            format!("/proc/{pid}/net does not show them"),
        )];
        let (mut links, names, addrs6) = links::read(&files, &mut gaps)?;
        let (mut v4, trie) = route4::read(&files, &names, &mut gaps)?;
        let addrs4 = addr4::place(&trie, &mut v4, &mut links, &files, &mut gaps);
        let v6 = route6::read(&files, &names, &mut gaps)?;
        let hidden_rules = [!v4.merged && v4.unsure.is_none(), v6.others];
        for (family, set) in ["IPv4", "IPv6"].into_iter().zip(hidden_rules) {
            if set {
                let why = "there have been some, and /proc does not show them";
                gaps.push(files.gap(format!("{family} rules and tables other than main"), why));
            }
        }
        Ok(ProcNet { pid, links, gaps, names, addrs4, addrs6, v4, v6, files, hidden_rules })
    }

    /// The namespace has had policy rules or tables of its own, of which nothing more can be seen.
    pub fn has_hidden_rules(&self, ipv6: bool) -> bool {
        self.hidden_rules[usize::from(ipv6)]
    }

    /// The routes of the main and the local tables; those that the files show too little of are left out.
    pub fn routes(&self) -> Vec<Route> {
        let entries = self.v4.entries.iter().chain(&self.v6.entries);
        entries.filter(|e| e.hidden.is_none() || !e.route.nexthops.is_empty()).map(|e| e.route.clone()).collect()
    }
}
