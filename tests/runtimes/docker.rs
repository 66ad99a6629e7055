//! Docker: containers, those that join another one's namespace, those on the host's network.

use serde_json::{Value, json};

use crate::agree::{Truth, agree, agree_with_daemons_down, list};
use crate::machine::Machine;
use crate::node::Run;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(containers, "dockerd", "docker", "containerd", "strace"),
        test!(containers_of_a_kubelet, "dockerd", "docker", "containerd"),
        test!(one_who_may_only_speak_to_the_socket, "dockerd", "docker", "containerd", "setpriv"),
        test!(pids_of_stale_state, "dockerd", "docker", "containerd"),
        test!(rules, "dockerd", "docker", "containerd", "iptables"),
    ]
}

/// A machine with dockerd on a bridge of its own and the image `busy`.
pub fn machine(more: &str) -> Machine {
    let more = format!("--iptables=false --ip6tables=false {more}");
    machine_with_rules(&more)
}

/// The same with the rules that dockerd makes.
fn machine_with_rules(more: &str) -> Machine {
    let machine = Machine::new();
    machine.sh("ip link add docker0 type bridge; ip addr add 10.88.0.1/16 dev docker0; ip link set docker0 up");
    machine.daemon(
        &format!(
            "dockerd --storage-driver vfs --bridge docker0 \
             --exec-opt native.cgroupdriver=cgroupfs {more}"
        ),
        "docker version",
    );
    machine.sh("tar -C /run/image -c . | docker import - busy");
    machine
}

/// All running containers, as `docker inspect` tells of them.
pub fn truths(machine: &Machine) -> Vec<Truth> {
    let all = machine.json("docker inspect $(docker ps -q)");
    all.as_array().unwrap().iter().map(truth).collect()
}

fn truth(container: &Value) -> Truth {
    let labels = &container["Config"]["Labels"];
    let label = |key: &str| labels[key].as_str().map(str::to_owned);
    let pod = label("io.kubernetes.pod.name");
    let name = container["Name"].as_str().unwrap().trim_start_matches('/').to_owned();
    Truth {
        runtime: "docker",
        id: container["Id"].as_str().unwrap().to_owned(),
        name: label("io.kubernetes.container.name").unwrap_or(name),
        pod: pod
            .map(|pod| (label("io.kubernetes.pod.namespace").unwrap(), pod, label("io.kubernetes.pod.uid").unwrap())),
        pid: container["State"]["Pid"].as_u64().unwrap(),
    }
}

fn containers() {
    let machine = machine("");
    machine.sh("docker network create other >/dev/null
         docker run -d --name web busy /bin/sleep 10000
         docker run -d --name sidecar --network container:web busy /bin/sleep 10000
         docker run -d --name db --network other --hostname host busy /bin/sleep 10000
         docker run -d --name offline --network none busy /bin/sleep 10000
         docker run -d --name proxy --network host busy /bin/sleep 10000
         docker run -d --name gone busy /bin/true || docker rm -f gone");
    let truths = truths(&machine);
    assert_eq!(truths.len(), 5);
    agree(&machine, &truths);
    let text = machine.podnet("list");
    assert!(text.text().contains("share the host's namespace\n  proxy (docker)\n"), "{}", text.text());
    // The oldest container of a namespace gives the name, with the one that joined it below.
    assert!(text.text().contains("\nweb "), "{}", text.text());
    // A program in a container is in the container, whatever its parent is.
    machine.sh("docker exec -d db /bin/sleep 12345");
    let pid = machine.sh("pgrep -f '^/bin/sleep 12345'");
    let trace = machine.podnet(&format!("trace {} -4 --json", pid.trim())).trace();
    assert_eq!(trace["source"]["owner"]["name"], "db");
    agree_with_daemons_down(&machine, &truths, "dockerd containerd");
}

fn containers_of_a_kubelet() {
    let machine = machine("");
    let uid = "0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d";
    // Names, labels and cgroups as cri-dockerd makes them.
    let run = |name: &str, kind: &str, more: &str| {
        machine.sh(&format!(
            "docker run -d --name k8s_{name}_web-0_dev_{uid}_0 --cgroup-parent /kubepods/burstable/pod{uid} \
             --label io.kubernetes.pod.name=web-0 --label io.kubernetes.pod.namespace=dev \
             --label io.kubernetes.pod.uid={uid} --label io.kubernetes.container.name={name} \
             --label io.kubernetes.docker.type={kind} {more} busy /bin/sleep 10000"
        ))
    };
    let sandbox = run("POD", "podsandbox", "");
    let more = format!("--network container:{0} --label io.kubernetes.sandbox.id={0}", sandbox.trim());
    run("app", "container", &more);
    run("log", "container", &more);
    let truths: Vec<Truth> = truths(&machine).into_iter().filter(|t| t.name != "POD").collect();
    assert_eq!(truths.len(), 2);
    agree(&machine, &truths);
    assert!(machine.podnet("list").text().contains("\ndev/web-0 "));
}

fn one_who_may_only_speak_to_the_socket() {
    let machine = machine("");
    machine.sh("docker run -d --name web busy /bin/sleep 10000; docker run -d --name db busy /bin/sleep 10000");
    machine.sh("chgrp 1600 /run/docker.sock; chmod 660 /run/docker.sock");
    let all = truths(&machine);
    let ask = |target: &str| {
        let podnet = crate::machine::PODNET;
        let line = format!(
            "setpriv --reuid 1500 --regid 1500 --groups 1600 timeout -s KILL 30 {podnet} trace {target} -4 --json"
        );
        let source = Run::new(&[target], machine.command("sh").args(["-c", &line]).output().unwrap());
        serde_json::from_slice::<Value>(&source.stdout).unwrap()
    };
    for truth in &all {
        for target in [truth.pid.to_string(), truth.name.clone()] {
            let trace = ask(&target);
            assert_eq!(trace["source"]["pid"], truth.pid, "{target}");
            assert_eq!(trace["source"]["owner"]["name"], truth.name.as_str(), "{target}");
            assert_eq!(trace["source"]["owner"]["containers"][0]["id"], truth.id.as_str(), "{target}");
        }
    }
    // It accepts and never answers: a gap, and the id.
    machine.sh("kill -STOP $(pidof dockerd)");
    for truth in &all {
        let trace = ask(&truth.pid.to_string());
        assert_eq!(trace["source"]["owner"]["name"], truth.id[..12]);
        let is_told = |gap: &Value| gap["at"] == "docker.sock" && gap["why"].as_str().unwrap().contains("no answer");
        assert!(trace["gaps"].as_array().unwrap().iter().any(is_told), "{:#}", trace["gaps"]);
    }
}

fn pids_of_stale_state() {
    let machine = machine("");
    machine.sh("docker run -d --name web busy /bin/sleep 10000; docker run -d --name db busy /bin/sleep 10000");
    let all = truths(&machine);
    agree(&machine, &all);
    let inode = |name: &str| machine.netns(all.iter().find(|t| t.name == name).unwrap().pid);
    let (inode_of_web, inode_of_db) = (inode("web"), inode("db"));
    // The state of one that is gone stays where the daemon is killed, and its pid goes to somebody else.
    machine.sh("kill -KILL $(pidof dockerd)");
    let of = |name: &str| all.iter().find(|t| t.name == name).unwrap().clone();
    let (web, db) = (of("web"), of("db"));
    machine.sh(&format!(
        "kill -KILL {0}; while [ -e /proc/{0} ]; do :; done
         sed -i 's/\"Pid\":{0}/\"Pid\":{1}/' /var/lib/docker/containers/{2}/config.v2.json",
        web.pid, db.pid, web.id
    ));
    let namespaces = list(&machine);
    let of = |inode| namespaces.iter().find(|n| n["netns"] == inode).unwrap();
    assert_eq!(of(inode_of_db)["owner"]["containers"], json!([{"id": db.id, "name": "db", "sandbox": false}]));
    // The namespace of the other one is still mounted, without any process, and still its own.
    let left = of(inode_of_web);
    assert_eq!(left["owner"]["name"], "web");
    assert!(left["holders"].as_array().unwrap().iter().all(|h| h["type"] == "mount"), "{left:#}");
}

fn rules() {
    let machine = machine_with_rules("");
    machine.sh("docker network create other >/dev/null
         docker run -d --name web -p 8080:80 busy /bin/sh -c 'while :; do /bin/nc -l -p 80 -e /bin/ls; done'
         docker run -d --name db busy /bin/sleep 10000
         docker run -d --name app --network other busy /bin/sleep 10000
         ip netns add outside; ip link add out0 type veth peer name eth0 netns outside
         ip addr add 192.0.2.1/24 dev out0; ip link set out0 up
         ip -n outside addr add 192.0.2.2/24 dev eth0; ip -n outside link set eth0 up
         ip -n outside route add default via 192.0.2.1");
    let address = |name: &str| {
        let all = machine.json(&format!("docker inspect {name}"));
        let networks = all[0]["NetworkSettings"]["Networks"].as_object().unwrap();
        networks.values().next().unwrap()["IPAddress"].as_str().unwrap().to_owned()
    };
    let trace = |args: &str| machine.podnet(&format!("trace {args} --json")).trace();
    let pings = |from: &str, to: &str| {
        let script =
            format!("docker exec {from} /bin/ping -c 1 -W 1 {} >/dev/null && echo yes || echo no", address(to));
        machine.sh(&script).trim() == "yes"
    };
    // One network: rules and all, nothing is left open.
    assert!(pings("db", "web"));
    let one = trace("db --to web");
    assert_eq!(one["paths"][0]["verdict"]["action"], "delivered", "{one:#}");
    assert_eq!(one["paths"][0]["verdict"]["undecided"], Value::Null, "{one:#}");
    // Two networks are kept apart, and it is said by which rule.
    assert!(!pings("db", "app"));
    let two = trace("db --to app");
    assert_eq!(two["paths"][0]["verdict"]["action"], "dropped", "{two:#}");
    let reason = two["paths"][0]["verdict"]["reason"].as_str().unwrap();
    assert!(reason.contains(" DOCKER") && reason.ends_with(" drop"), "{reason}");
    // A published port leads to its container and back.
    machine.sh("ip netns exec outside busybox nc -w 2 192.0.2.1 8080 </dev/null | grep -q bin");
    let port = trace("outside --to 192.0.2.1 --proto tcp --dport 8080 --reply");
    assert_eq!(port["paths"][0]["verdict"]["action"], "delivered", "{port:#}");
    assert_eq!(port["paths"][0]["redirected_to"], address("web"), "{port:#}");
    assert_eq!(port["paths"][1]["verdict"]["action"], "delivered", "{port:#}");
}
