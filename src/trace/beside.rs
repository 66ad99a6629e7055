//! What stands beside the way and podnet does not decide: programs at links, which leave the end open, and chains of
//! netfilter, which are named.

use super::walk::Walk;
use crate::model::{Chain, Hook, KindData, Link, LinkId, NetnsId, Program};

impl Walk<'_> {
    /// Programs at the last hop that see the packet; from here on no end is certain.
    pub(super) fn note_programs(&mut self, at: LinkId, link: &Link, ingress: bool) {
        if link.is_loopback() {
            return;
        }
        let programs = match self.topology.programs(at, link) {
            Ok(programs) => programs,
            // Where a namespace is closed, that it is one is told by the rest of the walk.
            Err(_) => return,
        };
        let mut seeing: Vec<Program> = programs.into_iter().filter(|p| p.ingress == ingress).collect();
        let Some(first) = seeing.first() else { return };
        if self.programmed.is_none() {
            self.programmed = Some(format!("{} at {} of {}", named(first), link.ifname, self.here()));
        }
        if let Some(hop) = self.hops.last_mut() {
            hop.programs.append(&mut seeing);
        }
    }

    /// The last hop has a program of this sort.
    pub(super) fn has_program(&self, is: impl Fn(&Program) -> bool) -> bool {
        self.hops.last().is_some_and(|hop| hop.programs.iter().any(is))
    }

    /// Chains at these hooks of a namespace that see packets of this flow, noted at the last hop.
    pub(super) fn note_chains(&mut self, netns: NetnsId, hooks: &[Hook]) {
        let ipv6 = self.flow.dst.is_ipv6();
        let device = self.hops.last().map(|h| h.ifname.clone());
        self.note(netns, |chain| {
            let family = match chain.family.as_str() {
                "inet" => chain.device.is_none() || chain.device == device,
                "ip" => !ipv6,
                "ip6" => ipv6,
                _ => false,
            };
            family && hooks.contains(&chain.hook)
        });
    }

    /// Chains bound to the device of the last hop.
    pub(super) fn note_device_chains(&mut self, at: LinkId, link: &Link, hook: Hook) {
        self.note(at.netns, |chain| {
            chain.hook == hook
                && matches!(chain.family.as_str(), "netdev" | "inet")
                && chain.device.as_ref().is_none_or(|device| *device == link.ifname)
        });
    }

    /// Chains that see frames inside a bridge, noted at the last hop: those of the bridge family; and, for frames that
    /// come in by a port of this bridge, those for IP where bridges are told to ask them.
    pub(super) fn note_bridge_chains(&mut self, at: LinkId, asked_by: Option<&Link>, hooks: &[Hook]) {
        let ipv6 = self.flow.dst.is_ipv6();
        let Ok(chains) = self.topology.chains(at.netns) else { return };
        if chains.is_empty() {
            return;
        }
        let asks_ip = asked_by.is_some_and(|bridge| self.asks_ip(at, bridge, ipv6));
        self.note(at.netns, |chain| {
            let family = match chain.family.as_str() {
                "bridge" => true,
                "inet" => asks_ip,
                "ip" => asks_ip && !ipv6,
                "ip6" => asks_ip && ipv6,
                _ => false,
            };
            family && chain.device.is_none() && hooks.contains(&chain.hook)
        });
    }

    /// The bridge, or every bridge of the namespace, is told to ask the chains for IP over its frames.
    fn asks_ip(&mut self, at: LinkId, bridge: &Link, ipv6: bool) -> bool {
        let own = match bridge.data {
            Some(KindData::Bridge { nf_call_ip6tables, .. }) if ipv6 => nf_call_ip6tables,
            Some(KindData::Bridge { nf_call_iptables, .. }) => nf_call_iptables,
            _ => false,
        };
        let name = if ipv6 { "bridge/bridge-nf-call-ip6tables" } else { "bridge/bridge-nf-call-iptables" };
        own || matches!(self.topology.sysctl(at.netns, name), Ok(Some(value)) if value != 0)
    }

    fn note(&mut self, netns: NetnsId, sees: impl Fn(&Chain) -> bool) {
        let chains = match self.topology.chains(netns) {
            Ok(chains) => chains,
            Err(gap) => {
                if !self.gaps.contains(&gap) {
                    self.gap(gap);
                }
                return;
            }
        };
        let Some(hop) = self.hops.last_mut() else { return };
        for chain in chains {
            if sees(&chain) && !hop.chains.contains(&chain) {
                hop.chains.push(chain);
            }
        }
    }
}

/// A program as people call it.
fn named(program: &Program) -> String {
    match (&program.name, program.id) {
        (Some(name), _) => format!("the {} program {name}", program.kind),
        (None, Some(id)) => format!("the {} program {id}", program.kind),
        (None, None) => format!("a {} program", program.kind),
    }
}
