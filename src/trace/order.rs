//! In which order the chains of a hook are asked, and where that is not known.

use super::hearing::{Between, DSTNAT};
use super::sight::Mark;
use super::walk::Walk;
use crate::model::{Chain, HeardChain, Hook, NetnsId, Outcome};

/// What decides before anything else: chains of bridges are asked before and behind the place where those for IP are.
fn stage(chain: &Chain) -> u8 {
    match chain.family.as_str() {
        "bridge" if chain.priority < 0 => 0,
        "bridge" => 2,
        _ => 1,
    }
}

/// All chains that give addresses are asked at one place of a hook, whatever their own priorities are (`nf_nat_ipv4_ops`).
fn place(chain: &Chain) -> i32 {
    match (chain.kind.as_str(), chain.hook) {
        ("nat", Hook::Prerouting | Hook::Output) => DSTNAT,
        ("nat", _) => 100,
        _ => chain.priority,
    }
}

fn same_place(a: &Chain, b: &Chain) -> bool {
    (a.hook, stage(a), place(a)) == (b.hook, stage(b), place(b))
}

/// Chains in the order in which they are asked, those together that share a place. Of chains of one table the newest is
/// the first, and the kernel tells them from the oldest one on.
pub(super) fn groups(mut chains: Vec<Chain>) -> Vec<Vec<Chain>> {
    chains.reverse();
    chains.sort_by_key(|chain| (chain.hook, stage(chain), place(chain), chain.priority));
    chains.chunk_by(same_place).map(<[Chain]>::to_vec).collect()
}

/// Whether it is known in which order the chains of a place are asked: which of two tables is older, nobody tells.
pub(super) fn is_known(group: &[Chain]) -> bool {
    let table = |chain: &Chain| (chain.backend.clone(), chain.family.clone(), chain.table.clone());
    let told = |a: &Chain, b: &Chain| match (a.kind == "nat", b.kind == "nat") {
        (true, true) if a.priority != b.priority => true,
        (a_nat, b_nat) => a_nat == b_nat && table(a) == table(b),
    };
    group.iter().enumerate().all(|(at, a)| group[at + 1..].iter().all(|b| told(a, b)))
}

impl Walk<'_> {
    /// Asks chains of which nobody knows which is first: what one of them does to the packet the others may see or not.
    pub(super) fn ask_in_any_order(&mut self, netns: NetnsId, between: &impl Fn(&Chain) -> Between, group: Vec<Chain>) {
        let mut mark = self.mark(netns);
        // Bits that some of them turn may make others turn more of them.
        for last in [false, true] {
            let before = mark;
            for chain in &group {
                let mut sight = self.sight(netns, &between(chain), chain);
                sight.mark = mark;
                self.judged(netns, chain, &mut sight);
                mark = mark.common(sight.mark);
            }
            match mark == before {
                true => break,
                false if last => mark = Mark::default(),
                false => {}
            }
        }
        let first = self.hearing.heard.len();
        for chain in group {
            if mark != self.mark(netns) {
                self.hearing.marked = Some((netns, mark));
            }
            self.ask(netns, &between(&chain), chain);
            mark = mark.common(self.mark(netns));
        }
        self.unsure_behind(first);
    }

    /// Of the chains heard from this one on, of which nobody knows which is first, one may keep the others from being
    /// asked.
    fn unsure_behind(&mut self, first: usize) {
        let Some(hop) = self.hops.last_mut() else { return };
        let group = &mut self.hearing.heard[first..];
        let moves = |heard: &HeardChain| heard.chain.kind == "nat" && !heard.does(Outcome::Pass);
        let moving = group.iter().filter(|heard| hop.chains.get(heard.chain).is_some_and(moves)).count();
        let others = group.iter().any(|heard| hop.chains.get(heard.chain).is_some_and(|h| h.chain.kind != "nat"));
        if moving > 1 || moving == 1 && others {
            for heard in group {
                let Some(chain) = hop.chains.get_mut(heard.chain) else { continue };
                // A filter may see the new address, which is not in its book yet.
                let other = if chain.chain.kind == "nat" { None } else { Some(Outcome::Other) };
                chain.outcomes.extend([Outcome::Pass].into_iter().chain(other));
                heard.sentence.to.clear();
            }
        }
    }
}
