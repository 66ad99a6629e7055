//! What the kernel itself costs: bare netlink messages, nothing decoded. A program of its own, small and
//! static, that the benchmark compiles by itself: it does the system calls of a trace, a list, an attach or a detach, and
//! ends.

use std::collections::HashSet;
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio, exit};
use std::sync::Mutex;

// No crate: the program is compiled without Cargo.
unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const c_void, length: c_uint) -> c_int;
    fn send(fd: c_int, bytes: *const c_void, length: usize, flags: c_int) -> isize;
    fn recv(fd: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> isize;
    fn close(fd: c_int) -> c_int;
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn fork() -> c_int;
    fn getrusage(who: c_int, usage: *mut c_void) -> c_int;
    fn if_nametoindex(name: *const c_char) -> c_uint;
}

const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u8 = 10;
const AF_NETLINK: c_int = 16;
const SOCK_RAW: c_int = 3;
const NETLINK_ROUTE: c_int = 0;
const RUSAGE_CHILDREN: c_int = -1;
const CLONE_NEWNET: c_int = 0x4000_0000;

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const DUMP: u16 = 0x300;
const NEW: u16 = REQUEST | ACK | 0x400 | 0x200;

/// A message in the making.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 16];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(header);
        Message(bytes)
    }

    fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// What an attribute that holds others has in it.
    fn body(self) -> Vec<u8> {
        self.0[16..].to_vec()
    }
}

fn link(index: i32, up: bool) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    header[8..12].copy_from_slice(&u32::from(up).to_ne_bytes());
    header[12..16].copy_from_slice(&u32::from(up).to_ne_bytes());
    header
}

/// A blocking socket in the namespace of the thread.
struct Socket(i32);

impl Socket {
    fn open(groups: u32) -> Self {
        // SAFETY: plain system calls on a descriptor of its own and an address that lives through the call.
        unsafe {
            let fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
            assert!(fd >= 0, "no netlink socket");
            if groups != 0 {
                // struct sockaddr_nl: family, pad, port, groups.
                let address: [u32; 3] = [AF_NETLINK as u32, 0, groups];
                assert_eq!(bind(fd, address.as_ptr().cast(), 12), 0);
            }
            Socket(fd)
        }
    }

    fn send(&self, messages: &[Message]) {
        let mut all = Vec::new();
        for message in messages {
            let mut bytes = message.0.clone();
            let length = bytes.len() as u32;
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            all.extend(bytes);
        }
        // SAFETY: the buffer lives through the call.
        let sent = unsafe { send(self.0, all.as_ptr().cast(), all.len(), 0) };
        assert_eq!(sent, all.len() as isize, "send");
    }

    fn receive(&self, buffer: &mut [u8]) -> usize {
        // SAFETY: the buffer lives through the call.
        let got = unsafe { recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        usize::try_from(got).expect("recv")
    }

    /// Sends one dump request and reads all of the answer.
    fn dump(&self, kind: u16, header: &[u8], buffer: &mut [u8]) {
        self.send(&[Message::new(kind, REQUEST | DUMP, header)]);
        loop {
            let got = self.receive(buffer);
            // NLMSG_DONE or an error is the last message that comes, in a buffer of its own or at the end.
            let mut at = 0;
            while at + 16 <= got {
                let length = u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap()) as usize;
                let kind = u16::from_ne_bytes(buffer[at + 4..at + 6].try_into().unwrap());
                if kind == 3 || kind == 2 {
                    return;
                }
                at += length.next_multiple_of(4).max(16);
            }
        }
    }

    /// Sends requests at once and reads an answer for each.
    fn ask(&self, messages: &[Message], buffer: &mut [u8]) {
        self.send(messages);
        let mut answers = 0;
        while answers < messages.len() {
            let got = self.receive(buffer);
            let mut at = 0;
            while at + 16 <= got {
                let length = u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap()) as usize;
                let kind = u16::from_ne_bytes(buffer[at + 4..at + 6].try_into().unwrap());
                if kind == 2 {
                    let errno = i32::from_ne_bytes(buffer[at + 16..at + 20].try_into().unwrap());
                    assert_eq!(errno, 0, "the kernel refused message {answers}");
                }
                answers += 1;
                at += length.next_multiple_of(4).max(16);
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: its own descriptor, closed once.
        unsafe { close(self.0) };
    }
}

const BUFFER: usize = 32 * 1024;

fn enter(path: &str) {
    let file = File::open(path).expect("a namespace");
    // SAFETY: the descriptor lives through the call.
    assert_eq!(unsafe { setns(file.as_raw_fd(), CLONE_NEWNET) }, 0, "setns");
}

/// One pod: five dumps inside, the host's link and route.
fn trace(pid: &str) {
    let mut buffer = vec![0; BUFFER];
    let host = Socket::open(0);
    enter(&format!("/proc/{pid}/ns/net"));
    let pod = Socket::open(0);
    pod.dump(RTM_GETLINK, &link(0, false), &mut buffer);
    let index = peer_index(&buffer);
    pod.dump(RTM_GETADDR, &[0; 8], &mut buffer);
    for family in [AF_INET, AF_INET6] {
        pod.dump(RTM_GETROUTE, &route(family, 0), &mut buffer);
    }
    pod.dump(RTM_GETNEIGH, &[0; 12], &mut buffer);
    host.ask(&[Message::new(RTM_GETLINK, REQUEST, &link(index, false))], &mut buffer);
    let look_up = Message::new(RTM_GETROUTE, REQUEST, &route(AF_INET, 32)).attr(1, &[192, 0, 2, 1]);
    host.ask(&[look_up], &mut buffer);
}

/// `IFLA_LINK` of the last link in an answer; every pod has `lo` and `eth0`.
fn peer_index(buffer: &[u8]) -> i32 {
    let (mut at, mut found) = (0, 1);
    while at + 32 <= buffer.len() {
        let length = u32::from_ne_bytes(buffer[at..at + 4].try_into().unwrap()) as usize;
        let kind = u16::from_ne_bytes(buffer[at + 4..at + 6].try_into().unwrap());
        if kind != RTM_NEWLINK || length < 32 {
            break;
        }
        let mut attr = at + 32;
        while attr + 8 <= at + length {
            let size = u16::from_ne_bytes(buffer[attr..attr + 2].try_into().unwrap()) as usize;
            if u16::from_ne_bytes(buffer[attr + 2..attr + 4].try_into().unwrap()) == 5 {
                found = i32::from_ne_bytes(buffer[attr + 4..attr + 8].try_into().unwrap());
            }
            attr += size.next_multiple_of(4).max(4);
        }
        at += length.next_multiple_of(4);
    }
    found
}

fn route(family: u8, dst_len: u8) -> [u8; 12] {
    let mut header = [0; 12];
    (header[0], header[1]) = (family, dst_len);
    header
}

/// All namespaces with two threads: a look at every process, then dumps in each namespace.
fn list(neighbours: bool) {
    let own = fs::metadata("/proc/self/ns/net").expect("own namespace").ino();
    let mut seen = HashSet::from([own]);
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().filter(|n| n.as_bytes()[0].is_ascii_digit()) else { continue };
        let Ok(target) = fs::read_link(format!("/proc/{pid}/ns/net")) else { continue };
        let target = target.to_string_lossy().into_owned();
        let inode = target.trim_start_matches("net:[").trim_end_matches(']').parse().expect("net:[inode]");
        if seen.insert(inode) {
            pids.push(pid.to_owned());
        }
    }
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let _ = fs::metadata(entry.path());
    }
    let own = Socket::open(0);
    let mut buffer = vec![0; BUFFER];
    let mut bridge = link(0, false);
    bridge[0] = AF_BRIDGE;
    own.dump(RTM_GETLINK, &bridge, &mut buffer);
    inside(&own, neighbours, &mut buffer, false);
    let work = Mutex::new(pids.iter());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut buffer = vec![0; BUFFER];
                loop {
                    let Some(pid) = work.lock().expect("the list of pids").next() else { return };
                    enter(&format!("/proc/{pid}/ns/net"));
                    inside(&Socket::open(0), neighbours, &mut buffer, true);
                }
            });
        }
    });
}

fn inside(socket: &Socket, neighbours: bool, buffer: &mut [u8], links: bool) {
    if links {
        socket.dump(RTM_GETLINK, &link(0, false), buffer);
    }
    socket.dump(RTM_GETADDR, &[0; 8], buffer);
    if neighbours {
        for family in [AF_INET, AF_INET6] {
            socket.dump(RTM_GETROUTE, &route(family, 0), buffer);
        }
        socket.dump(RTM_GETNEIGH, &[0; 12], buffer);
    }
}

/// Wires a pod: `attach <netns> <bridge> <ifname> <host ifname> <address> <gateway>`.
fn attach(netns: &str, bridge: &str, ifname: &str, host: &str, address: Ipv4Addr, gateway: Ipv4Addr) {
    let mut buffer = vec![0; BUFFER];
    let file = File::open(netns).expect("a namespace");
    let one_queue = 1_u32.to_ne_bytes();
    let peer = Message::new(0, 0, &link(0, false))
        .attr(3, format!("{ifname}\0").as_bytes())
        .attr(28, &file.as_raw_fd().to_ne_bytes())
        .attr(31, &one_queue)
        .attr(32, &one_queue)
        .body();
    let data = Message::new(0, 0, &[]).attr(1, &peer).body();
    let info = Message::new(0, 0, &[]).attr(1, b"veth").attr(2, &data).body();
    let make = Message::new(RTM_NEWLINK, NEW, &link(0, true))
        .attr(3, format!("{host}\0").as_bytes())
        .attr(10, &index(bridge).to_ne_bytes())
        .attr(31, &one_queue)
        .attr(32, &one_queue)
        .attr(18, &info);
    Socket::open(0).ask(&[make], &mut buffer);
    enter(netns);
    let oif = index(ifname);
    let mut addr = [0; 8];
    (addr[0], addr[1]) = (AF_INET, 16);
    addr[4..8].copy_from_slice(&oif.to_ne_bytes());
    let default = {
        let mut header = route(AF_INET, 0);
        // Main table, boot, universe, unicast.
        header[4..8].copy_from_slice(&[254, 3, 0, 1]);
        Message::new(RTM_NEWROUTE, NEW, &header).attr(5, &gateway.octets())
    };
    let steps = [
        Message::new(RTM_NEWLINK, REQUEST | ACK, &link(oif, true)),
        Message::new(RTM_NEWADDR, NEW, &addr).attr(1, &address.octets()).attr(2, &address.octets()),
        default,
    ];
    Socket::open(0).ask(&steps, &mut buffer);
}

/// Makes a neighbour entry that stays, of 02:00:00:00:ff and one more byte.
fn neighbour(netns: &str, ifname: &str, ip: Ipv4Addr, last: u8) {
    enter(netns);
    let mac = [2, 0, 0, 0, 0xff, last];
    let mut header = [0; 12];
    header[0] = AF_INET;
    header[4..8].copy_from_slice(&index(ifname).to_ne_bytes());
    header[8..10].copy_from_slice(&0x80_u16.to_ne_bytes());
    let message = Message::new(RTM_NEWNEIGH, NEW, &header).attr(1, &ip.octets()).attr(2, &mac);
    Socket::open(0).ask(&[message], &mut vec![0; BUFFER]);
}

/// Deletes a link and ends when the kernel says that it is gone, not when it has come to rest after that.
fn detach(ifname: &str) {
    let gone = Socket::open(1);
    let delete = Message::new(RTM_DELLINK, REQUEST | ACK, &link(index(ifname), false));
    let wanted = index(ifname).to_ne_bytes();
    let mut buffer = vec![0; BUFFER];
    // Another process waits: a thread would keep this one from ending.
    // SAFETY: there is one thread.
    if unsafe { fork() } == 0 {
        Socket::open(0).ask(&[delete], &mut buffer);
        exit(0);
    }
    loop {
        gone.receive(&mut buffer);
        let kind = u16::from_ne_bytes([buffer[4], buffer[5]]);
        // A port that leaves its bridge is announced by the same message, for another family.
        if kind == RTM_DELLINK && buffer[16] == 0 && buffer[20..24] == wanted {
            return;
        }
    }
}

fn index(ifname: &str) -> i32 {
    let name = CString::new(ifname).expect("a name");
    // SAFETY: the string ends with a NUL.
    let index = unsafe { if_nametoindex(name.as_ptr()) };
    assert_ne!(index, 0, "no link {ifname}");
    index as i32
}

/// Runs a command and says the largest resident set of what it started, in KiB.
fn peak(program: &str, args: &[&str]) {
    let mut command = Command::new(program);
    command.args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().and_then(|mut c| c.wait()).expect(program);
    // struct rusage: two times of two words, then ru_maxrss.
    let mut usage = [0_i64; 18];
    // SAFETY: the array is as large as the struct.
    assert_eq!(unsafe { getrusage(RUSAGE_CHILDREN, usage.as_mut_ptr().cast()) }, 0);
    println!("{}", usage[4]);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let parse = |ip: &str| ip.parse().expect("an IPv4 address");
    match args[..] {
        ["trace", pid] => trace(pid),
        ["list"] => list(false),
        ["snapshot"] => list(true),
        ["attach", netns, bridge, ifname, host, address, gateway] => {
            attach(netns, bridge, ifname, host, parse(address), parse(gateway));
        }
        ["detach", ifname] => detach(ifname),
        ["peak", program, ref args @ ..] => peak(program, args),
        ["neighbour", netns, ifname, ip, last] => neighbour(netns, ifname, parse(ip), last.parse().expect("a byte")),
        _ => exit(2),
    }
}
