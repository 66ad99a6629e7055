//! What stands beside the tables of a namespace: VLANs of bridge ports, nexthop objects, netfilter's chains, programs at
//! links, and who holds the other side of tun devices.

use std::collections::BTreeSet;

use super::Noting;
use crate::kernel::beside::{self, Netfilter};
use crate::kernel::socket::Socket;
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
    match Netfilter::open(beside::has_nftables()) {
        Ok(netfilter) => read_netfilter(netfilter, facts, noting),
        Err(e) => noting.refused("netfilter's chains", &e.into()),
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

/// Chains, and where some have rules these and the sets that they look at.
fn read_netfilter(mut netfilter: Netfilter, facts: &mut RecordedFacts, noting: &mut Noting<'_>) {
    match netfilter.chains() {
        Ok((chains, flaw)) => {
            facts.chains = Some(chains);
            noting.flaw("chains of nftables", flaw);
        }
        Err(refused) => noting.refused("netfilter's chains", &refused),
    }
    if facts.chains.iter().flatten().all(|chain| chain.rules == 0) {
        return;
    }
    match netfilter.all_rules() {
        Ok((rules, flaw)) => {
            // By some of its rules no chain decides.
            facts.nf_rules = flaw.is_none().then_some(rules);
            noting.flaw("rules of netfilter", flaw);
        }
        Err(refused) => noting.refused("rules of netfilter", &refused),
    }
    match netfilter.sets() {
        Ok((sets, flaw)) => {
            facts.nf_sets = Some(sets);
            noting.flaw("sets of nftables", flaw);
        }
        Err(refused) => noting.refused("sets of nftables", &refused),
    }
}
