//! An engine inside of a container: its containers are named under the outer one, by what it has written down itself.

use serde_json::Value;

use crate::agree::list;
use crate::docker;
use crate::machine::Machine;
use crate::node::eventually;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(docker_in_docker, "dockerd", "docker", "containerd"),
        test!(hostile_files, "dockerd", "docker", "containerd"),
    ]
}

/// A container `dind` with the machine's programs and the rights that an engine needs.
fn machine(program: &str, cgroups: &str) -> Machine {
    let machine = docker::machine("");
    let places = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"].map(|dir| format!("-v {dir}:{dir}:ro")).join(" ");
    let caps = ["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "MKNOD", "DAC_READ_SEARCH"]
        .map(|cap| format!("--cap-add {cap}"))
        .join(" ");
    machine.sh(&format!(
        "docker run -d --name dind --network none {caps} --device-cgroup-rule 'a *:* rwm' \
         --security-opt seccomp=unconfined --security-opt apparmor=unconfined {places} {cgroups} \
         --tmpfs /etc/docker --tmpfs /run --tmpfs /var/lib/docker:exec --tmpfs /tmp:exec -v /run/image:/image:ro \
         busy /bin/sh -c '{program}'"
    ));
    machine
}

const ENGINE: &str = "exec dockerd --storage-driver vfs --bridge none --ip-forward=false --iptables=false \
                      --ip6tables=false --exec-opt native.cgroupdriver=cgroupfs";

fn docker_in_docker() {
    // With the machine's cgroups the engine puts its containers beside its own, with those of its own below.
    for cgroups in ["-v /sys/fs/cgroup:/sys/fs/cgroup", ""] {
        let mount = "for dir in /sys/fs/cgroup/*; do mount -o remount,bind,rw $dir || true; done";
        let machine = machine(&format!("{mount}; {ENGINE}"), cgroups);
        eventually("the inner engine answers", || machine.succeeds("docker exec dind docker version"));
        machine.sh("docker exec dind sh -euc 'tar -C /image -c . | docker import - busy
             docker run -d --name shop --network none busy /bin/sleep 10000
             docker run -d --name sidecar --network container:shop busy /bin/sleep 10000
             docker run -d --name web --network none busy /bin/sleep 10000'
             docker run -d --name web busy /bin/sleep 10000");
        let inner: Value = machine.json("docker exec dind sh -c 'docker inspect $(docker ps -q)'");
        let namespaces = list(&machine);
        for container in inner.as_array().unwrap() {
            let name = format!("dind{}", container["Name"].as_str().unwrap());
            let in_it = |n: &&Value| {
                let all = n["owner"]["containers"].as_array().into_iter().flatten();
                all.into_iter().any(|c| c["id"] == container["Id"] && c["name"] == name.as_str())
            };
            let rows: Vec<_> = namespaces.iter().filter(in_it).collect();
            assert_eq!(
                rows.len(),
                1,
                "{name} with {cgroups:?}: {:#?}",
                namespaces.iter().map(|n| &n["owner"]).collect::<Vec<_>>()
            );
            assert_eq!(rows[0]["owner"]["within"], "dind");
            // The pid in the words of the engine is one of another pid namespace: the kernel's own list tells it here.
            let place = machine.netns(pid_of(&machine, container["Id"].as_str().unwrap()));
            assert_eq!(rows[0]["netns"], place, "{name}");
            assert_eq!(machine.podnet(&format!("trace {name} -4 --json")).trace()["source"]["netns"], place);
        }
        // The outer engine's container is meant by its name, whatever is called so inside of another.
        let outer = machine.json("docker inspect web");
        let trace = machine.podnet("trace web -4 --json").trace();
        assert_eq!(trace["source"]["netns"], machine.netns(outer[0]["State"]["Pid"].as_u64().unwrap()));
        // Also with all engines stopped.
        machine.sh("kill -STOP $(pidof dockerd containerd)");
        let owners = |list: &[Value]| -> Vec<(Value, Value)> {
            list.iter().map(|n| (n["netns"].clone(), n["owner"].clone())).collect()
        };
        assert_eq!(owners(&list(&machine)), owners(&namespaces));
    }
}

/// A process that is in the cgroup of a container.
fn pid_of(machine: &Machine, id: &str) -> u64 {
    machine.sh(&format!("grep -l {id} /proc/[0-9]*/cgroup | head -n 1")).split('/').nth(2).unwrap().parse().unwrap()
}

fn hostile_files() {
    let id = "5".repeat(64);
    // Makes a cgroup that looks like that of a container inside, with a process in a namespace of its own.
    let program = format!(
        "for dir in /sys/fs/cgroup/*; do mkdir -p $dir/docker/{id}; done
         unshare -n sh -c \"for dir in /sys/fs/cgroup/*; do echo \\$\\$ >\\$dir/docker/{id}/cgroup.procs; done; exec sleep 4321\" &
         while :; do sleep 1; done"
    );
    let machine = machine(&program, "-v /sys/fs/cgroup:/sys/fs/cgroup");
    machine.sh("docker run -d --name victim busy /bin/sleep 10000");
    let victim = machine.json("docker inspect victim")[0].clone();
    eventually("the process is there", || machine.succeeds("pgrep -f '^sleep 4321'"));
    let pid: u64 = machine.sh("pgrep -f '^sleep 4321'").trim().parse().unwrap();
    let dir = format!("/var/lib/docker/containers/{id}");
    let file = format!("{dir}/config.v2.json");
    let host = format!("/var/lib/docker/containers/{}/config.v2.json", victim["Id"].as_str().unwrap());
    for (setup, name) in [
        ("true".to_owned(), "555555555555"),
        (format!("echo '{{\"Name\":\"/shop\"}}' >{file}"), "shop"),
        (format!("mkfifo {file}"), "555555555555"),
        (format!("ln -s /proc/1/root{host} {file}"), "555555555555"),
        (format!("ln -s ../../../../../../..{host} {file}"), "555555555555"),
        (format!("ln -s /dev/zero {file}"), "555555555555"),
        (format!("mknod {file} c 1 5"), "555555555555"),
        (format!("truncate -s 1T {file}"), "555555555555"),
        (format!("head -c 3000000 /dev/zero | tr '\\0' '[' >{file}"), "555555555555"),
        (format!("printf '{{\"Name\":\"/a\\\\u001b[31m\\\\u0007\"}}' >{file}"), "a\u{1b}[31m\u{7}"),
        (format!("printf '{{\"Name\":\"/../victim\"}}' >{file}"), "555555555555"),
    ] {
        let pid_of_dind = machine.sh("docker inspect -f '{{.State.Pid}}' dind");
        machine.sh(&format!(
            "nsenter -t {} -m sh -euc '{}'",
            pid_of_dind.trim(),
            format!("mkdir -p {dir}; rm -f {file}; {setup}").replace('\'', "'\\''")
        ));
        let trace = machine.podnet(&format!("trace {pid} --json")).trace();
        let owner = &trace["source"]["owner"];
        assert_eq!(owner["name"], format!("dind/{name}"), "{setup}");
        assert_eq!(owner["within"], "dind");
        let text = machine.podnet("list");
        assert!(!text.text().chars().any(|c| c.is_control() && c != '\n'), "{setup}: {:?}", text.text());
        assert_eq!(list(&machine).iter().filter(|n| n["owner"]["name"] == "victim").count(), 1, "{setup}");
    }
}
