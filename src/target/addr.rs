//! An address as a target: the namespace that holds it, be it of IP or of a link.

use std::net::IpAddr;

use super::{Found, HINT, ROOT, ambiguous, denied, place};
use crate::error::{Error, ErrorId, Result};
use crate::kernel::link::{self, Where};
use crate::kernel::socket::Socket;
use crate::kernel::{Live, addr};
use crate::model::{LlAddr, Topology};

/// An ambiguous address is shown with this many of its holders.
const SHOWN: usize = 20;

pub(super) fn ip(text: &str) -> Result<IpAddr> {
    text.parse().map_err(|e| Error::new(ErrorId::Usage, format!("{text:?} is no address")).because(e).hint(HINT))
}

/// `aa:bb:cc:dd:ee:ff`, with dashes as well.
pub(super) fn mac(text: &str) -> Result<LlAddr> {
    let parts: Vec<&str> = text.split(if text.contains(':') { ':' } else { '-' }).collect();
    let byte = |part: &&str| match part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => u8::from_str_radix(part, 16).ok(),
        false => None,
    };
    let bytes: Option<Vec<u8>> = parts.iter().map(byte).collect();
    match bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok()) {
        Some(bytes) => Ok(LlAddr::mac(bytes)),
        None => {
            Err(Error::new(ErrorId::Usage, format!("{text:?} is no MAC address")).hint("it is like c2:ce:72:1b:97:6e"))
        }
    }
}

/// The namespace that holds an address.
pub(super) fn by_ip(live: &mut Live, ip: IpAddr) -> Result<Found> {
    let holds = |socket: &mut Socket| {
        addr::dump(socket, None, Where::Here).is_ok_and(|d| d.items.iter().any(|(_, a)| a.local == ip))
    };
    search(live, &ip.to_string(), holds, "an address on another machine can only be a --to")
}

/// The namespace that has a link with this address.
pub(super) fn by_mac(live: &mut Live, mac: LlAddr) -> Result<Found> {
    let holds = |socket: &mut Socket| {
        link::dump(socket, Where::Here).is_ok_and(|d| d.items.iter().any(|l| l.address == Some(mac)))
    };
    search(live, &mac.to_string(), holds, "the address that a bridge has learned may be one of another machine")
}

/// The one namespace that this is true of.
fn search(live: &mut Live, what: &str, holds: impl Fn(&mut Socket) -> bool, elsewhere: &str) -> Result<Found> {
    let (own, host) = (live.spaces.own(), live.spaces.host());
    let mut holders = Vec::new();
    let mut closed = 0;
    let own_name = live.netns(own).name;
    if let Some((socket, _)) = live.spaces.socket(own)
        && holds(socket)
    {
        holders.push((own, own_name));
    }
    for candidate in live.spaces.found().iter().filter(|f| f.id != own) {
        match candidate.open().and_then(|file| file.socket()).map(|mut socket| holds(&mut socket)) {
            Ok(true) => holders.push((candidate.id, candidate.name(host))),
            Ok(false) => {}
            Err(e) if denied(&e) => closed += 1,
            // It has vanished, and its addresses with it.
            Err(_) => {}
        }
    }
    match holders.as_slice() {
        [(id, _)] if *id == own => Ok(Found::at(own, None)),
        [(id, _)] => place::by_inode(live, &id.ino().unwrap_or(0).to_string()),
        [] => {
            let error =
                Error::new(ErrorId::UnknownTarget, format!("no namespace that podnet can look into holds {what}"));
            Err(match closed {
                0 => error.hint(format!("podnet list shows all addresses; {elsewhere}")),
                n => error.hint(format!("{n} namespaces are closed to you: {ROOT}")),
            })
        }
        several => {
            let told =
                |(id, name): &(crate::model::NetnsId, String)| format!("netns:{} ({name})", id.ino().unwrap_or(0));
            Err(ambiguous(what, several.iter().take(SHOWN).map(told).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs() {
        let expected = LlAddr::mac([0xc2, 0xce, 0x72, 0x1b, 0x97, 0x6e]);
        assert_eq!(mac("c2:ce:72:1b:97:6e").unwrap(), expected);
        assert_eq!(mac("C2-CE-72-1B-97-6E").unwrap(), expected);
        for other in ["", "c2:ce:72:1b:97", "c2:ce:72:1b:97:6e:00", "c2:ce:72:1b:97:+1", "c2ce721b976e", "::1", "é:é"]
        {
            assert!(mac(other).is_err(), "{other}");
        }
    }
}
