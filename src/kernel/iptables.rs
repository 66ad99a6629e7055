//! Legacy tables (ip_tables, ip6_tables) and their built-in chains: only of tables that are there already, for asking for
//! another one would make it.

mod rules;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::{c_int, c_void, getsockopt};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::nla::{text_of, u32_of};
use crate::model::{Chain, Hook};

/// Length of a table's name (`XT_TABLE_MAXNAMELEN`).
const NAME: usize = 32;

/// What the kernel says of a table (`struct ipt_getinfo`).
#[derive(Debug)]
struct Info {
    valid_hooks: u32,
    hook_entry: [u32; 5],
    underflow: [u32; 5],
    size: u32,
}

/// Where a family keeps what.
#[derive(Debug)]
struct Family {
    name: &'static str,
    names: &'static str,
    address: AddressFamily,
    level: c_int,
    /// Number of bytes of an address.
    address_length: usize,
    /// Offset of `target_offset` in an entry (`struct ipt_entry`, `struct ip6t_entry`).
    target_offset: usize,
    /// Number of bytes of an entry before its matches.
    entry_length: usize,
}

static FAMILIES: [Family; 2] = [
    Family {
        name: "ip",
        names: "ip_tables_names",
        address: AddressFamily::Inet,
        level: 0,
        address_length: 4,
        target_offset: 88,
        entry_length: 112,
    },
    Family {
        name: "ip6",
        names: "ip6_tables_names",
        address: AddressFamily::Inet6,
        level: 41,
        address_length: 16,
        target_offset: 140,
        entry_length: 168,
    },
];

/// The built-in chains by the numbers of their hooks.
const HOOKS: [(Hook, &str); 5] = [
    (Hook::Prerouting, "PREROUTING"),
    (Hook::Input, "INPUT"),
    (Hook::Forward, "FORWARD"),
    (Hook::Output, "OUTPUT"),
    (Hook::Postrouting, "POSTROUTING"),
];

/// The legacy tables that one family has in a namespace, and a socket there that can be asked for them.
#[derive(Debug)]
pub struct Tables {
    family: &'static Family,
    names: String,
    raw: OwnedFd,
}

/// Those of the namespace of the calling thread; they can be asked from anywhere.
pub fn tables() -> io::Result<Vec<Tables>> {
    let mut tables = Vec::new();
    for family in &FAMILIES {
        // No such file: that family has no legacy tables at all. It is the thread's own, not the process's.
        let names = match fs::read_to_string(format!("/proc/thread-self/net/{}", family.names)) {
            Ok(names) => names,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        if names.trim().is_empty() {
            continue;
        }
        let raw = socket(family.address, SockType::Raw, SockFlag::SOCK_CLOEXEC, nix::sys::socket::SockProtocol::Raw)?;
        tables.push(Tables { family, names, raw });
    }
    Ok(tables)
}

/// What one table has, as it was when it was asked.
#[derive(Debug)]
pub struct Table {
    family: &'static Family,
    name: String,
    info: Info,
    entries: Vec<u8>,
}

impl Tables {
    /// Built-in chains that have rules, or a policy other than accept.
    pub fn chains(&self) -> io::Result<Vec<Chain>> {
        let mut chains = Vec::new();
        for table in self.names() {
            chains.extend(self.read(table)?.iter().flat_map(Table::chains));
        }
        Ok(chains)
    }

    /// `ip` or `ip6`.
    pub fn family(&self) -> &'static str {
        self.family.name
    }

    /// Names of the tables that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.lines()
    }

    /// All that one of them has; none: the kernel's answer makes no sense.
    pub fn read(&self, table: &str) -> io::Result<Option<Table>> {
        const GET_INFO: c_int = 64;
        const GET_ENTRIES: c_int = 65;
        /// Offset of the entries in `struct ipt_get_entries`: they are aligned to eight bytes.
        const ENTRIES: usize = 40;
        let mut info = named(table, 84);
        option(&self.raw, self.family, GET_INFO, &mut info)?;
        let Some(info) = parse_info(&info[NAME..]) else { return Ok(None) };
        let mut entries = named(table, ENTRIES + info.size as usize);
        entries[NAME..NAME + 4].copy_from_slice(&info.size.to_ne_bytes());
        option(&self.raw, self.family, GET_ENTRIES, &mut entries)?;
        entries.drain(..ENTRIES);
        Ok(Some(Table { family: self.family, name: table.to_owned(), info, entries }))
    }
}

fn named(table: &str, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    let length = table.len().min(NAME - 1);
    bytes[..length].copy_from_slice(&table.as_bytes()[..length]);
    bytes
}

fn option(raw: &OwnedFd, family: &Family, name: c_int, value: &mut [u8]) -> io::Result<()> {
    let mut length = value.len() as nix::libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to the value, which has as many.
    let done =
        unsafe { getsockopt(raw.as_raw_fd(), family.level, name, value.as_mut_ptr().cast::<c_void>(), &mut length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn parse_info(bytes: &[u8]) -> Option<Info> {
    let number = |at: usize| bytes.get(at * 4..).and_then(u32_of);
    let mut info = Info { valid_hooks: number(0)?, hook_entry: [0; 5], underflow: [0; 5], size: number(12)? };
    for hook in 0..5 {
        info.hook_entry[hook] = number(1 + hook)?;
        info.underflow[hook] = number(6 + hook)?;
    }
    Some(info)
}

impl Table {
    /// Built-in chains that have rules, or a policy other than accept.
    pub fn chains(&self) -> Vec<Chain> {
        let mut chains = Vec::new();
        for (number, (hook, name)) in self.hooks() {
            let (mut at, end) = (self.info.hook_entry[number] as usize, self.info.underflow[number] as usize);
            let mut rules = 0;
            while at < end {
                let Some(next) = self.next(at) else { break };
                rules += 1;
                at = next;
            }
            let drops = policy(self.family, self.entries.get(end..).unwrap_or_default()) == Some("drop");
            if rules == 0 && !drops {
                continue;
            }
            chains.push(Chain {
                backend: "legacy".to_owned(),
                family: self.family.name.to_owned(),
                table: self.name.clone(),
                chain: name.to_owned(),
                kind: if self.name == "nat" { "nat" } else { "filter" }.to_owned(),
                hook,
                priority: priority(&self.name, hook),
                device: None,
                policy: if drops { "drop" } else { "accept" }.to_owned(),
                rules,
            });
        }
        chains
    }

    /// Its built-in chains, with the numbers of their hooks: rules from where each begins to its last entry, which is
    /// the policy.
    fn hooks(&self) -> impl Iterator<Item = (usize, (Hook, &'static str))> {
        HOOKS.into_iter().enumerate().filter(|(number, _)| self.info.valid_hooks & 1 << number != 0)
    }

    /// Where the entry behind this one begins.
    fn next(&self, at: usize) -> Option<usize> {
        // next_offset stands behind target_offset.
        let length = super::nla::u16_of(self.entries.get(at + self.family.target_offset + 2..)?)?;
        (length != 0).then_some(at + length as usize)
    }
}

/// The verdict of a chain's last entry: that of a standard target.
fn policy(family: &Family, entry: &[u8]) -> Option<&'static str> {
    let target = entry.get(super::nla::u16_of(entry.get(family.target_offset..)?)? as usize..)?;
    // struct xt_standard_target: size, name in 30 bytes, verdict; the standard target has no name
    let name = text_of(target.get(2..32)?);
    let verdict = u32_of(target.get(32..)?)? as i32;
    // Minus NF_DROP less one, minus NF_ACCEPT less one.
    match (name.as_str(), verdict) {
        ("", -1) => Some("drop"),
        ("", -2) => Some("accept"),
        _ => None,
    }
}

/// `NF_IP_PRI_*` of a table.
fn priority(table: &str, hook: Hook) -> i32 {
    match (table, hook) {
        ("raw", _) => -300,
        ("mangle", _) => -150,
        ("nat", Hook::Prerouting | Hook::Output) => -100,
        ("nat", _) => 100,
        ("security", _) => 50,
        _ => 0,
    }
}
