//! Neighbours as everybody may see them: `arp` lists those of IPv4; those of IPv6 are in no file.

use std::net::{IpAddr, Ipv4Addr};

use super::ProcNet;
use super::files::{Extent, LIMIT, fields, number};
use crate::model::{IfIndex, LlAddr, Neigh, NeighState, Seen};

const ATF_COM: u32 = 0x2;
const ATF_PERM: u32 = 0x4;
const ATF_PUBL: u32 = 0x8;

/// Bytes of a link-layer address that fit into the kernel's line.
const SHOWN_BYTES: usize = 9;

impl ProcNet {
    /// The neighbour entry of an address on a link. Read when it is asked for: the kernel walks the neighbours of
    /// the whole machine for it.
    ///
    /// The file has three states only: a usable entry is called STALE, one without an answer INCOMPLETE.
    pub fn neigh(&self, ifindex: IfIndex, ip: IpAddr) -> Seen<Option<Neigh>> {
        let what = || format!("neighbour {ip}");
        let IpAddr::V4(v4) = ip else {
            return Err(self.files.gap(what(), "/proc does not show IPv6 neighbours"));
        };
        let mut found = None;
        let extent = self.files.lines("arp", LIMIT, |line| {
            if let Some((dst, dev, neigh)) = entry(line).filter(|_| found.is_none())
                && dst == v4
                && self.names.ifindex(dev) == Some(ifindex)
            {
                found = Some(neigh);
            }
        });
        match (extent, found) {
            (Ok(_), Some(neigh)) => Ok(Some(neigh)),
            (Ok(Extent::Cut), None) => Err(self.files.gap(what(), "the table is longer than podnet reads from /proc")),
            (Ok(_), None) => Ok(None),
            (Err(e), _) => Err(self.files.gap(what(), e.to_string())),
        }
    }
}

/// A line of `arp`: address, type of hardware, flags, link-layer address, mask, device.
fn entry(line: &[u8]) -> Option<(Ipv4Addr, &[u8], Neigh)> {
    let mut f = fields(line);
    let [dst, _, flags, lladdr, _, dev] = [f.next()?, f.next()?, f.next()?, f.next()?, f.next()?, f.next()?];
    let dst: Ipv4Addr = std::str::from_utf8(dst).ok()?.parse().ok()?;
    let flags = number(flags.strip_prefix(b"0x")?, 16)?;
    // Addresses that this namespace answers for (proxy) are nobody's entry.
    if flags & ATF_PUBL != 0 {
        return None;
    }
    let state = match flags {
        f if f & ATF_PERM != 0 => NeighState::Permanent,
        f if f & ATF_COM != 0 => NeighState::Stale,
        _ => NeighState::Incomplete,
    };
    let lladdr: Option<LlAddr> = std::str::from_utf8(lladdr).ok().and_then(|s| s.parse().ok());
    // The kernel cuts longer ones, as those of InfiniBand.
    let lladdr = lladdr.filter(|a| state.is_valid() && a.bytes().len() < SHOWN_BYTES);
    Some((dst, dev, Neigh { dst: IpAddr::V4(dst), lladdr, state }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_states_of_the_file() {
        let line =
            |flags: &str, mac: &str| format!("10.1.2.1         0x1         {flags}         {mac}     *        eth0");
        let mac = "02:00:00:00:00:01";
        let state = |flags: &str| entry(line(flags, mac).as_bytes()).map(|(_, _, n)| (n.state, n.lladdr.is_some()));
        assert_eq!(state("0x6"), Some((NeighState::Permanent, true)));
        assert_eq!(state("0x2"), Some((NeighState::Stale, true)));
        assert_eq!(state("0x0"), Some((NeighState::Incomplete, false)));
        assert_eq!(state("0xc"), None);
        assert!(entry(b"IP address       HW type     Flags       HW address            Mask     Device").is_none());
        let infiniband = line("0x2", "80:00:02:08:fe:80:00:00:00");
        assert_eq!(entry(infiniband.as_bytes()).unwrap().2.lladdr, None);
    }
}
