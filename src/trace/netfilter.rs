//! What netfilter's chains mean for the end of a way: one that drops the packet, one that sends it elsewhere, and those
//! that what is known of the packet does not decide.

use std::collections::BTreeSet;

use super::hearing::{Heard, bridge_nf_call};
use super::sentence::Endpoint;
use super::walk::Walk;
use crate::model::{Action, Chain, ChainId, Finding, HeardChain, Hop, Level, Outcome, Verdict, word};

impl Walk<'_> {
    /// A verdict in which the chains on the way are heard.
    pub(super) fn by_netfilter(&mut self, verdict: Verdict) -> Verdict {
        let verdict = self.dropped_by_chain().unwrap_or(verdict);
        if let Some(elsewhere) = self.sent_elsewhere(&verdict) {
            return elsewhere;
        }
        match verdict.action {
            Action::Delivered | Action::LeavesNode => {
                let undecided = named(&self.hops, |heard| heard.is_open() && !heard.does(Outcome::Redirect));
                if undecided.is_empty() {
                    return verdict;
                }
                let open = |heard: &Heard| self.chain_of(heard).is_some_and(HeardChain::is_open);
                let asks = self.hearing.heard.iter().any(|heard| heard.sentence.asks_traffic && open(heard));
                // Whoever gives them already has no use for the hint.
                let hint = match self.flow.traffic.proto {
                    None if asks => " (--proto and --dport could tell)",
                    _ => "",
                };
                let reason = format!("{}, {}{hint}", verdict.reason, condition(&undecided, "let it pass"));
                Verdict { reason, undecided, ..verdict }
            }
            Action::Dropped => {
                let last = verdict.hop.map_or(0, |hop| hop + 1).min(self.hops.len());
                let undecided = named(&self.hops[..last], redirects);
                let Some(first) = self.hops.iter().position(|hop| hop.chains.iter().any(redirects)) else {
                    return verdict;
                };
                let behind = self.findings.iter_mut().filter(|f| f.hop >= first);
                only_if(undecided, "leave its destination as it is", verdict, behind)
            }
            Action::Unknown => verdict,
        }
    }

    fn chain_of(&self, heard: &Heard) -> Option<&HeardChain> {
        self.hops.get(heard.hop)?.chains.get(heard.chain)
    }

    /// The first chain that lets no packet like this one pass.
    fn dropped_by_chain(&mut self) -> Option<Verdict> {
        let does = |heard: &&Heard| self.chain_of(heard).is_some_and(|chain| chain.does(Outcome::Drop));
        // What a device or a bridge asks later stands at a later hop.
        let heard = self.hearing.heard.iter().filter(does).min_by_key(|heard| heard.hop)?;
        let (at, handle) = (heard.hop, heard.sentence.handle.clone());
        let hop = self.hops.get(at)?;
        let chain = hop.chains.get(heard.chain)?.clone();
        let netns = hop.netns_name.clone();
        let by = chain.by.first().cloned().unwrap_or_default();
        let (reason, evidence, fix) = match handle {
            None if chain.chain.rules == 0 => (
                format!(
                    "the policy of netfilter's chain {} in {netns} is drop, and it has no rules",
                    called(&chain.chain.family, &chain.chain.table, &chain.chain.chain)
                ),
                "a chain that drops what no rule accepts".to_owned(),
                accepting(&chain).map(|fix| Self::to_type_at(hop, &fix)),
            ),
            None => (
                format!("netfilter in {netns} drops it: {by}"),
                match chain.by.len() {
                    1 => format!("no rule of its {} accepts it", chain.chain.rules),
                    _ => format!("each rule that it meets does: {}", chain.by.join("; ")),
                },
                None,
            ),
            Some((id, handle)) => (
                format!("netfilter in {netns} drops it: {by}"),
                "this rule matches it, and none before it accepts it".to_owned(),
                match keeper(&id) {
                    Some(keeper) => {
                        Some(format!("the rule is one of {keeper}, which would set it again: change it there"))
                    }
                    None => deleting(&id, handle).map(|fix| Self::to_type_at(hop, &fix)),
                },
            ),
        };
        self.finding_at(at, Level::Fatal, "netfilter-drops", reason.clone(), &evidence, fix);
        Some(Verdict { action: Action::Dropped, reason, hop: Some(at), undecided: Vec::new() })
    }

    /// An answer that comes past the one who gave the packet its destination has the wrong source.
    pub(super) fn not_translated(&mut self, verdict: Verdict) -> Verdict {
        let (Action::Delivered, Some((netns, _)), Some(src)) = (verdict.action, self.hearing.back_in, self.flow.src)
        else {
            return verdict;
        };
        let there = self.topology.netns(netns).name;
        let Some(at) = self.hops.iter().position(|hop| hop.netns == netns && hop.kind == "bridge") else {
            let reason = format!("the answer of {src} does not come by {there}, which sent the packet to it");
            let evidence = format!("only {there} can give the answer the address that its receiver waits for");
            let last = self.hops.len().saturating_sub(1);
            self.finding_at(last, Level::Fatal, "answer-not-translated", reason.clone(), &evidence, None);
            return Verdict { action: Action::Dropped, reason, ..verdict };
        };
        let bridge = self.hops[at].ifname.clone();
        let reason =
            format!("the answer of {src} crosses {bridge} as a frame, and keeps the address that nobody waits for");
        let evidence = format!("{there} sent the packet to {src}, and does not show netfilter the frames of {bridge}");
        let name = bridge_nf_call(src.is_ipv6());
        let fix = match self.topology.sysctl(netns, name) {
            Ok(Some(_)) => Self::to_type_at(&self.hops[at], &format!("sysctl -w net.{}=1", name.replace('/', "."))),
            _ => format!("load the module br_netfilter there, and set net.{} to 1", name.replace('/', ".")),
        };
        self.finding_at(at, Level::Fatal, "answer-not-translated", reason.clone(), &evidence, Some(fix));
        Verdict { action: Action::Dropped, reason, hop: Some(at), ..verdict }
    }

    /// A rule gives it another destination for certain, before it ends: where it ends is another question.
    fn sent_elsewhere(&mut self, verdict: &Verdict) -> Option<Verdict> {
        let last = verdict.hop.unwrap_or(usize::MAX);
        let does = |heard: &&Heard| self.chain_of(heard).is_some_and(|chain| chain.does(Outcome::Redirect));
        let heard = self.hearing.heard.iter().filter(does).find(|heard| heard.hop <= last && !heard.followed)?;
        let (at, to) = (heard.hop, &heard.sentence.to);
        let hop = self.hops.get(at)?;
        let by = hop.chains.get(heard.chain)?.by.first().cloned().unwrap_or_default();
        let then = match to.first() {
            Some(Endpoint { ip: Some(ip), .. }) => format!("podnet trace --to {ip} shows the way there"),
            _ => "podnet does not follow it there".to_owned(),
        };
        let reason = format!("netfilter in {} sends it elsewhere: {by}; {then}", hop.netns_name);
        let behind = self.findings.iter_mut().filter(|f| f.hop >= at && f.level == Level::Fatal);
        behind.for_each(|f| f.level = Level::Warning);
        Some(Verdict { action: Action::Unknown, reason, hop: Some(at), undecided: Vec::new() })
    }
}

/// It may send the packet elsewhere, and that is not decided.
fn redirects(heard: &HeardChain) -> bool {
    heard.may_redirect() && !heard.does(Outcome::Redirect)
}

fn called(family: &str, table: &str, chain: &str) -> String {
    format!("{family} {table} {chain}")
}

/// What opens a chain that has no rules.
fn accepting(heard: &HeardChain) -> Option<String> {
    let Chain { backend, family, table, chain, .. } = &heard.chain;
    plain(&[table, chain])?;
    Some(match backend.as_str() {
        "legacy" => format!("{} -t {table} -P {chain} ACCEPT", legacy(family)),
        _ => format!("nft {}", word(&format!("chain {} {{ policy accept; }}", called(family, table, chain)))),
    })
}

/// What takes a rule away.
fn deleting(id: &ChainId, handle: u64) -> Option<String> {
    let ChainId { backend, family, table, chain } = id;
    plain(&[table, chain])?;
    Some(match backend.as_str() {
        "legacy" => format!("{} -t {table} -D {chain} {handle}", legacy(family)),
        _ => format!("nft delete rule {} handle {handle}", called(family, table, chain)),
    })
}

/// Names that the tools take for nothing else: whoever is root in a container may call a chain by a command of theirs.
fn plain(names: &[&String]) -> Option<()> {
    let is_plain = |name: &&String| {
        let mut chars = name.chars();
        chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    names.iter().all(is_plain).then_some(())
}

/// Who keeps rules by names like these, and sets them again once somebody takes one away.
fn keeper(id: &ChainId) -> Option<&'static str> {
    const CHAINS: [(&str, &str); 12] = [
        ("DOCKER", "Docker"),
        ("KUBE-", "Kubernetes"),
        ("cali-", "Calico"),
        ("CILIUM_", "Cilium"),
        ("FLANNEL-", "flannel"),
        ("WEAVE-", "Weave"),
        ("CNI-", "a CNI plugin"),
        ("NETAVARK", "Podman"),
        ("LIBVIRT_", "libvirt"),
        ("ufw", "ufw"),
        ("f2b-", "fail2ban"),
        ("nixos-fw", "NixOS"),
    ];
    const TABLES: [(&str, &str); 5] = [
        ("firewalld", "firewalld"),
        ("kube-proxy", "Kubernetes"),
        ("netavark", "Podman"),
        ("libvirt_network", "libvirt"),
        ("docker-bridges", "Docker"),
    ];
    // Docker leaves this one to people.
    let chains = CHAINS.iter().filter(|(prefix, _)| id.chain.starts_with(prefix) && id.chain != "DOCKER-USER");
    let tables = TABLES.iter().filter(|(name, _)| id.table == *name);
    chains.chain(tables).map(|(_, keeper)| *keeper).next()
}

fn legacy(family: &str) -> &'static str {
    if family == "ip6" { "ip6tables-legacy" } else { "iptables-legacy" }
}

/// The namespaces of the hops that have such a chain.
pub(super) fn named(hops: &[Hop], is: impl Fn(&HeardChain) -> bool) -> Vec<String> {
    let there = hops.iter().filter(|hop| hop.chains.iter().any(&is));
    let names: BTreeSet<String> = there.map(|hop| format!("netfilter in {}", hop.netns_name)).collect();
    names.into_iter().collect()
}

/// What is dropped for certain only if the rules that are not decided do this; so is what was found on the way.
pub(super) fn only_if<'a>(
    undecided: Vec<String>,
    what: &str,
    verdict: Verdict,
    findings: impl Iterator<Item = &'a mut Finding>,
) -> Verdict {
    if undecided.is_empty() || verdict.action != Action::Dropped {
        return verdict;
    }
    findings.filter(|f| f.level == Level::Fatal).for_each(|f| f.level = Level::Warning);
    let reason = format!("{}: {}", condition(&undecided, what), verdict.reason);
    Verdict { action: Action::Unknown, reason, undecided, ..verdict }
}

/// What the rules that are not decided have to do for a verdict to hold.
fn condition(undecided: &[String], what: &str) -> String {
    format!("if the rules of {} {what}", undecided.join(" and "))
}
