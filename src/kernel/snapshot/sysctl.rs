//! The sysctls that decide the ways of packets: those of every link come with the links, those of the whole namespace
//! are read from /proc/sys/net, which shows the namespace of the thread that reads.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netlink_packet_core::NlasIterator;
use netlink_packet_route::AddressFamily;
use nix::errno::Errno;
use nix::fcntl::{self, OFlag};
use nix::libc;
use nix::sys::stat::Mode;
use nix::unistd;

use crate::kernel::nla;
use crate::kernel::socket::{Request, Socket};
use crate::model::{IfIndex, RecordedConf};

/// IPv4 sysctls of a link by the kernel's number for them (`IPV4_DEVCONF_*`, which count from one).
const INET: &[(usize, &str)] = &[
    (1, "forwarding"),
    (3, "proxy_arp"),
    (6, "send_redirects"),
    (8, "rp_filter"),
    (19, "arp_ignore"),
    (23, "accept_local"),
    (24, "src_valid_mark"),
    (25, "proxy_arp_pvlan"),
    (26, "route_localnet"),
    (29, "ignore_routes_with_linkdown"),
    (32, "bc_forwarding"),
];

/// IPv6 sysctls of a link (`DEVCONF_*`, which count from zero).
const INET6: &[(usize, &str)] = &[
    (0, "forwarding"),
    (10, "use_tempaddr"),
    (22, "proxy_ndp"),
    (26, "disable_ipv6"),
    (37, "use_oif_addrs_only"),
    (39, "ignore_routes_with_linkdown"),
    (59, "force_forwarding"),
];

/// Those of all IPv4 links together that RTM_GETNETCONF tells (`NETCONFA_*`).
const TOLD: &[(u16, &str)] =
    &[(2, "forwarding"), (3, "rp_filter"), (5, "proxy_arp"), (6, "ignore_routes_with_linkdown"), (8, "bc_forwarding")];

/// Those of all IPv6 links together.
const TOLD6: &[(u16, &str)] = &[(2, "forwarding"), (5, "proxy_ndp"), (6, "ignore_routes_with_linkdown")];

/// Sysctls of the whole namespace besides those of all links together.
const WHOLE: &[&str] = &["fib_multipath_hash_policy", "fib_multipath_use_neigh"];
const WHOLE6: &[&str] = &["fib_multipath_hash_policy"];
const BRIDGE: &[&str] = &["bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"];

/// What is recorded of every link.
pub fn names() -> RecordedConf {
    let names = |table: &[(usize, &str)]| table.iter().map(|(_, name)| (*name).to_owned()).collect();
    RecordedConf { inet: names(INET), inet6: names(INET6) }
}

/// Values of a link's sysctls in the order of their names; empty where the kernel did not tell.
#[derive(Debug, Clone, Default)]
pub struct LinkConf {
    /// The link.
    pub ifindex: IfIndex,
    /// Those of IPv4.
    pub inet: Vec<i64>,
    /// Those of IPv6.
    pub inet6: Vec<i64>,
}

/// The sysctls in an RTM_NEWLINK (`IFLA_AF_SPEC`).
pub fn of_link(payload: &[u8]) -> Option<LinkConf> {
    const HEADER: usize = 16;
    const IFLA_AF_SPEC: u16 = 26;
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const INET_CONF: u16 = 1;
    const INET6_CONF: u16 = 2;
    let (header, attributes) = payload.split_at_checked(HEADER)?;
    let index = header.get(4..)?.first_chunk()?;
    let mut conf = LinkConf { ifindex: IfIndex(u32::from_ne_bytes(*index)), ..LinkConf::default() };
    let spec = NlasIterator::new(attributes).flatten().find(|a| a.kind() == IFLA_AF_SPEC)?;
    for family in NlasIterator::new(spec.value()).flatten() {
        let (table, wanted, first, values) = match family.kind() {
            AF_INET => (INET, INET_CONF, 1, &mut conf.inet),
            AF_INET6 => (INET6, INET6_CONF, 0, &mut conf.inet6),
            _ => continue,
        };
        let Some(array) = NlasIterator::new(family.value()).flatten().find(|a| a.kind() == wanted) else { continue };
        // A kernel that does not have the last ones yet tells fewer.
        let value = |(number, _): &(usize, &str)| {
            array.value().get((number - first) * 4..)?.first_chunk().map(|b| i64::from(i32::from_ne_bytes(*b)))
        };
        *values = table.iter().map_while(value).collect();
    }
    Some(conf)
}

/// What the kernel tells of all links of a family together in one answer, which costs as much as one of the files; no
/// value for what it does not tell, as kernels do that are older than an attribute or do without IPv6.
fn told(socket: &mut Socket, family: AddressFamily, table: &'static [(u16, &'static str)]) -> Told {
    const RTM_GETNETCONF: u16 = 82;
    const NETCONFA_IFINDEX: u16 = 1;
    const NETCONFA_IFINDEX_ALL: i32 = -1;
    // struct netconfmsg is the family, padded to where attributes begin.
    let mut payload = vec![u8::from(family), 0, 0, 0];
    let attributes = payload.len();
    payload.extend(nla::attribute(NETCONFA_IFINDEX, &NETCONFA_IFINDEX_ALL.to_ne_bytes()));
    let answer = socket.get(Request::raw(RTM_GETNETCONF, payload), |answer| {
        let all = nla::each(answer.get(attributes..).unwrap_or_default());
        let known = |(kind, value): (u16, &[u8])| {
            let (_, name) = table.iter().find(|(number, _)| *number == kind)?;
            value.first_chunk().map(|b| (*name, i64::from(i32::from_ne_bytes(*b))))
        };
        Ok(all.filter_map(known).collect())
    });
    // Whatever the refusal is, the files say the same.
    answer.unwrap_or_default()
}

/// Sysctls of all links together by their names.
type Told = Vec<(&'static str, i64)>;

/// Where a thread that goes from namespace to namespace reads the sysctls of each.
///
/// Below `net` the kernel keeps an entry of the same name for each namespace that was ever looked at, all in one chain: a
/// path that goes through it costs the number of namespaces. So each folder is opened once and its files from there, in
/// a /proc of podnet's own, mounted nowhere, and in a new one before its chains get long.
#[derive(Debug, Default)]
pub struct Sysctls {
    net: Option<OwnedFd>,
    /// Namespaces read by way of `net`.
    read: usize,
}

/// Namespaces read by way of one /proc: to mount one costs as much as the walk through a chain of some hundred.
const SHARED: usize = 32;

impl Sysctls {
    /// The sysctls of the namespace that the thread and the socket are in; those of bridges, where it has one.
    pub fn whole(&mut self, socket: &mut Socket, bridged: bool) -> io::Result<BTreeMap<String, Option<i64>>> {
        let net = self.net()?;
        let mut values = BTreeMap::new();
        let mut read_all = |folder: Option<&OwnedFd>, path: &str, told: Told, names: &mut dyn Iterator<Item = &str>| {
            for name in names {
                let known = told.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
                let value = match (known, folder) {
                    (None, Some(folder)) => read(folder, name)?,
                    _ => known,
                };
                values.insert(format!("{path}/{name}"), value);
            }
            io::Result::Ok(())
        };
        for (family, number, table, whole, links) in
            [("ipv4", AddressFamily::Inet, TOLD, WHOLE, INET), ("ipv6", AddressFamily::Inet6, TOLD6, WHOLE6, INET6)]
        {
            let folder = folder(net, family)?;
            read_all(folder.as_ref(), family, Told::new(), &mut whole.iter().copied())?;
            let all = folder.map_or(Ok(None), |folder| self::folder(&folder, "conf/all"))?;
            let names = &mut links.iter().map(|(_, name)| *name);
            read_all(all.as_ref(), &format!("{family}/conf/all"), told(socket, number, table), names)?;
        }
        if bridged {
            read_all(folder(net, "bridge")?.as_ref(), "bridge", Told::new(), &mut BRIDGE.iter().copied())?;
        }
        // One number under two names in the kernel.
        let forwarding = values.get("ipv4/conf/all/forwarding").copied().flatten();
        values.insert("ipv4/ip_forward".to_owned(), forwarding);
        Ok(values)
    }

    fn net(&mut self) -> io::Result<&OwnedFd> {
        if self.read.is_multiple_of(SHARED) {
            self.net = None;
        }
        self.read += 1;
        match &mut self.net {
            Some(net) => Ok(net),
            none => {
                // Old kernels cannot, and a container may not.
                let own = proc().and_then(|proc| fcntl::openat(proc, "sys/net", FOLDER, Mode::empty()));
                let net = own.or_else(|_| fcntl::open("/proc/sys/net", FOLDER, Mode::empty()))?;
                Ok(none.insert(net))
            }
        }
    }
}

/// A /proc that nobody else sees and that ends with its last open file. Needs CAP_SYS_ADMIN and Linux 5.8, before which all
/// of a pid namespace's share their entries.
fn proc() -> nix::Result<OwnedFd> {
    /// Makes what was opened (`enum fsconfig_command`).
    const CREATE: libc::c_uint = 6;
    const CLOSE_ON_EXEC: libc::c_uint = 1;
    let none = std::ptr::null::<libc::c_char>();
    let file = |fd: libc::c_long| {
        let fd = Errno::result(fd)? as i32;
        // SAFETY: the kernel has made it for this call, so nobody else has it.
        nix::Result::Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: the name ends with a NUL; the calls keep no pointer.
    let opened = file(unsafe { libc::syscall(libc::SYS_fsopen, c"proc".as_ptr(), CLOSE_ON_EXEC) })?;
    // SAFETY: the command takes no key and no value.
    Errno::result(unsafe { libc::syscall(libc::SYS_fsconfig, opened.as_raw_fd(), CREATE, none, none, 0) })?;
    // SAFETY: plain numbers.
    file(unsafe { libc::syscall(libc::SYS_fsmount, opened.as_raw_fd(), CLOSE_ON_EXEC, 0) })
}

const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A folder; none: the kernel does not have that part.
fn folder(at: &OwnedFd, name: &str) -> io::Result<Option<OwnedFd>> {
    match fcntl::openat(at, name, FOLDER, Mode::empty()) {
        Ok(folder) => Ok(Some(folder)),
        Err(Errno::ENOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn read(folder: &OwnedFd, name: &str) -> io::Result<Option<i64>> {
    let file = match fcntl::openat(folder, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::ENOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    // A number and the end of its line; more is no number.
    let mut text = [0; 32];
    let length = unistd::read(&file, &mut text)?;
    Ok(std::str::from_utf8(&text[..length]).ok().and_then(|text| text.trim().parse().ok()))
}
