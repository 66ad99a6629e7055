//! What podnet says of owners, held against what the runtimes themselves say.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::machine::Machine;

/// A running container in the words of its runtime's own API.
#[derive(Debug, Clone)]
pub struct Truth {
    pub runtime: &'static str,
    pub id: String,
    pub name: String,
    /// Namespace, name and uid of its Kubernetes pod.
    pub pod: Option<(String, String, String)>,
    pub pid: u64,
}

/// The listing, with everything checked that holds for every listing.
#[track_caller]
pub fn list(machine: &Machine) -> Vec<Value> {
    let run = machine.podnet("list --json");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let list: Value = serde_json::from_slice(&run.stdout).unwrap();
    // Docker takes a minute to remove the name of a namespace whose container has ended.
    let gaps = list["gaps"].as_array().unwrap().iter().filter(|gap| gap["at"] != "/run/docker/netns");
    // Names of the machine that the tests run on lie beneath what this one has mounted over them.
    let gaps = gaps.filter(|gap| gap["why"] != "no path leads there");
    assert_eq!(gaps.collect::<Vec<_>>(), Vec::<&Value>::new());
    list["namespaces"].as_array().unwrap().clone()
}

fn at(namespaces: &[Value], inode: u64) -> &Value {
    let mut rows = namespaces.iter().filter(|n| n["netns"] == inode);
    let row = rows.next().unwrap_or_else(|| panic!("net:[{inode}] is not listed"));
    assert!(rows.next().is_none(), "net:[{inode}] is listed twice");
    row
}

/// Id and name of the containers that do the work.
fn containers(owner: &Value) -> BTreeSet<(String, String)> {
    let all = owner["containers"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.filter(|c| c["sandbox"] == false).map(|c| (text(&c["id"]), text(&c["name"]))).collect()
}

/// `podnet list` and every way of naming a target agree with these containers, which are all that there are.
#[track_caller]
pub fn agree(machine: &Machine, truths: &[Truth]) {
    assert!(!truths.is_empty());
    let host = machine.netns(1);
    let namespaces = list(machine);
    let mut by_inode: BTreeMap<u64, Vec<&Truth>> = BTreeMap::new();
    for truth in truths {
        by_inode.entry(machine.netns(truth.pid)).or_default().push(truth);
    }
    for (inode, truths) in &by_inode {
        let row = at(&namespaces, *inode);
        let wanted = truths.iter().map(|t| (t.id.clone(), t.name.clone())).collect::<BTreeSet<_>>();
        let owners: Vec<&Value> =
            if *inode == host { row["tenants"].as_array().unwrap().iter().collect() } else { vec![&row["owner"]] };
        let found: BTreeSet<_> = owners.iter().flat_map(|owner| containers(owner)).collect();
        assert_eq!(found, wanted, "{row:#}");
        for truth in truths {
            let owner = owners.iter().find(|owner| containers(owner).iter().any(|(id, _)| *id == truth.id)).unwrap();
            assert_eq!(owner["runtime"], truth.runtime, "{owner:#}");
            let pod = truth
                .pod
                .as_ref()
                .map(|(namespace, name, uid)| json!({"namespace": namespace, "name": name, "uid": uid}));
            assert_eq!(owner["pod"], json!(pod), "{owner:#}");
            targets(machine, truth, *inode, (*inode == host).then_some(*owner));
        }
    }
    let owned = namespaces.iter().filter(|n| n["netns"] != host && !containers(&n["owner"]).is_empty());
    for row in owned {
        assert!(by_inode.contains_key(&row["netns"].as_u64().unwrap()), "made up: {row:#}");
    }
}

/// Every name of a container leads to its namespace.
#[track_caller]
fn targets(machine: &Machine, truth: &Truth, inode: u64, tenant: Option<&Value>) {
    let mut targets = vec![format!("pid:{}", truth.pid), format!("ctr:{}", truth.name), truth.id.clone()];
    if truth.id.len() == 64 {
        targets.push(truth.id[..12].to_owned());
        targets.push(format!("ctr:{}", &truth.id[..10]));
    }
    match &truth.pod {
        Some((namespace, name, uid)) => {
            targets.extend([format!("{namespace}/{name}"), format!("pod:{namespace}/{name}"), format!("pod:{uid}")]);
        }
        None => targets.push(truth.name.clone()),
    }
    for target in targets {
        let run = machine.podnet(&format!("trace {target} -4 --json"));
        assert_eq!(run.stderr, "", "{target}");
        let trace = run.trace();
        assert_eq!(trace["source"]["netns"], inode, "{target}");
        let owner = match tenant {
            Some(tenant) => {
                assert_eq!(trace["source"]["tenant"]["name"], tenant["name"], "{target}");
                &trace["source"]["tenant"]
            }
            None => &trace["source"]["owner"],
        };
        assert_eq!(owner["runtime"], truth.runtime, "{target}");
        assert!(containers(owner).contains(&(truth.id.clone(), truth.name.clone())), "{target}: {owner:#}");
    }
}

/// Asks podnet with these daemons stopped, where they accept and never answer, and again with them killed: it says
/// the same, and has not spoken to anybody.
#[track_caller]
pub fn agree_with_daemons_down(machine: &Machine, truths: &[Truth], daemons: &str) {
    let before = list(machine);
    for signal in ["STOP", "KILL"] {
        machine.sh(&format!("pids=$(pidof {daemons}); kill -{signal} $pids"));
        machine
            .sh(&format!("strace -f -qq -e trace=connect -o /run/connects {} list >/run/out", crate::machine::PODNET));
        let connects = machine.sh("grep AF_UNIX /run/connects || true");
        assert_eq!(connects, "", "with the daemons down ({signal})");
        let owners = |list: &[Value]| -> Vec<(Value, Value)> {
            list.iter().map(|n| (n["netns"].clone(), n["owner"].clone())).collect()
        };
        assert_eq!(owners(&list(machine)), owners(&before), "{signal}");
        agree(machine, truths);
    }
}
