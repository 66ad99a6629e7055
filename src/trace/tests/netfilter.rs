//! What rules of netfilter leave open.
#![cfg(test)]

use crate::model::{
    Action, Bytes, Chain, ChainId, Element, Field, Hook, Judgement, Marking, Match, NetnsId, NfRule, NfSet, Relation,
    Topology,
};
use crate::trace::Traced;
use crate::trace::fake::Fake;

const FAR: &str = "10.1.0.2";

/// A container behind a host that forwards to another one.
fn forwarding() -> (Fake, NetnsId, NetnsId) {
    let mut net = Fake::default();
    let (host, pod, other) = (net.space("host"), net.space("pod"), net.space("other"));
    net.link(host, "lo", "", None);
    let (eth0, veth0) = net.pair((pod, "eth0"), (host, "veth0"), "veth");
    let (veth1, far) = net.pair((host, "veth1"), (other, "eth0"), "veth");
    net.addr(eth0, "10.0.0.2/24");
    net.addr(veth0, "10.0.0.1/24");
    net.addr(veth1, "10.1.0.1/24");
    net.addr(far, "10.1.0.2/24");
    net.route(eth0, "0.0.0.0/0", Some("10.0.0.1"));
    net.knows(eth0, "10.0.0.1", veth0);
    net.knows(veth1, FAR, far);
    (net, host, pod)
}

fn id(chain: &str) -> ChainId {
    ChainId { backend: "nf_tables".into(), family: "ip".into(), table: "t".into(), chain: chain.into() }
}

/// A chain of a namespace with its rules.
fn base(net: &mut Fake, netns: NetnsId, name: &str, (hook, priority): (Hook, i32), rules: Vec<NfRule>) {
    let ChainId { backend, family, table, chain } = id(name);
    let kind = if name == "nat" { "nat" } else { "filter" }.to_owned();
    let (policy, count) = ("accept".to_owned(), rules.len() as u32);
    let chain = Chain { backend, family, table, chain, kind, hook, priority, device: None, policy, rules: count };
    let chains = net.chains.entry(netns).or_default();
    chains.push(chain);
    chains.sort_by_key(|chain| (chain.hook, chain.priority));
    net.rules.insert(id(name), rules);
}

fn rule(matches: Vec<Match>, then: Judgement) -> NfRule {
    NfRule { handle: 1, matches, unread: Vec::new(), marks: None, untracks: false, then, comment: None }
}

/// A rule that perhaps matches.
fn perhaps(then: Judgement) -> NfRule {
    NfRule { unread: vec!["limit".to_owned()], ..rule(Vec::new(), then) }
}

fn marking(mark: u32) -> NfRule {
    NfRule { marks: Some(Marking { keep: 0, flip: mark, unknown: false }), ..rule(Vec::new(), Judgement::Continue) }
}

fn marked(mark: u32) -> Match {
    Match { on: vec![Field::Mark], mask: None, is: Relation::Equal(Bytes(mark.to_ne_bytes().to_vec())) }
}

fn to(ip: [u8; 4]) -> Match {
    let on = vec![Field::Network { offset: 16, length: 4 }];
    Match { on, mask: None, is: Relation::Equal(Bytes(ip.to_vec())) }
}

#[track_caller]
fn is_open(traced: &Traced) {
    let verdict = &traced.paths[0].verdict;
    assert!(verdict.action != Action::Dropped && !verdict.undecided.is_empty(), "{verdict:?}");
}

#[track_caller]
fn is_let_through(traced: &Traced) {
    let verdict = &traced.paths[0].verdict;
    assert!(verdict.action == Action::Delivered && verdict.undecided.is_empty(), "{verdict:?}");
}

#[test]
fn a_mark_that_only_some_packets_get_decides_nothing() {
    let sets: [Vec<NfRule>; 3] = [
        vec![perhaps(Judgement::Jump("marks".into()))],
        vec![perhaps(Judgement::Accept), marking(1)],
        vec![rule(Vec::new(), Judgement::Jump("leaves".into()))],
    ];
    for rules in sets {
        let (mut net, host, pod) = forwarding();
        net.rules.insert(id("marks"), vec![marking(1)]);
        net.rules.insert(id("leaves"), vec![perhaps(Judgement::Return), marking(1)]);
        base(&mut net, host, "mangle", (Hook::Prerouting, -150), rules);
        base(&mut net, host, "filter", (Hook::Forward, 0), vec![rule(vec![marked(1)], Judgement::Drop)]);
        is_open(&net.trace(pod, FAR));
    }
}

#[test]
fn a_mark_that_all_packets_get_decides() {
    let (mut net, host, pod) = forwarding();
    let rules = vec![perhaps(Judgement::Drop), rule(Vec::new(), Judgement::Jump("marks".into()))];
    net.rules.insert(id("marks"), vec![marking(1)]);
    base(&mut net, host, "mangle", (Hook::Prerouting, -150), rules);
    base(&mut net, host, "filter", (Hook::Forward, 0), vec![rule(vec![marked(1)], Judgement::Drop)]);
    assert_eq!(net.trace(pod, FAR).paths[0].verdict.action, Action::Dropped);
}

#[test]
fn a_mark_is_given_before_the_packet_leaves() {
    let (mut net, _, pod) = forwarding();
    base(&mut net, pod, "mangle", (Hook::Output, -150), vec![marking(1)]);
    base(&mut net, pod, "filter", (Hook::Postrouting, 0), vec![rule(vec![marked(1)], Judgement::Drop)]);
    assert_eq!(net.trace(pod, FAR).paths[0].verdict.action, Action::Dropped);
}

#[test]
fn a_chain_behind_the_one_that_sends_it_elsewhere_sees_the_new_destination() {
    let (mut net, host, pod) = forwarding();
    let dnat = Judgement::Dnat { to: FAR.parse().ok(), port: None };
    base(&mut net, host, "nat", (Hook::Prerouting, -100), vec![rule(vec![to([10, 9, 9, 9])], dnat)]);
    let drop = rule(vec![to([10, 9, 9, 9])], Judgement::Drop);
    base(&mut net, host, "filter", (Hook::Prerouting, 0), vec![drop]);
    let traced = net.trace(pod, "10.9.9.9");
    assert_eq!(traced.paths[0].redirected_to, FAR.parse().ok(), "{:?}", traced.paths[0].verdict);
    is_let_through(&traced);
    base(&mut net, host, "late", (Hook::Prerouting, 0), vec![rule(vec![to([10, 1, 0, 2])], Judgement::Drop)]);
    assert_eq!(net.trace(pod, "10.9.9.9").paths[0].verdict.action, Action::Dropped);
}

#[test]
fn what_a_transparent_proxy_may_take_is_not_dropped_behind_it() {
    let (mut net, host, pod) = forwarding();
    let proxy = rule(Vec::new(), Judgement::Other("TPROXY".into()));
    base(&mut net, host, "mangle", (Hook::Prerouting, -150), vec![proxy]);
    base(&mut net, host, "filter", (Hook::Forward, 0), vec![rule(Vec::new(), Judgement::Drop)]);
    assert_eq!(net.trace(pod, FAR).paths[0].verdict.action, Action::Unknown);
}

#[test]
fn a_chain_that_was_read_in_part_decides_nothing() {
    let (mut net, host, pod) = forwarding();
    base(&mut net, host, "filter", (Hook::Forward, 0), vec![rule(Vec::new(), Judgement::Continue); 2]);
    net.rules.get_mut(&id("filter")).unwrap().pop();
    is_open(&net.trace(pod, FAR));
}

#[test]
fn packets_to_the_namespace_itself_pass_all_hooks() {
    for hook in [Hook::Output, Hook::Postrouting, Hook::Prerouting, Hook::Input] {
        let (mut net, _, pod) = forwarding();
        base(&mut net, pod, "filter", (hook, 0), vec![rule(Vec::new(), Judgement::Drop)]);
        assert_eq!(net.trace(pod, "10.0.0.2").paths[0].verdict.action, Action::Dropped, "{hook:?}");
    }
}

#[test]
fn a_name_that_nft_would_read_as_something_else_is_in_no_command() {
    for (table, safe) in [("t", true), ("a.b-c_d", true), ("t c handle 1; flush ruleset; #", false), ("", false)] {
        let (mut net, host, pod) = forwarding();
        base(&mut net, host, "filter", (Hook::Forward, 0), vec![rule(Vec::new(), Judgement::Drop)]);
        let rules = net.rules.remove(&id("filter")).unwrap();
        net.rules.insert(ChainId { table: table.to_owned(), ..id("filter") }, rules);
        net.chains.get_mut(&host).unwrap()[0].table = table.to_owned();
        let traced = net.trace(pod, FAR);
        assert_eq!(traced.paths[0].verdict.action, Action::Dropped);
        assert_eq!(traced.findings[0].fix.is_some(), safe, "{:?}", traced.findings[0].fix);
    }
}

#[test]
fn rules_and_elements_that_never_end_are_given_up() {
    let (mut net, _, pod) = forwarding();
    let element = |n: u32| Element { key: Bytes(n.to_be_bytes().to_vec()), to: None, then: None };
    let set = NfSet { elements: (0..50_000).map(element).collect(), ..NfSet::default() };
    net.sets.insert("s".to_owned(), set);
    let from = Field::Network { offset: 12, length: 4 };
    let asks = Match { on: vec![from], mask: None, is: Relation::In("s".into()) };
    base(&mut net, pod, "filter", (Hook::Output, 0), vec![rule(vec![asks], Judgement::Drop); 50_000]);
    let begun = std::time::Instant::now();
    is_open(&net.trace(pod, FAR));
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}

#[test]
fn a_comparison_of_endless_values_is_none() {
    let (mut net, _, pod) = forwarding();
    let on = vec![Field::Network { offset: u16::MAX, length: u16::MAX }; 50_000];
    let long = Match { on, mask: None, is: Relation::Equal(Bytes(vec![0; 4])) };
    base(&mut net, pod, "filter", (Hook::Output, 0), vec![rule(vec![long], Judgement::Drop)]);
    is_open(&net.trace(pod, FAR));
    assert!(net.chains(pod).is_ok());
}

#[test]
fn packets_of_no_connection_keep_their_destination() {
    let (mut net, host, pod) = forwarding();
    let untracked = NfRule { untracks: true, ..rule(Vec::new(), Judgement::Continue) };
    base(&mut net, host, "raw", (Hook::Prerouting, -300), vec![untracked]);
    let dnat = Judgement::Dnat { to: FAR.parse().ok(), port: None };
    base(&mut net, host, "nat", (Hook::Prerouting, -100), vec![rule(Vec::new(), dnat)]);
    let traced = net.trace(pod, "10.9.9.9");
    assert_eq!(traced.paths[0].redirected_to, None);
}

#[test]
fn a_connection_is_translated_where_that_was_done_only() {
    let (mut net, host, pod) = forwarding();
    let dnat = Judgement::Dnat { to: FAR.parse().ok(), port: None };
    base(&mut net, host, "nat", (Hook::Prerouting, -100), vec![rule(Vec::new(), dnat)]);
    let bits = |bits: u32| Bytes(bits.to_ne_bytes().to_vec());
    let translated = Match { on: vec![Field::CtStatus], mask: Some(bits(32)), is: Relation::Differs(bits(0)) };
    let drop = rule(vec![translated], Judgement::Drop);
    let other = NetnsId::Inode { dev: 4, ino: 3 };
    base(&mut net, other, "filter", (Hook::Input, 0), vec![drop.clone()]);
    is_let_through(&net.trace(pod, "10.9.9.9"));
    base(&mut net, host, "here", (Hook::Forward, 0), vec![drop]);
    assert_eq!(net.trace(pod, "10.9.9.9").paths[0].verdict.action, Action::Dropped);
}
