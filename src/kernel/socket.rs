//! A blocking netlink socket of one namespace: requests, dumps, and every way in which an answer can be
//! incomplete. What the answers mean is left to the files of each topic.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};
use std::time::Duration;

use netlink_packet_core::{
    DecodeError, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkSerializable, NlasIterator,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::libc::{MSG_TRUNC, SOL_SOCKET, getsockopt, socklen_t};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A link with many virtual functions does not fit 32 KiB; the kernel never makes a message greater than this.
const BUFFER: usize = 64 * 1024;

/// An interrupted dump is asked again this often; under constant change four in ten are, so this leaves one in a hundred.
const TRIES: usize = 5;

/// Why the kernel refused a request.
#[derive(Debug, Clone)]
pub struct Refused {
    /// Its error number; `EPROTO` where the answer made no sense.
    pub errno: Errno,
    /// Its own words (`NLMSGERR_ATTR_MSG`).
    pub words: Option<String>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: ", self.errno)?;
        match &self.words {
            Some(words) => write!(f, "{words}"),
            None => write!(f, "{}", self.errno.desc()),
        }
    }
}

impl std::error::Error for Refused {}

impl From<io::Error> for Refused {
    fn from(e: io::Error) -> Self {
        Refused { errno: e.raw_os_error().map_or(Errno::EPROTO, Errno::from_raw), words: None }
    }
}

impl From<DecodeError> for Refused {
    fn from(e: DecodeError) -> Self {
        Refused { errno: Errno::EPROTO, words: Some(format!("undecodable answer: {e}")) }
    }
}

/// What a dump gave.
#[derive(Debug)]
pub struct Dump<T> {
    /// What was decoded.
    pub items: Vec<T>,
    /// Messages that could not be decoded.
    pub undecodable: usize,
    /// The tables changed under every one of the tries: entries may be missing or doubled.
    pub interrupted: bool,
}

impl<T> Dump<T> {
    /// What is missing from it, in words.
    pub fn flaw(&self) -> Option<String> {
        match (self.undecodable, self.interrupted) {
            (0, false) => None,
            (0, true) => Some(format!("the table changed during each of {TRIES} readings; entries may be missing")),
            (n, false) => Some(format!("{n} messages could not be decoded")),
            (n, true) => Some(format!("{n} messages could not be decoded, and the table changed during the reading")),
        }
    }
}

/// A request: what one of the typed messages comes to, or one that there is no type for.
#[derive(Debug, Clone)]
pub struct Request {
    kind: u16,
    payload: Vec<u8>,
}

impl Request {
    /// A message of this type.
    pub fn raw(kind: u16, payload: Vec<u8>) -> Self {
        Request { kind, payload }
    }
}

impl From<RouteNetlinkMessage> for Request {
    fn from(message: RouteNetlinkMessage) -> Self {
        let mut payload = vec![0; message.buffer_len()];
        message.serialize(&mut payload);
        Request { kind: message.message_type(), payload }
    }
}

/// A netlink socket; it stays in the namespace that it was made in.
#[derive(Debug)]
pub struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket in the namespace of the calling thread.
    pub fn open() -> io::Result<Socket> {
        Socket::of(netlink_sys::protocols::NETLINK_ROUTE)
    }

    /// A socket in the namespace of the calling thread that netfilter answers. Opening it and asking by it can load
    /// modules where there is no netfilter yet: see whether there is before.
    pub fn open_netfilter() -> io::Result<Socket> {
        Socket::of(netlink_sys::protocols::NETLINK_NETFILTER)
    }

    fn of(protocol: isize) -> io::Result<Socket> {
        let inner = netlink_sys::Socket::new(protocol)?;
        // Old kernels refuse both; answers are then less exact or less wordy, and still right.
        let _ = inner.set_netlink_get_strict_chk(true);
        let _ = inner.set_ext_ack(true);
        Ok(Socket { inner, sequence: 0, buffer: Vec::with_capacity(BUFFER) })
    }

    /// The same socket once more, for somebody who asks while the other does not.
    pub fn again(&self) -> io::Result<Socket> {
        let fd = self.inner.as_fd().try_clone_to_owned()?;
        // SAFETY: the descriptor was just made and is owned by nobody else.
        let inner = unsafe { netlink_sys::Socket::from_raw_fd(fd.into_raw_fd()) };
        Ok(Socket { inner, sequence: self.sequence, buffer: Vec::with_capacity(BUFFER) })
    }

    fn send(&mut self, request: &Request, flags: u16) -> Result<(), Refused> {
        /// Length of `struct nlmsghdr`.
        const HEADER: usize = 16;
        self.sequence += 1;
        self.buffer.clear();
        self.buffer.extend(((HEADER + request.payload.len()) as u32).to_ne_bytes());
        self.buffer.extend(request.kind.to_ne_bytes());
        self.buffer.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        self.buffer.extend(self.sequence.to_ne_bytes());
        self.buffer.extend(0u32.to_ne_bytes());
        self.buffer.extend(&request.payload);
        self.inner.send(&self.buffer, 0)?;
        Ok(())
    }

    /// Reads datagrams and hands each message (type, flags, payload) on until the visitor breaks.
    fn receive<B>(
        &mut self,
        mut visit: impl FnMut(u16, u16, &[u8]) -> ControlFlow<Result<B, Refused>>,
    ) -> Result<B, Refused> {
        loop {
            self.datagram()?;
            let mut rest = &self.buffer[..];
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest)?;
                let size = (message.length() as usize).next_multiple_of(4).min(rest.len());
                if message.sequence_number() == self.sequence
                    && let ControlFlow::Break(done) = visit(message.message_type(), message.flags(), message.payload())
                {
                    return done;
                }
                rest = &rest[size..];
            }
        }
    }

    fn datagram(&mut self) -> Result<(), Refused> {
        loop {
            self.buffer.clear();
            // Vec hands out exactly its spare capacity, so a longer datagram shows as a greater length.
            let length = match self.inner.recv(&mut self.buffer, MSG_TRUNC) {
                Err(e) if e.raw_os_error() == Some(Errno::EINTR as i32) => continue,
                other => other?,
            };
            if length <= self.buffer.len() {
                return Ok(());
            }
            let words = format!("a message of {length} bytes was cut at {}", self.buffer.len());
            return Err(Refused { errno: Errno::EMSGSIZE, words: Some(words) });
        }
    }

    /// Asks to be told of every link that changes or goes.
    pub fn subscribe_links(&mut self) -> io::Result<()> {
        const RTNLGRP_LINK: u32 = 1;
        // A socket without a number of its own hears nothing from the kernel, whose number is zero.
        self.inner.bind_auto()?;
        self.inner.add_membership(RTNLGRP_LINK)
    }

    /// Waits for what was subscribed to and hands on the messages (type, payload) that have come; false: none came in time.
    pub fn notices(&mut self, patience: Duration, mut visit: impl FnMut(u16, &[u8])) -> Result<bool, Refused> {
        let mut waiting = [PollFd::new(self.inner.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        match poll(&mut waiting, patience) {
            Ok(0) | Err(Errno::EINTR) => return Ok(false),
            Ok(_) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        self.datagram()?;
        let mut rest = &self.buffer[..];
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest)?;
            visit(message.message_type(), message.payload());
            rest = &rest[(message.length() as usize).next_multiple_of(4).min(rest.len())..];
        }
        Ok(true)
    }

    /// Asks for one thing and hands its payload to `decode`.
    pub fn get<T>(
        &mut self,
        request: impl Into<Request>,
        mut decode: impl FnMut(&[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, Refused> {
        self.send(&request.into(), 0)?;
        self.receive(|kind, flags, payload| {
            ControlFlow::Break(match kind {
                NLMSG_ERROR => Err(error_of(flags, payload)),
                _ => decode(payload).map_err(Refused::from),
            })
        })
    }

    /// Sends a request that is answered by yes or no. What changes the machine comes from `wiring` alone.
    pub fn acknowledged(&mut self, request: impl Into<Request>, flags: u16) -> Result<(), Refused> {
        self.send(&request.into(), NLM_F_ACK | flags)?;
        self.receive(|kind, flags, payload| match kind {
            NLMSG_ERROR if payload.first_chunk() == Some(&[0; 4]) => ControlFlow::Break(Ok(())),
            NLMSG_ERROR => ControlFlow::Break(Err(error_of(flags, payload))),
            _ => ControlFlow::Continue(()),
        })
    }

    /// Number of the socket's namespace, which no other gets until the machine starts anew (`SO_NETNS_COOKIE`);
    /// kernels before 5.14 have none.
    pub fn netns_cookie(&self) -> io::Result<u64> {
        const SO_NETNS_COOKIE: i32 = 71;
        let (mut cookie, mut size) = (0u64, size_of::<u64>() as socklen_t);
        // SAFETY: both pointers lead to values of this function, and the size is that of the first.
        let done = unsafe {
            getsockopt(self.inner.as_raw_fd(), SOL_SOCKET, SO_NETNS_COOKIE, (&raw mut cookie).cast(), &raw mut size)
        };
        Errno::result(done)?;
        Ok(cookie)
    }

    /// Asks for everything of a sort. `decode` says `None` for what it does not want. Reads again what was interrupted.
    pub fn dump<T>(
        &mut self,
        request: impl Into<Request>,
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Dump<T>, Refused> {
        let request = request.into();
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let dump = self.dump_once(&request, None, &mut decode);
            match dump {
                Ok(dump) if dump.interrupted && tries > 0 => {}
                Err(refused) if refused.errno == Errno::ENOBUFS && tries > 0 => {}
                other => return other,
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Asks for everything of a sort and stops at `limit`. The rest stays unread, so the socket ends with it.
    pub fn dump_some<T>(
        mut self,
        request: impl Into<Request>,
        limit: usize,
        mut decode: impl FnMut(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Dump<T>, Refused> {
        self.dump_once(&request.into(), Some(limit), &mut decode)
    }

    fn dump_once<T>(
        &mut self,
        request: &Request,
        limit: Option<usize>,
        decode: &mut impl FnMut(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Dump<T>, Refused> {
        self.send(request, NLM_F_DUMP)?;
        let mut dump = Dump { items: Vec::new(), undecodable: 0, interrupted: false };
        self.receive(|kind, flags, payload| {
            dump.interrupted |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                NLMSG_DONE => return ControlFlow::Break(done(payload)),
                NLMSG_ERROR => return ControlFlow::Break(Err(error_of(flags, payload))),
                NLMSG_OVERRUN => return ControlFlow::Break(Err(io::Error::from(Errno::ENOBUFS).into())),
                _ => {}
            }
            match decode(payload) {
                Ok(Some(item)) => dump.items.push(item),
                Ok(None) => {}
                Err(_) => dump.undecodable += 1,
            }
            match limit {
                Some(limit) if dump.items.len() >= limit => ControlFlow::Break(Ok(())),
                _ => ControlFlow::Continue(()),
            }
        })?;
        Ok(dump)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

/// A dump's own error comes inside DONE: a table that is not there answers ENOENT, which means empty.
fn done(payload: &[u8]) -> Result<(), Refused> {
    let code = payload.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
    match Errno::from_raw(-code) {
        _ if code >= 0 => Ok(()),
        Errno::ENOENT => Ok(()),
        errno => Err(Refused { errno, words: ext_ack(payload.get(4..).unwrap_or_default()) }),
    }
}

/// The error of an NLMSG_ERROR.
fn error_of(flags: u16, payload: &[u8]) -> Refused {
    const NLM_F_CAPPED: u16 = 0x100;
    let code = payload.first_chunk::<4>().map_or(0, |b| i32::from_ne_bytes(*b));
    refused(code, flags & NLM_F_CAPPED != 0, payload.get(4..).unwrap_or_default())
}

/// The kernel's own words stand behind the request, or where the answer is capped behind the request's header.
fn refused(code: i32, capped: bool, request: &[u8]) -> Refused {
    const HEADER: usize = 16;
    let echoed = match request.first_chunk::<4>() {
        Some(length) if !capped => (u32::from_ne_bytes(*length) as usize).next_multiple_of(4),
        _ => HEADER,
    };
    Refused { errno: Errno::from_raw(-code), words: ext_ack(request.get(echoed..).unwrap_or_default()) }
}

fn ext_ack(attributes: &[u8]) -> Option<String> {
    const NLMSGERR_ATTR_MSG: u16 = 1;
    NlasIterator::new(attributes)
        .flatten()
        .find(|a| a.kind() == NLMSGERR_ATTR_MSG)
        .map(|a| super::text(a.value().strip_suffix(&[0]).unwrap_or(a.value())))
}
