//! Routing decisions over packets that rules have changed: by another mark, or to another destination.

use super::hearing::Between;
use super::route::local_of;
use super::sight::Mark;
use super::walk::Walk;
use crate::model::{Chain, Flow, Hook, LinkId, NetnsId, Route, RouteAnswer, Rule, Seen, Traffic};

impl Walk<'_> {
    /// The mark that the packet has, as far as it is known: rules may have given it another one.
    pub(super) fn mark(&self, netns: NetnsId) -> Mark {
        match self.hearing.marked {
            Some((there, mark)) if there == netns => mark,
            _ => Mark { value: self.flow.traffic.mark.unwrap_or(0), bits: u32::MAX },
        }
    }

    /// Bits of the mark that rules of a namespace have changed, or may have.
    pub(super) fn remarked_in(&self, netns: NetnsId) -> u32 {
        let before = self.flow.traffic.mark.unwrap_or(0);
        let here = self.hearing.marked.filter(|(there, _)| *there == netns);
        here.map_or(0, |(_, mark)| !mark.bits | (mark.value ^ before))
    }

    /// The mark that rules of a namespace have given it for certain.
    pub(super) fn marked_in(&self, netns: NetnsId) -> Option<u32> {
        self.hearing.marked.filter(|(there, mark)| *there == netns && mark.bits == u32::MAX).map(|(_, mark)| mark.value)
    }

    /// The routing decision over a packet that the rules before it have given another destination or another mark.
    pub(super) fn routed_as_changed(&mut self, at: LinkId, changed: bool) -> Option<(Seen<RouteAnswer>, Option<bool>)> {
        let marked = self.marked_in(at.netns);
        if self.mark(at.netns).bits != u32::MAX {
            self.led_by_mark(at.netns);
        }
        if !changed && marked.is_none() {
            return None;
        }
        let mark = marked.or(self.flow.traffic.mark);
        let flow = Flow { traffic: Traffic { mark, ..self.flow.traffic }, ..self.flow };
        let answer = self.topology.route_in(at, &flow);
        let local = local_of(&answer);
        Some((answer, local))
    }

    /// The chains that see a packet as it is made here.
    pub(super) fn heard_as_made(&mut self, netns: NetnsId, made: Between) {
        let before = self.mark(netns);
        self.note_chains(netns, &[Hook::Output], made);
        if self.mark(netns) != before {
            self.routed_once_more(netns);
        }
    }

    /// A packet that gets another mark as it is sent is routed once more with that, where a chain is there for it.
    fn routed_once_more(&mut self, netns: NetnsId) {
        let routes = |chain: &Chain| {
            chain.hook == Hook::Output
                && (chain.kind == "route" || chain.backend == "legacy" && chain.table == "mangle")
        };
        let Some(hop) = self.hops.last().filter(|hop| hop.chains.iter().any(|heard| routes(&heard.chain))) else {
            return;
        };
        let way = |route: &Route| (route.kind, route.oif, route.gateway);
        let before = hop.route.as_ref().map(way);
        if let Some(mark) = self.marked_in(netns) {
            let flow = Flow { traffic: Traffic { mark: Some(mark), ..self.flow.traffic }, ..self.flow };
            if let Ok(RouteAnswer::Route(again)) = self.topology.route_out(netns, &flow, None)
                && before == Some(way(&again))
            {
                return;
            }
        }
        self.led_by_mark(netns);
    }

    /// Which way rules on marks lead a packet is not known once rules of netfilter have made it one that is not known.
    fn led_by_mark(&mut self, netns: NetnsId) {
        let by_mark =
            |rule: &Rule| rule.also.iter().any(|also| ["fwmark", "tos", "dscp"].iter().any(|on| also.starts_with(on)));
        let rules = self.topology.rules(netns, self.flow.dst.is_ipv6());
        if rules.map_or(true, |rules| rules.iter().any(by_mark)) {
            let name = self.topology.netns(netns).name;
            self.astray.get_or_insert(format!("{name}: netfilter gives it a mark, by which rules route it"));
        }
    }
}
