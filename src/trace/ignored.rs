//! What is lost though every look-up says yes: a link with IPv6 off, a source that is valid on its segment alone, a sender
//! without ARP.

use std::net::IpAddr;

use super::refused::setting;
use super::walk::{Next, Walk};
use crate::model::{Action, Level, Link, LinkId, word};

impl Walk<'_> {
    /// A link that has IPv6 switched off ignores its packets, whoever still knows its address.
    pub(super) fn ipv6_is_off(&mut self, at: LinkId, link: &Link) -> Option<Next> {
        if self.flow.dst.is_ipv4() || !link.conf.disable_ipv6 {
            return None;
        }
        let reason = format!("IPv6 is switched off on {} in {}", link.ifname, self.topology.netns(at.netns).name);
        let name = setting(link, "ipv6", "disable_ipv6");
        let fix = self.to_type(format!("sysctl -w {}=0", word(&name)));
        self.finding(Level::Fatal, "ipv6-off", reason.clone(), format!("{name} is 1"), Some(fix));
        Some(self.stop(Action::Dropped, reason))
    }

    /// No router passes on what nobody behind it could answer.
    pub(super) fn beyond_scope(&mut self) -> Option<Next> {
        let IpAddr::V6(src) = self.flow.src? else { return None };
        if !src.is_unicast_link_local() && !src.is_loopback() && !src.is_unspecified() {
            return None;
        }
        let here = self.here();
        let reason = format!("{here} does not pass on packets from {src}, which is an address of one segment alone");
        let evidence = "the sender has no usable address of greater scope: none at all, or one that somebody else has";
        self.finding(
            Level::Fatal,
            "source-scope",
            reason.clone(),
            evidence,
            Some("give the sender an address of its own that is valid everywhere".to_owned()),
        );
        Some(self.stop(Action::Dropped, reason))
    }

    /// With ARP off a link on a segment sends everything that it knows no address for to itself.
    pub(super) fn asks_nobody(&mut self, link: &Link, to: IpAddr) -> Option<Next> {
        if !link.noarp || !matches!(link.kind.as_str(), "veth" | "macvlan") {
            return None;
        }
        let reason = format!("{} asks nobody for the address of {to}: ARP is off", link.ifname);
        let fix = self.to_type(format!("ip link set {} arp on", word(&link.ifname)));
        let evidence = "without ARP the kernel sends to the link's own link-layer address";
        self.finding(Level::Fatal, "arp-off", reason.clone(), evidence, Some(fix));
        Some(self.stop(Action::Dropped, reason))
    }
}
