//! Frames as a device shows them to those who listen, for devices that pass frames on without counting them; and a
//! process that holds a tap.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::process::ExitCode;

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, socket};

use super::node::Node;

/// Says to the test binary that it is to hold this tap of this namespace, and nothing else: `tap0:/run/netns/x`.
pub const HOLD_TAP: &str = "PODNET_TESTS_HOLD_TAP";

/// Which of these devices see IPv4 packets to an address while something is done.
pub fn seen_on<T>(node: &Node, devices: &[(&str, &str)], to: &str, done: impl FnOnce() -> T) -> Vec<bool> {
    let open = |(netns, ifname): &(&str, &str)| node.inside(netns, || listen(ifname));
    let sockets: Vec<OwnedFd> = devices.iter().map(open).collect();
    done();
    let to: std::net::Ipv4Addr = to.parse().unwrap();
    sockets.iter().map(|socket| saw(socket, to)).collect()
}

fn listen(ifname: &str) -> OwnedFd {
    const ETH_P_ALL: u16 = 3;
    let index = nix::net::if_::if_nametoindex(ifname).unwrap();
    let packet = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_NONBLOCK, None).unwrap();
    let mut address: nix::libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = nix::libc::AF_PACKET as u16;
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = index as i32;
    let length = size_of_val(&address) as nix::libc::socklen_t;
    // SAFETY: the address is a sockaddr_ll of that length.
    let done = unsafe { nix::libc::bind(packet.as_raw_fd(), (&raw const address).cast(), length) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    packet
}

/// A frame with an IPv4 packet to the address is among those that have come.
fn saw(socket: &OwnedFd, to: std::net::Ipv4Addr) -> bool {
    let mut frame = [0; 2048];
    while let Ok(length) = recv(socket.as_raw_fd(), &mut frame, MsgFlags::MSG_DONTWAIT) {
        let frame = &frame[..length];
        if frame.get(12..14) == Some(&[8, 0]) && frame.get(30..34) == Some(&to.octets()) {
            return true;
        }
    }
    false
}

/// What slirp4netns and pasta do: attach to a tap inside, hold it outside. Never comes back if it is what this process
/// was started for.
pub fn hold_tap_if_told() -> Option<ExitCode> {
    let told = std::env::var(HOLD_TAP).ok()?;
    let (ifname, path) = told.split_once(':')?;
    let own = File::open("/proc/self/ns/net").ok()?;
    setns(File::open(path).ok()?.as_fd(), CloneFlags::CLONE_NEWNET).ok()?;
    let _tap = hold_tap(ifname);
    setns(own.as_fd(), CloneFlags::CLONE_NEWNET).ok()?;
    loop {
        nix::unistd::pause();
    }
}

/// Holds a tap device of the namespace of the calling thread.
pub fn hold_tap(ifname: &str) -> File {
    const TUNSETIFF: nix::libc::c_ulong = 0x4004_54ca;
    let tun = File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    let mut request = [0u8; 40];
    request[..ifname.len()].copy_from_slice(ifname.as_bytes());
    // IFF_TAP | IFF_NO_PI
    request[16..18].copy_from_slice(&0x1002u16.to_ne_bytes());
    // SAFETY: the request is a struct ifreq, 40 bytes, and outlives the call.
    let done = unsafe { nix::libc::ioctl(tun.as_raw_fd(), TUNSETIFF as _, request.as_ptr()) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    tun
}
