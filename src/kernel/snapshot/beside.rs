//! What stands beside the tables of a namespace: VLANs of bridge ports, nexthop objects, netfilter's chains, programs at
//! links, and who holds the other side of tun devices.

use std::collections::BTreeSet;

use super::Noting;
use crate::kernel::beside::{self, Netfilter};
use crate::kernel::socket::{Refused, Socket};
use crate::kernel::{bpf, nexthop, tun, vlan};
use crate::model::{KindData, Link, NetnsId, RecordedFacts, RecordedHeld, RecordedPrograms, RecordedVlans};

/// Asking who holds a device looks through all open files of the machine: of more devices than this nobody asks.
const MOST_DEVICES: usize = 64;

/// Reads the namespace that the calling thread and the socket are in.
pub(super) fn read(
    socket: &mut Socket,
    netns: NetnsId,
    links: &[Link],
    facts: &mut RecordedFacts,
    noting: &mut Noting<'_>,
) {
    let filters = |l: &Link| matches!(l.data, Some(KindData::Bridge { vlan_filtering: true, .. }));
    if links.iter().any(filters) {
        let vlans = noting.dump("VLANs of bridge ports", vlan::all(socket));
        let of = |(ifindex, vlans)| RecordedVlans { ifindex, vlans };
        facts.vlans = vlans.map(|all| all.into_iter().map(of).collect());
    }
    let used: BTreeSet<u32> = facts.routes.iter().flatten().filter_map(|route| route.nhid).collect();
    for id in used {
        match nexthop::of(socket, id) {
            Ok(hops) => {
                facts.nexthops.insert(id, hops);
            }
            Err(refused) => noting.refused(&format!("nexthop object {id}"), &refused),
        }
    }
    let opened = Netfilter::open(beside::has_nftables());
    match opened.map_err(Refused::from).and_then(Netfilter::chains) {
        Ok((chains, flaw)) => {
            facts.chains = Some(chains);
            noting.flaw("chains of nftables", flaw);
        }
        Err(refused) => noting.refused("netfilter's chains", &refused),
    }
    let mut programs = Vec::new();
    for link in links {
        match beside::programs(socket, link) {
            Ok((mut found, flaw)) => {
                found.extend(bpf::attached(link.ifindex, link));
                noting.flaw(&format!("programs at {}", link.ifname), flaw);
                if !found.is_empty() {
                    programs.push(RecordedPrograms { ifindex: link.ifindex, programs: found });
                }
            }
            Err(refused) => noting.refused(&format!("programs at {}", link.ifname), &refused),
        }
    }
    facts.programs = Some(programs);
    let devices = links.iter().filter(|l| matches!(l.kind.as_str(), "tun" | "macvtap" | "ipvtap"));
    for (count, link) in devices.enumerate() {
        if count == MOST_DEVICES {
            noting.say("who holds tun devices", "there are too many to ask for each");
            break;
        }
        facts.held.push(RecordedHeld { ifindex: link.ifindex, by: tun::held_by(netns, link) });
    }
}
