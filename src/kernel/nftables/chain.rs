//! Base chains of nftables: one dump of NFT_MSG_GETCHAIN for a namespace.

use netlink_packet_core::DecodeError;

use super::{HEADER, family_name, number, split};
use crate::kernel::nla::{self, text_of};
use crate::kernel::socket::{Dump, Refused, Request, Socket};
use crate::model::{Chain, Hook};

/// Base chains of the namespace of a netfilter socket that have rules, or a policy other than accept; one that is bound to
/// several devices once for each.
pub fn chains(socket: &mut Socket) -> Result<Dump<Chain>, Refused> {
    /// NFNL_SUBSYS_NFTABLES and NFT_MSG_GETCHAIN.
    const GETCHAIN: u16 = 10 << 8 | 4;
    // struct nfgenmsg: any family, version, nothing
    let dump = socket.dump(Request::raw(GETCHAIN, vec![0; HEADER]), |payload| decode(payload).map(Some))?;
    let Dump { items, undecodable, interrupted } = dump;
    Ok(Dump { items: items.into_iter().flatten().collect(), undecodable, interrupted })
}

fn decode(payload: &[u8]) -> Result<Vec<Chain>, DecodeError> {
    const CHAIN_TABLE: u16 = 1;
    const CHAIN_NAME: u16 = 3;
    const CHAIN_HOOK: u16 = 4;
    const CHAIN_POLICY: u16 = 5;
    const CHAIN_USE: u16 = 6;
    const CHAIN_TYPE: u16 = 7;
    const HOOK_NUMBER: u16 = 1;
    const HOOK_PRIORITY: u16 = 2;
    let (family, attributes) = split(payload)?;
    let find = |wanted: u16| nla::find(attributes, wanted);
    // Without a hook rules jump to it, and that is all.
    let Some(place) = find(CHAIN_HOOK) else { return Ok(Vec::new()) };
    let Some(family) = family_name(family) else { return Ok(Vec::new()) };
    let hooknum = nla::find(place, HOOK_NUMBER).and_then(number);
    let Some(hook) = hooknum.and_then(|n| hook(family, n)) else { return Ok(Vec::new()) };
    let drops = find(CHAIN_POLICY).and_then(number) == Some(0);
    let chain = Chain {
        backend: "nf_tables".to_owned(),
        family: family.to_owned(),
        table: find(CHAIN_TABLE).map(text_of).unwrap_or_default(),
        chain: find(CHAIN_NAME).map(text_of).unwrap_or_default(),
        kind: find(CHAIN_TYPE).map(text_of).unwrap_or_default(),
        hook,
        priority: nla::find(place, HOOK_PRIORITY).and_then(number).unwrap_or(0) as i32,
        device: None,
        policy: if drops { "drop" } else { "accept" }.to_owned(),
        // Rules cannot jump to a base chain, so its uses are its rules.
        rules: find(CHAIN_USE).and_then(number).unwrap_or(0),
    };
    if chain.rules == 0 && !drops {
        return Ok(Vec::new());
    }
    Ok(devices(place).into_iter().map(|device| Chain { device, ..chain.clone() }).collect())
}

/// The devices that a hook is bound to; none stands for every device, also for those that a pattern means.
fn devices(hook: &[u8]) -> Vec<Option<String>> {
    const HOOK_DEV: u16 = 3;
    const HOOK_DEVS: u16 = 4;
    const DEVICE_NAME: u16 = 1;
    let name = |(kind, value): (u16, &[u8])| (kind == DEVICE_NAME).then(|| text_of(value));
    match nla::find(hook, HOOK_DEVS) {
        Some(several) => nla::each(several).map(name).collect(),
        None => vec![nla::find(hook, HOOK_DEV).map(text_of)],
    }
}

fn hook(family: &str, number: u32) -> Option<Hook> {
    let hooks: &[Hook] = match family {
        // NF_NETDEV_INGRESS, NF_NETDEV_EGRESS
        "netdev" => &[Hook::Ingress, Hook::Egress],
        // NF_ARP_IN, NF_ARP_OUT, NF_ARP_FORWARD
        "arp" => &[Hook::Input, Hook::Output, Hook::Forward],
        // NF_INET_PRE_ROUTING and on; NF_BR_* are the same, without the last
        _ => &[Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting, Hook::Ingress],
    };
    hooks.get(number as usize).copied()
}
