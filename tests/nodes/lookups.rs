//! podnet's own routing look-up against the kernel's: random links, addresses, routes, rules and sysctls in a namespace,
//! a recording of it, and thousands of random packets for which both must say the same.

mod packet;
mod random;
mod world;

use std::time::{Duration, Instant};

use podnet::kernel::socket::Socket;
use podnet::model::{NetnsId, Snapshot};
use podnet::recorded::Recorded;

use super::node::Node;
use super::{Test, test};
use packet::{Side, agree, ask, packet};
use random::Random;
use world::World;

pub fn tests() -> Vec<Test> {
    vec![test!(own_look_up_agrees_with_the_kernel, Tools)]
}

/// Worlds that are built, and packets of each family that are looked up in each.
const WORLDS: u64 = 24;
const PACKETS: usize = 500;
/// Fewer than this would show nothing.
const ENOUGH: usize = 20_000;

fn own_look_up_agrees_with_the_kernel() {
    // The same worlds each time, so that a run fails by what was changed and not by chance; PODNET_SEED=any for others.
    let seed = match std::env::var("PODNET_SEED") {
        Ok(seed) if seed == "any" => Random::any_seed(),
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => 1,
    };
    let worlds = std::env::var("PODNET_WORLDS").ok().map_or(WORLDS, |worlds| worlds.parse().unwrap());
    eprintln!("PODNET_SEED={seed}");
    let node = Node::new();
    let (mut asked, mut unsure, mut several) = (0, 0, 0);
    for at in 0..worlds {
        let seed = seed + at;
        let world = World::new(&mut Random::new(seed));
        let netns = format!("w{at}");
        world.build(&node, &netns);
        let (flaws, counts) = at_rest(&node, &netns, || compare(&node, &netns, &world, seed));
        asked += counts[0];
        unsure += counts[1];
        several += counts[2];
        let shown: Vec<String> = flaws.iter().take(6).cloned().collect();
        assert!(
            flaws.is_empty(),
            "PODNET_SEED={seed} PODNET_WORLDS=1: {} of {} look-ups differ\n{}\n{}",
            flaws.len(),
            PACKETS * 2,
            shown.join("\n"),
            world.script()
        );
        node.sh(&format!("ip netns del {netns}"));
    }
    eprintln!("{asked} look-ups, of which {several} with several next hops; {unsure} could not be decided");
    assert!(worlds < WORLDS || asked >= ENOUGH, "only {asked} look-ups, {unsure} undecided");
    assert!(unsure * 10 < asked, "{unsure} look-ups of {asked} could not be decided");
}

/// Does the work while nothing changes in the namespace: the kernel completes links and IPv6 addresses some time after
/// they are made, and what was recorded before that and asked after it is of two worlds.
fn at_rest<T>(node: &Node, netns: &str, work: impl Fn() -> T) -> T {
    let state = || {
        let of = ["addr", "route show table all", "-6 route show table all"];
        node.sh(&of.map(|what| format!("ip -n {netns} {what}\n")).concat())
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let before = state();
        let done = work();
        if state() == before {
            return done;
        }
        assert!(Instant::now() < deadline, "{netns} does not come to rest");
    }
}

/// What differs between the kernel's answers and those from a recording; how many were compared, could not be decided,
/// and had several next hops.
fn compare(node: &Node, netns: &str, world: &World, seed: u64) -> (Vec<String>, [usize; 3]) {
    let (recorded, id) = record(node, netns);
    let (mut flaws, mut counts) = (Vec::new(), [0; 3]);
    node.inside(netns, || {
        let mut socket = Socket::open().unwrap();
        let mut random = Random::new(seed ^ 0x5eed);
        for _ in 0..PACKETS * 2 {
            let (packet, side) = packet(&mut random, world);
            let said = ask(&mut socket, &packet, side);
            if std::env::var_os("PODNET_SHOW").is_some() {
                eprintln!("SHOW {side:?} {packet:?} => {said:?}");
            }
            let ours = match side {
                Side::Out(oif) => recorded.ways_out(id, &packet, oif),
                Side::In(iif) => recorded.ways_in(id, &packet, iif),
            };
            let Ok(ways) = ours else {
                counts[1] += 1;
                continue;
            };
            counts[0] += 1;
            counts[2] += usize::from(!ways.others.is_empty());
            if let Err(flaw) = agree(&said, &ways) {
                flaws.push(format!("{side:?} {packet:?}\n    {flaw}"));
            }
        }
    });
    (flaws, counts)
}

/// The namespace as a recording knows it.
fn record(node: &Node, netns: &str) -> (Recorded, NetnsId) {
    let run = node.podnet("snapshot");
    let snapshot: Snapshot = serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.stderr));
    let at = snapshot.namespaces.iter().position(|n| n.name == netns).unwrap();
    let ino = snapshot.namespaces[at].netns;
    let mut recorded = Recorded::default();
    recorded.add(snapshot).unwrap();
    (recorded, NetnsId::Recorded { snapshot: 0, at: at as u32, ino })
}
