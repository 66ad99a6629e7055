//! What a base chain of netfilter says of a packet: its rules one after the other, each matching for certain, certainly
//! not, or perhaps, where what it looks at is not known of the packet.

use std::collections::HashSet;
use std::sync::Arc;

use super::holds::{Holds, any_of, covers, element_holds, equal, range};
use super::sentence::{Endpoint, Sentence, Source};
use super::sight::{Known, Sight};
use crate::model::{
    Chain, ChainId, Field, Judgement, Match, NetnsId, NfRule, NfSet, Outcome, Relation, Topology, rule_text,
};

/// The kernel follows no more jumps within each other (`NFT_JUMP_STACK_SIZE`).
const DEEPEST: usize = 16;

/// Elements of sets that are looked at for one packet in one namespace, or as many rules as cost the same: of more nobody
/// waits for the end.
pub(super) const MOST_LOOKS: usize = 4_000_000;

/// Elements of a set that are as quick to look at as a rule, or as a field that it compares.
const LOOKS_OF_A_RULE: usize = 10;

/// Rules that are named where several could decide.
const NAMED: usize = 3;

/// A packet before one base chain, and what became of it so far.
struct Court<'a> {
    topology: &'a mut dyn Topology,
    netns: NetnsId,
    /// The packet as it is at the rule that is asked.
    sight: &'a mut Sight,
    /// As it is where rules have let it pass.
    passed: Option<Sight>,
    sentence: Sentence,
    /// It could be sent to the machine itself, at one of its addresses.
    here: bool,
    /// It could get one of several sources, or one that nobody knows.
    several: bool,
    /// Where it was said to be sent to.
    known: HashSet<Endpoint>,
    /// What may yet be looked at.
    left: &'a mut usize,
}

/// Where packets like this one can go on behind a rule.
#[derive(Debug)]
struct Goes {
    /// To the next rule.
    on: bool,
    /// Back to the chain that jumped here, as they are then.
    up: Option<Sight>,
}

/// Adds packets to others that come to the same place: what is the same in all is known.
fn join(place: &mut Option<Sight>, sight: &Sight) {
    match place {
        Some(there) => there.or(sight),
        None => *place = Some(sight.clone()),
    }
}

/// Holds a packet against a base chain and all that it jumps to.
pub(super) fn judge(
    topology: &mut dyn Topology,
    netns: NetnsId,
    chain: &Chain,
    sight: &mut Sight,
    left: &mut usize,
) -> Sentence {
    let id = ChainId {
        backend: chain.backend.clone(),
        family: chain.family.clone(),
        table: chain.table.clone(),
        chain: chain.chain.clone(),
    };
    let missing = topology.nf_rules(netns, &id).is_ok_and(|rules| rules.len() < chain.rules as usize);
    let (sentence, known, passed) = (Sentence::default(), HashSet::new(), None);
    let mut court = Court { topology, netns, sight, passed, sentence, here: false, several: false, known, left };
    if missing {
        court.unknown(|_| format!("{} {} {}: not all of its rules were read", id.family, id.table, id.chain));
    }
    let falls = chain.rules == 0 || court.chain(&id, 0);
    if falls {
        court.policy(&id, chain.policy == "drop");
    }
    let Court { mut sentence, here, several, sight, passed, .. } = court;
    if let Some(passed) = passed {
        match falls {
            true => sight.or(&passed),
            false => *sight = passed,
        }
    }
    // What could be one of several is nothing to go by.
    if sentence.outcomes.len() > 1 || here {
        sentence.to.clear();
    }
    if sentence.outcomes.len() > 1 || several {
        sentence.from = None;
    }
    if sentence.outcomes.len() > 1 || sentence.by.len() > 1 {
        sentence.handle = None;
    }
    sentence
}

impl Court<'_> {
    /// Asks a chain; whether packets like this one leave it by its end, or go back.
    fn chain(&mut self, id: &ChainId, depth: usize) -> bool {
        let called = || format!("{} {} {}", id.family, id.table, id.chain);
        let rules = match self.topology.nf_rules(self.netns, id) {
            Ok(rules) if depth <= DEEPEST => rules,
            Ok(_) => {
                self.unknown(|_| format!("{}: more jumps than the kernel follows", called()));
                return true;
            }
            Err(gap) => {
                self.sentence.gaps.push(gap);
                self.unknown(|_| format!("{}: not read", called()));
                return true;
            }
        };
        let mut up = None;
        for rule in rules.iter() {
            if !self.looks(LOOKS_OF_A_RULE) {
                self.unknown(|_| format!("{}: more rules and elements than podnet looks at", called()));
                return true;
            }
            let holds = self.rule(id, rule);
            if holds == Holds::No {
                continue;
            }
            if let Some(marking) = rule.marks {
                self.sight.mark(marking, holds == Holds::Yes);
            }
            if rule.untracks {
                self.sight.forget_state();
            }
            let goes = self.follow(id, rule, &rule.then, holds, depth);
            if let Some(there) = goes.up {
                join(&mut up, &there);
            }
            if !goes.on {
                return up.map(|up| *self.sight = up).is_some();
            }
        }
        if let Some(up) = up {
            self.sight.or(&up);
        }
        true
    }

    /// Asks a chain that a rule leads to; the packets that come back from it.
    fn jump(&mut self, id: &ChainId, to: &str, depth: usize) -> Option<Sight> {
        let before = self.sight.clone();
        let falls = self.chain(&ChainId { chain: to.to_owned(), ..id.clone() }, depth + 1);
        let after = std::mem::replace(self.sight, before);
        falls.then_some(after)
    }

    /// What comes of a rule that holds, at least perhaps.
    fn follow(&mut self, id: &ChainId, rule: &NfRule, then: &Judgement, holds: Holds, depth: usize) -> Goes {
        let on = holds != Holds::Yes;
        let outcome = match then {
            Judgement::Continue => return Goes { on: true, up: None },
            Judgement::Return => return Goes { on, up: Some(self.sight.clone()) },
            Judgement::Goto(to) => return Goes { on, up: self.jump(id, to, depth) },
            Judgement::Jump(to) => {
                let Some(back) = self.jump(id, to, depth) else { return Goes { on, up: None } };
                match on {
                    true => self.sight.or(&back),
                    false => *self.sight = back,
                }
                return Goes { on: true, up: None };
            }
            Judgement::Map { on, mask, map } => {
                let value = self.sight.values(on, mask.as_ref());
                return self.map(id, rule, (on, &value, map), holds, depth);
            }
            Judgement::Accept => Outcome::Pass,
            Judgement::Snat { to } => {
                self.hidden_as(to.map(Source::Address));
                Outcome::Hide
            }
            Judgement::Masquerade => {
                self.hidden_as(Some(Source::OfDevice));
                Outcome::Hide
            }
            Judgement::Drop | Judgement::Reject => Outcome::Drop,
            Judgement::Dnat { to, port } => {
                self.sent_to(Endpoint { ip: *to, port: *port, mark: self.sight.mark });
                Outcome::Redirect
            }
            Judgement::Redirect { .. } => {
                self.here = true;
                Outcome::Redirect
            }
            Judgement::Other(name) => {
                self.sight.forget_mark();
                if leads_elsewhere(name) {
                    self.sentence.outcomes.insert(Outcome::Redirect);
                }
                Outcome::Other
            }
        };
        if outcome != Outcome::Drop {
            join(&mut self.passed, self.sight);
        }
        self.sentence.outcomes.insert(outcome);
        if outcome != Outcome::Pass {
            self.sentence.handle.get_or_insert_with(|| (id.clone(), rule.handle));
            self.named(|ipv6| rule_text(id, rule, ipv6));
        }
        Goes { on, up: None }
    }

    /// Each element takes the packets that have its value; the rest goes on as if there were no such rule.
    fn map(
        &mut self,
        id: &ChainId,
        rule: &NfRule,
        (on, value, map): (&[Field], &[Known], &str),
        holds: Holds,
        depth: usize,
    ) -> Goes {
        let Some(set) = self.set(id, map) else {
            self.unknown(|ipv6| rule_text(id, rule, ipv6));
            return Goes { on: true, up: Some(self.sight.clone()) };
        };
        let rest = self.sight.clone();
        let (mut next, mut up, mut otherwise) = (None, None, holds);
        let takes = set.elements.iter().filter_map(|element| Some((element, element.then.as_ref()?)));
        for (element, then) in takes {
            if !self.looks(1) {
                break;
            }
            let here = element_holds(on, value, element);
            if here == Holds::No {
                continue;
            }
            otherwise = otherwise.min(here.not());
            self.take(id, rule, then, depth, (&rest, &mut next, &mut up));
            if here == Holds::Yes {
                break;
            }
        }
        if set.partial || *self.left == 0 {
            self.unknown(|ipv6| rule_text(id, rule, ipv6));
            join(&mut up, &rest);
            otherwise = otherwise.min(Holds::Perhaps);
        }
        if !set.partial && covers(on, &set) {
            otherwise = otherwise.min(holds.not());
        }
        if let Some(then) = set.otherwise.as_ref().filter(|_| otherwise != Holds::No) {
            self.take(id, rule, then, depth, (&rest, &mut next, &mut up));
            otherwise = holds.not();
        }
        if otherwise != Holds::No {
            join(&mut next, &rest);
        }
        let goes_on = next.is_some();
        *self.sight = next.unwrap_or(rest);
        Goes { on: goes_on, up }
    }

    /// What becomes of the packets that an element takes.
    fn take(
        &mut self,
        id: &ChainId,
        rule: &NfRule,
        then: &Judgement,
        depth: usize,
        (rest, next, up): (&Sight, &mut Option<Sight>, &mut Option<Sight>),
    ) {
        *self.sight = rest.clone();
        let goes = self.follow(id, rule, then, Holds::Yes, depth);
        if goes.on {
            join(next, self.sight);
        }
        if let Some(there) = goes.up {
            join(up, &there);
        }
    }

    /// What becomes of packets that no rule decides.
    fn policy(&mut self, id: &ChainId, drops: bool) {
        self.sentence.outcomes.insert(if drops { Outcome::Drop } else { Outcome::Pass });
        if drops {
            self.named(|_| format!("{} {} {}: policy drop", id.family, id.table, id.chain));
        }
    }

    fn rule(&mut self, id: &ChainId, rule: &NfRule) -> Holds {
        let mut all = if rule.unread.is_empty() { Holds::Yes } else { Holds::Perhaps };
        for one in &rule.matches {
            all = all.min(self.matches(id, one));
            if all == Holds::No {
                break;
            }
        }
        all
    }

    fn matches(&mut self, id: &ChainId, one: &Match) -> Holds {
        let ranges = match &one.is {
            Relation::AnyOf(ranges) | Relation::NoneOf(ranges) => ranges.len(),
            _ => 0,
        };
        if !self.looks(one.on.len().saturating_mul(LOOKS_OF_A_RULE).saturating_add(ranges)) {
            return Holds::Perhaps;
        }
        let value = self.sight.values(&one.on, one.mask.as_ref());
        let holds = self.relation(id, one, &value);
        let traffic = |field: &Field| matches!(field, Field::L4proto | Field::Transport { .. });
        self.sentence.asks_traffic |= holds == Holds::Perhaps && one.on.iter().any(traffic);
        holds
    }

    fn relation(&mut self, id: &ChainId, one: &Match, value: &[Known]) -> Holds {
        match &one.is {
            Relation::Equal(to) => equal(value, to),
            Relation::Differs(from) => equal(value, from).not(),
            Relation::Within(first, last) => range(value, &first.0, &last.0),
            Relation::Outside(first, last) => range(value, &first.0, &last.0).not(),
            Relation::AnyOf(ranges) => any_of(value, ranges),
            Relation::NoneOf(ranges) => any_of(value, ranges).not(),
            Relation::In(name) => self.member(id, name, &one.on, value),
            Relation::NotIn(name) => self.member(id, name, &one.on, value).not(),
        }
    }

    fn member(&mut self, id: &ChainId, name: &str, on: &[Field], value: &[Known]) -> Holds {
        let Some(set) = self.set(id, name) else { return Holds::Perhaps };
        if set.all {
            return Holds::Yes;
        }
        if !self.looks(set.elements.len()) {
            return Holds::Perhaps;
        }
        let found = set.elements.iter().map(|element| element_holds(on, value, element)).max().unwrap_or(Holds::No);
        if set.partial { found.max(Holds::Perhaps) } else { found }
    }

    fn set(&mut self, id: &ChainId, name: &str) -> Option<Arc<NfSet>> {
        match self.topology.nf_set(self.netns, id, name) {
            Ok(set) => Some(set),
            Err(gap) => {
                self.sentence.gaps.push(gap);
                None
            }
        }
    }

    /// So much more is looked at; false: that is too much.
    fn looks(&mut self, count: usize) -> bool {
        let enough = count <= *self.left;
        *self.left = self.left.saturating_sub(count);
        enough
    }

    /// From here on nothing is certain.
    fn unknown(&mut self, why: impl FnOnce(bool) -> String) {
        self.sentence.outcomes.extend([Outcome::Pass, Outcome::Other]);
        self.sight.forget_mark();
        self.named(why);
    }

    fn hidden_as(&mut self, source: Option<Source>) {
        self.several |= source.is_none() || self.sentence.from.is_some_and(|other| Some(other) != source);
        self.sentence.from = source;
    }

    fn sent_to(&mut self, endpoint: Endpoint) {
        if self.known.insert(endpoint) {
            self.sentence.to.push(endpoint);
        }
    }

    /// The rule, whose words depend on whether the packet is one of IPv6, is one of those that are named.
    fn named(&mut self, rule: impl FnOnce(bool) -> String) {
        if self.sentence.by.len() < NAMED {
            let rule = rule(self.sight.ipv6);
            if !self.sentence.by.contains(&rule) {
                self.sentence.by.push(rule);
            }
        }
    }
}

/// Whether a packet may go somewhere else by something that podnet does not follow.
fn leads_elsewhere(other: &str) -> bool {
    matches!(other, "tproxy" | "TPROXY" | "fwd" | "payload" | "meta broute")
}
