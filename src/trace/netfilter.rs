//! What netfilter's base chains mean for the end of a way, as far as that can be told without reading their rules.

use std::collections::BTreeSet;

use super::walk::Walk;
use crate::model::{Action, Chain, Finding, Hop, Level, Verdict, word};

impl Walk<'_> {
    /// A verdict in which the chains on the way are heard: one that lets nothing pass, rules that could give the packet
    /// another destination, rules that could drop it.
    pub(super) fn by_netfilter(&mut self, verdict: Verdict) -> Verdict {
        let verdict = self.barred().unwrap_or(verdict);
        match verdict.action {
            Action::Delivered | Action::LeavesNode => {
                let undecided = named(&self.hops, |chain| chain.rules > 0 && !chain.only_hides());
                if undecided.is_empty() {
                    return verdict;
                }
                let reason = format!("{}, {}", verdict.reason, condition(&undecided, "let it pass"));
                Verdict { reason, undecided, ..verdict }
            }
            Action::Dropped => {
                let last = verdict.hop.map_or(0, |hop| hop + 1).min(self.hops.len());
                let redirects = |chain: &Chain| chain.rules > 0 && chain.may_redirect();
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

    /// A chain without rules whose policy is to drop decides alone, whatever the others say.
    fn barred(&mut self) -> Option<Verdict> {
        let bars = |chain: &&Chain| chain.rules == 0 && chain.policy == "drop" && chain.kind != "nat";
        let (at, hop, chain) =
            self.hops.iter().enumerate().find_map(|(at, hop)| Some((at, hop, hop.chains.iter().find(bars)?)))?;
        let Chain { backend, family, table, chain: name, .. } = chain;
        let (place, netns) = (format!("{family} {table} {name}"), hop.netns_name.clone());
        let reason = format!("the policy of netfilter's chain {place} in {netns} is drop, and it has no rules");
        let fix = match (backend.as_str(), family.as_str()) {
            ("legacy", "ip6") => format!("ip6tables-legacy -t {} -P {} ACCEPT", word(table), word(name)),
            ("legacy", _) => format!("iptables-legacy -t {} -P {} ACCEPT", word(table), word(name)),
            _ => format!("nft {}", word(&format!("chain {place} {{ policy accept; }}"))),
        };
        let fix = Some(Self::to_type_at(hop, &fix));
        self.finding_at(
            at,
            Level::Fatal,
            "netfilter-drops",
            reason.clone(),
            "a chain that drops what no rule accepts",
            fix,
        );
        Some(Verdict { action: Action::Dropped, reason, hop: Some(at), undecided: Vec::new() })
    }
}

/// The namespaces of the hops that have such a chain.
pub(super) fn named(hops: &[Hop], is: impl Fn(&Chain) -> bool) -> Vec<String> {
    let there = hops.iter().filter(|hop| hop.chains.iter().any(&is));
    let names: BTreeSet<String> = there.map(|hop| format!("netfilter in {}", hop.netns_name)).collect();
    names.into_iter().collect()
}

/// What is dropped for certain only if the rules that were not read do this; so is what was found on the way.
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

/// What the rules that were not read have to do for a verdict to hold.
fn condition(undecided: &[String], what: &str) -> String {
    format!("if the rules of {} {what}", undecided.join(" and "))
}
