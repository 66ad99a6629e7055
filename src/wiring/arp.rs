//! Says on a link's segment who has an address from now on, with a gratuitous ARP or an unsolicited neighbour
//! advertisement, and asks whether somebody has it already.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::time::TimeSpec;
use nix::unistd::{pipe2, read, write};

use super::aside::{aside, outcome};
use crate::kernel::netns::NetnsFile;
use crate::model::{IfIndex, LlAddr};

const ETH_P_ARP: u16 = 0x0806;
const ETH_P_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;

const BROADCAST: [u8; 6] = [0xff; 6];
const ALL_NODES: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// Sends one frame for each address by a link of the namespace.
pub fn announce(netns: &NetnsFile, link: IfIndex, mac: LlAddr, addrs: &[IpAddr]) -> io::Result<()> {
    let Some(mac) = mac.bytes().first_chunk::<6>() else { return Ok(()) };
    // A bridge hands the frame to each of a thousand ports while the sender waits, and to close a packet socket takes the
    // kernel some 15 ms: nothing that podnet could wait for. Whether it was heard nobody learns.
    let work = || {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        packet_socket(0)
    };
    let said = aside(&[netns.as_fd().as_raw_fd()], work, |socket| {
        addrs.iter().for_each(|addr| drop(send(&socket, link, *mac, *addr)));
    })?;
    outcome(&said)
}

/// Asks on a link of the own namespace who has one of the addresses, as one does before using them (RFC 5227, RFC 4862),
/// and waits a little for the first answer: an address, and the link-layer address of the one who has it.
pub fn answers(link: IfIndex, mac: LlAddr, addrs: &[IpAddr], patience: Duration) -> io::Result<Option<Holder>> {
    heard(&questions(link, mac, addrs)?, patience)
}

/// An address, and who has it.
pub type Holder = (IpAddr, LlAddr);

/// A question under way.
#[derive(Debug)]
pub struct Question {
    hears: OwnedFd,
    said: OwnedFd,
    addrs: Vec<IpAddr>,
}

/// Asks beside other work: a bridge hands the question to each of its ports while the sender waits. How long an answer
/// may take, once it is sent, `patience` says.
pub fn ask(
    link: IfIndex,
    mac: LlAddr,
    addrs: Vec<IpAddr>,
    patience: impl FnOnce() -> Duration,
) -> io::Result<Question> {
    let (hears, tells) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    let work = || {
        let asked = questions(link, mac, &addrs)?;
        let sent = Instant::now();
        let patience = patience();
        if let Some((addr, mac)) = heard(&asked, patience.saturating_sub(sent.elapsed()))? {
            let number = addrs.iter().position(|asked| *asked == addr).unwrap_or(0) as u8;
            write(&tells, &[&[number], mac.bytes()].concat())?;
        }
        Ok(asked)
    };
    let said = aside(&[tells.as_raw_fd()], work, drop)?;
    Ok(Question { hears, said, addrs })
}

impl Question {
    /// Waits for the answer: one of the addresses, and who has it.
    pub fn answer(self) -> io::Result<Option<Holder>> {
        outcome(&self.said)?;
        // What was heard is there by now.
        let mut told = [0; 7];
        match read(&self.hears, &mut told) {
            // Nothing, from a child that has ended or is still about to.
            Ok(0) | Err(Errno::EAGAIN) => Ok(None),
            Ok(length) => {
                let addr = self.addrs.get(usize::from(told[0]));
                Ok(addr.map(|addr| (*addr, LlAddr::new(&told[1..length]))))
            }
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Sends a question for each address, and returns what the answers come by.
fn questions(link: IfIndex, mac: LlAddr, addrs: &[IpAddr]) -> io::Result<Vec<(IpAddr, OwnedFd)>> {
    let Some(mac) = mac.bytes().first_chunk::<6>() else { return Ok(Vec::new()) };
    let ask = |addr: &IpAddr| {
        let socket = packet_socket(if addr.is_ipv4() { ETH_P_ARP } else { ETH_P_IPV6 })?;
        match addr {
            IpAddr::V4(ip) => {
                let mut question = gratuitous_arp(*mac, *ip);
                // From nobody, so that nobody learns anything from the question.
                question[14..18].fill(0);
                send_to(&socket, link, ETH_P_ARP, BROADCAST, &question)?;
            }
            IpAddr::V6(ip) => {
                let [.., a, b, c] = ip.octets();
                send_to(&socket, link, ETH_P_IPV6, [0x33, 0x33, 0xff, a, b, c], &solicitation(*ip))?;
            }
        }
        Ok((*addr, socket))
    };
    addrs.iter().map(ask).collect()
}

/// The first answer.
fn heard(asked: &[(IpAddr, OwnedFd)], patience: Duration) -> io::Result<Option<Holder>> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut waiting: Vec<_> = asked.iter().map(|(_, s)| PollFd::new(s.as_fd(), PollFlags::POLLIN)).collect();
        match ppoll(&mut waiting, Some(TimeSpec::from(left)), None) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for (addr, socket) in asked {
            let mut packet = [0; 128];
            let length = recv(socket.as_raw_fd(), &mut packet, MsgFlags::MSG_DONTWAIT).unwrap_or(0);
            if let Some(mac) = holder(&packet[..length], *addr) {
                return Ok(Some((*addr, mac)));
            }
        }
        if left.is_zero() {
            return Ok(None);
        }
    }
}

/// Who says in an ARP reply or a neighbour advertisement that the address is his.
fn holder(packet: &[u8], addr: IpAddr) -> Option<LlAddr> {
    match addr {
        IpAddr::V4(ip) => {
            let its = packet.len() >= 28 && packet[..8] == [0, 1, 8, 0, 6, 4, 0, 2] && packet[14..18] == ip.octets();
            its.then(|| LlAddr::new(&packet[8..14]))
        }
        IpAddr::V6(ip) => {
            let its = packet.len() >= 72 && packet[6] == ICMPV6 && packet[40] == 136 && packet[48..64] == ip.octets();
            (its && packet[64..66] == [2, 1]).then(|| LlAddr::new(&packet[66..72]))
        }
    }
}

fn packet_socket(protocol: u16) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) has no preconditions, and its result is owned by nobody else.
    unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let fd = Errno::result(libc::socket(libc::AF_PACKET, kind, i32::from(protocol.to_be())))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

fn send(socket: &OwnedFd, link: IfIndex, mac: [u8; 6], addr: IpAddr) -> io::Result<()> {
    match addr {
        IpAddr::V4(ip) => send_to(socket, link, ETH_P_ARP, BROADCAST, &gratuitous_arp(mac, ip)),
        IpAddr::V6(ip) => send_to(socket, link, ETH_P_IPV6, ALL_NODES, &advertisement(mac, ip)),
    }
}

fn send_to(socket: &OwnedFd, link: IfIndex, protocol: u16, to: [u8; 6], packet: &[u8]) -> io::Result<()> {
    // SAFETY: all-zero bytes are a valid sockaddr_ll.
    let mut place: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    place.sll_family = libc::AF_PACKET as u16;
    place.sll_protocol = protocol.to_be();
    place.sll_ifindex = link.0 as i32;
    place.sll_halen = 6;
    place.sll_addr[..6].copy_from_slice(&to);
    // SAFETY: pointers and lengths are those of `packet` and `place`.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const place).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    Errno::result(sent)?;
    Ok(())
}

/// An ARP request for the own address from the own address, which is how most announce it.
fn gratuitous_arp(mac: [u8; 6], ip: Ipv4Addr) -> [u8; 28] {
    let mut arp = [0; 28];
    // Ethernet, IPv4, lengths of their addresses, request
    arp[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 1]);
    arp[8..14].copy_from_slice(&mac);
    arp[14..18].copy_from_slice(&ip.octets());
    arp[24..].copy_from_slice(&ip.octets());
    arp
}

/// An IPv6 packet to all nodes with a neighbour advertisement that overrides what they know.
fn advertisement(mac: [u8; 6], ip: Ipv6Addr) -> [u8; 72] {
    const EVERYBODY: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut packet = [0; 72];
    packet[8..24].copy_from_slice(&ip.octets());
    packet[24..40].copy_from_slice(&EVERYBODY.octets());
    // Neighbour advertisement; the override flag
    packet[40] = 136;
    packet[44] = 0x20;
    packet[48..64].copy_from_slice(&ip.octets());
    // Target link-layer address, in units of eight bytes
    packet[64..66].copy_from_slice(&[2, 1]);
    packet[66..].copy_from_slice(&mac);
    finished(packet)
}

/// An IPv6 packet from nobody to those who may have the address, with a neighbour solicitation.
fn solicitation(ip: Ipv6Addr) -> [u8; 64] {
    let mut packet = [0; 64];
    let [.., a, b, c] = ip.octets();
    packet[24..40].copy_from_slice(&[0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    packet[40] = 135;
    packet[48..64].copy_from_slice(&ip.octets());
    finished(packet)
}

/// The same with what is first in every such packet, and with its checksum.
fn finished<const N: usize>(mut packet: [u8; N]) -> [u8; N] {
    let length = N as u8 - 40;
    // Version 6, the length of what follows, hop limit 255: that of another would not be believed.
    packet[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, length, ICMPV6, 255]);
    let sum = checksum(&packet[8..], u32::from(length) + u32::from(ICMPV6));
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn checksum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = bytes.chunks(2).fold(start, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
