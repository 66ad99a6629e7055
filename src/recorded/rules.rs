//! Which policy rules match a packet and in which order they are gone through, as the kernel does for both families.
//! What a table says is left to the look-ups.

use std::net::IpAddr;

use super::space::Space;
use crate::model::{IfIndex, KindData, RecordedRule, RuleAction, TableId};

/// A packet as a look-up sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub(super) src: Option<IpAddr>,
    pub(super) dst: IpAddr,
    pub(super) iif: IfIndex,
    pub(super) oif: Option<IfIndex>,
    /// VRF that the packet belongs to.
    pub(super) l3mdev: Option<IfIndex>,
    pub(super) tos: u8,
    /// Routes that lead farther than this do not count.
    pub(super) scope: u8,
    pub(super) mark: u32,
    pub(super) uid: u32,
    pub(super) proto: u8,
    pub(super) sport: u16,
    pub(super) dport: u16,
}

/// The index of the loopback device in every namespace, which stands for "sent here".
pub(super) const LO: IfIndex = IfIndex(1);

/// What a table, or a rule without one, says to a packet.
#[derive(Debug)]
pub(super) enum Says<T> {
    /// This.
    Hit(T),
    /// Dropped, with the kernel's error.
    Refused(&'static str),
    /// Nothing: the next rule is asked.
    Nothing,
}

/// Why a recording cannot answer.
pub(super) type Unsure = String;

impl Key {
    /// A packet that the namespace sends to an address and of which nothing else is said.
    pub(super) fn to(dst: IpAddr) -> Key {
        let (src, oif, l3mdev) = (None, None, None);
        Key { src, dst, iif: LO, oif, l3mdev, tos: 0, scope: 0, mark: 0, uid: 0, proto: 0, sport: 0, dport: 0 }
    }

    /// A packet by a link of a VRF, or to one, belongs to that (`l3mdev_update_flow`).
    pub(super) fn in_its_domain(mut self, space: &Space) -> Key {
        let domain = |index: IfIndex| match space.link(index) {
            Some(link) if link.kind == "vrf" => Some(index),
            Some(link) if link.port_kind.as_deref() == Some("vrf") => link.master,
            _ => None,
        };
        if let Some(oif) = self.oif.filter(|oif| space.link(*oif).is_some()) {
            self.l3mdev = self.l3mdev.or_else(|| domain(oif));
            // The VRF itself only says which table.
            if self.l3mdev == Some(oif) {
                self.oif = None;
            }
        } else if self.iif > LO {
            self.l3mdev = self.l3mdev.or_else(|| domain(self.iif));
        }
        self
    }
}

/// Asks the rules in order until a table answers. `look` looks in a table; `suppressed` says whether a rule does not
/// want what was found.
pub(super) fn ask<T>(
    space: &Space,
    rules: &[RecordedRule],
    key: &Key,
    mut look: impl FnMut(TableId) -> Says<T>,
    suppressed: impl Fn(&RecordedRule, &T) -> bool,
) -> Result<Says<T>, Unsure> {
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        at += 1;
        let Some(table) = matches(space, rule, key)? else { continue };
        let said = match rule.action {
            RuleAction::Lookup => look(table),
            RuleAction::Goto => {
                // Only forwards, and nowhere where there is no such rule.
                if let Some(to) = rule.goto
                    && let Some(target) = rules.iter().position(|r| r.priority == to).filter(|target| *target >= at)
                {
                    at = target;
                }
                continue;
            }
            RuleAction::Nop => continue,
            RuleAction::Unreachable => Says::Refused("ENETUNREACH"),
            RuleAction::Prohibit => Says::Refused("EACCES"),
            RuleAction::Blackhole | RuleAction::Unknown => Says::Refused("EINVAL"),
        };
        match said {
            Says::Hit(hit) if suppressed(rule, &hit) => {}
            Says::Nothing => {}
            said => return Ok(said),
        }
    }
    Ok(Says::Nothing)
}

/// The table that a rule sends the packet to; none: it does not match.
fn matches(space: &Space, rule: &RecordedRule, key: &Key) -> Result<Option<TableId>, Unsure> {
    let mut table = rule.table;
    let links = by_link(space, &rule.iif, Some(key.iif), key) && by_link(space, &rule.oif, key.oif, key);
    let domain = !rule.l3mdev
        || match key.l3mdev.and_then(|vrf| space.link(vrf)).and_then(|link| link.data.as_ref()) {
            Some(KindData::Vrf { table: own, .. }) => {
                table = TableId(*own);
                true
            }
            _ => false,
        };
    let uid = rule.uids.is_none_or(|(from, to)| (from..=to).contains(&key.uid));
    let mark = (rule.fwmark ^ key.mark) & rule.fwmask == 0;
    let matched = links && domain && uid && mark && by_header(rule, key);
    if (matched || rule.not) && !rule.beyond.is_empty() {
        let what = rule.beyond.join(", ");
        return Err(format!("rule {} depends on what podnet cannot decide ({what})", rule.priority));
    }
    Ok((matched != rule.not).then_some(table))
}

/// A rule with the name of a link that is not there matches nothing; one with the name of a VRF all of that.
fn by_link(space: &Space, name: &Option<String>, is: Option<IfIndex>, key: &Key) -> bool {
    let Some(name) = name else { return true };
    match space.link_by_name(name) {
        Some(link) if link.kind == "vrf" => is == Some(link.ifindex) || key.l3mdev == Some(link.ifindex),
        Some(link) => is == Some(link.ifindex),
        None => false,
    }
}

fn by_header(rule: &RecordedRule, key: &Key) -> bool {
    const DSCP: u8 = 0xfc;
    /// What IPv4 heeded before it knew DSCP, and still does where a rule or a route has a traffic class.
    const TOS: u8 = 0x1c;
    let src = match (rule.src, key.src) {
        (None, _) => true,
        (Some(net), _) if net.prefix_len() == 0 => true,
        (Some(net), Some(src)) => net.contains(&src),
        // Without a source it has the address of all zeroes, for IPv4.
        (Some(_), None) => false,
    };
    let heeded = if key.dst.is_ipv4() { TOS } else { DSCP };
    let within = |range: Option<(u16, u16)>, port: u16| range.is_none_or(|(from, to)| (from..=to).contains(&port));
    src && rule.dst.is_none_or(|net| net.contains(&key.dst))
        && (rule.tos == 0 || rule.tos == key.tos & heeded)
        && rule.matches_dscp(key.tos)
        // The kernel is asked about a packet without a flow label, too.
        && rule.flowlabel & rule.flowmask == 0
        && rule.ipproto.is_none_or(|proto| proto == key.proto)
        && within(rule.sports, key.sport)
        && within(rule.dports, key.dport)
}
