//! Docker's API, for those who may speak to its socket and not read its files, and where its files are kept in a place
//! that nothing tells. One request, which asks for all containers; every other runtime's socket is root's alone, who
//! reads the disk. A daemon that is stopped accepts and never answers, so the time is short.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, connect, recv, send, socket};
use serde::Deserialize;

use super::docker::Labels;

/// What the answer may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// Bytes of an answer; a thousand containers have some three million.
const LIMIT: usize = 32 << 20;
/// Of version 1.0, so that the answer comes in one piece and ends with the connection. Without a version of the API in
/// its path every daemon knows it.
const REQUEST: &[u8] = b"GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n";

/// A running container.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Running {
    id: String,
    pub names: Option<Vec<String>>,
    pub labels: Option<Labels>,
    pub host_config: Option<HostConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    #[serde(default)]
    pub network_mode: String,
}

/// All running containers by id.
pub(super) fn containers(path: &Path) -> io::Result<HashMap<String, Running>> {
    let answer = ask(path)?;
    let split = answer.windows(4).position(|part| part == b"\r\n\r\n");
    let is_good = answer.starts_with(b"HTTP/1.") && answer.get(8..13) == Some(b" 200 ");
    let body = split.filter(|_| is_good).map(|at| &answer[at + 4..]);
    let body =
        body.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the answer of a container engine"))?;
    let listed: Vec<Running> =
        serde_json::from_slice(body).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))?;
    Ok(listed.into_iter().map(|container| (container.id.clone(), container)).collect())
}

fn ask(path: &Path) -> io::Result<Vec<u8>> {
    let until = Instant::now() + PATIENCE;
    let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    match connect(socket.as_raw_fd(), &UnixAddr::new(path)?) {
        Ok(()) => {}
        // So many are waiting for it already that no more are let in.
        Err(Errno::EAGAIN) => return Err(silent()),
        Err(error) => return Err(error.into()),
    }
    send(socket.as_raw_fd(), REQUEST, MsgFlags::MSG_NOSIGNAL)?;
    let (mut answer, mut part) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        wait(&socket, until)?;
        match recv(socket.as_raw_fd(), &mut part, MsgFlags::empty()) {
            Ok(0) => return Ok(answer),
            Ok(_) if answer.len() > LIMIT => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer without end"));
            }
            Ok(read) => answer.extend_from_slice(&part[..read]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn wait(socket: &OwnedFd, until: Instant) -> io::Result<()> {
    let left = until.saturating_duration_since(Instant::now()).as_millis();
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    match poll(&mut asked, PollTimeout::from(left.min(1000) as u16)) {
        Ok(0) => Err(silent()),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no answer within {} ms", PATIENCE.as_millis()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::runtime::tree::Tree;

    #[test]
    fn a_daemon_answers_or_does_not() {
        let tree = Tree::new("api");
        let path = tree.path().join("docker.sock");
        assert_eq!(containers(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        // Nobody accepts: the kernel does.
        let begun = Instant::now();
        assert_eq!(containers(&path).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() < PATIENCE * 4);
        let (mut first, _) = listener.accept().unwrap();
        let _ = first.read(&mut [0; 512]);
        for (answer, good) in [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n[{\"Id\":\"1\",\"Names\":[\"/web\"],\"State\":\"running\"}]", true),
            ("HTTP/1.0 500 Error\r\n\r\n[]", false),
            ("HTTP/1.0 200 OK\r\n\r\n[", false),
            ("x", false),
            ("", false),
        ] {
            let found = std::thread::scope(|scope| {
                let asked = scope.spawn(|| containers(&path));
                let (mut peer, _) = listener.accept().unwrap();
                let _ = peer.read(&mut [0; 512]);
                peer.write_all(answer.as_bytes()).unwrap();
                drop(peer);
                asked.join().unwrap()
            });
            assert_eq!(found.is_ok(), good, "{answer}");
            if let Ok(found) = found {
                assert_eq!(found["1"].names.as_deref(), Some(&["/web".to_owned()][..]));
            }
        }
    }
}
