//! containerd: pods by CRI, as a kubelet has them, and containers of `ctr`.

use serde_json::Value;

use crate::agree::{Truth, agree, agree_with_daemons_down, list};
use crate::cri;
use crate::machine::Machine;
use crate::node::eventually;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(pods, "containerd", "ctr", "runc", "curl", "strace", "bridge"),
        test!(dead_pods, "containerd", "ctr", "runc", "curl"),
        test!(containers_of_ctr, "containerd", "ctr", "runc", "strace"),
    ]
}

const SOCKET: &str = "/run/containerd/containerd.sock";
const CONFIG: &str = r#"
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/busy:latest"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
"#;
const NETWORK: &str = r#"{"cniVersion": "0.4.0", "name": "podlab", "plugins": [{"type": "bridge", "bridge": "cni0",
    "isGateway": true, "ipam": {"type": "host-local", "ranges": [[{"subnet": "172.22.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}"#;

/// An archive of the image `busy`, as `docker save` writes one; its program is what a sandbox runs.
const IMAGE: &str = r#"
    mkdir -p /run/archive; cd /run/archive
    tar -C /run/image -cf layer.tar .
    sum=$(sha256sum <layer.tar); sum=${sum%% *}
    echo '{"architecture":"amd64","os":"linux","config":{"Entrypoint":["/bin/sleep","10000"]},"rootfs":{"type":"layers","diff_ids":["sha256:'$sum'"]}}' >config.json
    sed -i "s/amd64/$(uname -m | sed 's/x86_64/amd64/; s/aarch64/arm64/')/" config.json
    echo '[{"Config":"config.json","RepoTags":["docker.io/library/busy:latest"],"Layers":["layer.tar"]}]' >manifest.json
    tar -cf /run/image.tar manifest.json config.json layer.tar
"#;

fn machine() -> Machine {
    let machine = Machine::new();
    machine.file("/etc/containerd/config.toml", CONFIG);
    machine.file("/etc/cni/net.d/10-podlab.conflist", NETWORK);
    machine.daemon("containerd --config /etc/containerd/config.toml", "ctr version");
    machine.sh(IMAGE);
    machine.sh("for n in k8s.io default; do ctr -n $n images import --snapshotter native /run/image.tar; done");
    machine
}

const UID: [&str; 3] = [
    "0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
    "1f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
    "2f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d",
];

fn with_pods() -> (Machine, Vec<cri::Pod>) {
    let machine = machine();
    eventually("CRI answers", || cri::answers(&machine, SOCKET));
    let web = cri::run_pod(&machine, SOCKET, "dev", "signin-test-a-8bcd5db69-9z2c5", UID[0], false);
    cri::run_container(&machine, SOCKET, &web, "app");
    cri::run_container(&machine, SOCKET, &web, "log");
    let db = cri::run_pod(&machine, SOCKET, "prod", "db-0", UID[1], false);
    cri::run_container(&machine, SOCKET, &db, "postgres");
    let proxy = cri::run_pod(&machine, SOCKET, "kube-system", "kube-proxy-x", UID[2], true);
    cri::run_container(&machine, SOCKET, &proxy, "kube-proxy");
    (machine, vec![web, db, proxy])
}

fn pods() {
    let (machine, pods) = with_pods();
    let truths = cri::truths(&machine, SOCKET, "containerd");
    assert_eq!(truths.len(), 4);
    agree(&machine, &truths);
    let text = machine.podnet("list").text().to_owned();
    assert!(text.contains("\ndev/signin-test-a-8bcd5db69-9z2c5 "), "{text}");
    assert!(text.contains("share the host's namespace\n  kube-system/kube-proxy-x (containerd)\n"), "{text}");
    // The sandbox is known as such.
    let pid = cri::sandbox_pid(&machine, SOCKET, &pods[0].id);
    let trace = machine.podnet(&format!("trace {pid} --json")).trace();
    let sandboxes = |owner: &Value| -> Vec<Value> {
        let all = owner["containers"].as_array().unwrap().iter();
        all.filter(|c| c["sandbox"] == true).map(|c| c["id"].clone()).collect()
    };
    assert_eq!(sandboxes(&trace["source"]["owner"]), [pods[0].id.as_str()]);
    // From name to name, and the packets do go there.
    let trace = machine.podnet("trace dev/signin-test-a-8bcd5db69-9z2c5 --to prod/db-0 --json").trace();
    assert_eq!(trace["paths"][0]["verdict"]["action"], "delivered");
    let to = trace["paths"][0]["to"].as_str().unwrap();
    machine.sh(&format!("nsenter -t {pid} -n ping -c 1 -w 5 {to}"));
    let near = machine.podnet("trace dev/signin-test-a --json").refusal();
    assert_eq!(near["candidates"], serde_json::json!(["dev/signin-test-a-8bcd5db69-9z2c5"]));
    agree_with_daemons_down(&machine, &truths, "containerd");
}

fn dead_pods() {
    let (machine, pods) = with_pods();
    let pid = cri::sandbox_pid(&machine, SOCKET, &pods[0].id);
    let inode = machine.netns(pid);
    let veth = machine.json(&format!("nsenter -t {pid} -n ip -j link show eth0"))[0]["link_index"].as_u64().unwrap();
    let all = cri::truths(&machine, SOCKET, "containerd");
    let of_pod = all.iter().filter(|t| t.pod.as_ref().unwrap().2 == UID[0]).map(|t| t.pid).chain([pid]);
    let pids: Vec<String> = of_pod.map(|pid| pid.to_string()).collect();
    machine
        .sh(&format!("kill -KILL {0}; for pid in {0}; do while [ -e /proc/$pid ]; do :; done; done", pids.join(" ")));
    let row = |list: Vec<Value>| list.into_iter().find(|n| n["netns"] == inode).unwrap();
    // containerd removes the bundles when it hears of it; the mount, the pair and CNI's cache stay.
    eventually("only CNI still knows the pod", || row(list(&machine))["owner"]["runtime"] == "cni");
    let row = row(list(&machine));
    assert!(row["holders"].as_array().unwrap().iter().all(|h| h["type"] == "mount"), "{row:#}");
    assert_eq!(row["owner"]["pod"]["uid"], UID[0]);
    assert_eq!(row["owner"]["containers"][0]["id"], pods[0].id.as_str());
    let ifname = machine.sh(&format!("ip -o link | sed -n 's/^{veth}: \\([^@]*\\)@.*/\\1/p'"));
    for target in ["dev/signin-test-a-8bcd5db69-9z2c5", UID[0], ifname.trim(), &format!("netns:{inode}")] {
        let trace = machine.podnet(&format!("trace {target} -4 --json")).trace();
        assert_eq!(trace["source"]["netns"], inode, "{target}");
        assert_eq!(trace["source"]["netns_name"], "dev/signin-test-a-8bcd5db69-9z2c5", "{target}");
    }
}

fn containers_of_ctr() {
    let machine = machine();
    for (name, more) in [("web", ""), ("proxy", "--net-host"), ("plugged", "--cni")] {
        machine.sh(&format!(
            "ctr run -d --snapshotter native {more} docker.io/library/busy:latest {name} /bin/sleep 10000"
        ));
    }
    let tasks = machine.sh("ctr tasks ls | awk 'NR > 1 { print $1, $2 }'");
    let truth = |line: &str| {
        let (name, pid) = line.split_once(' ').unwrap();
        Truth {
            runtime: "containerd",
            id: name.to_owned(),
            name: name.to_owned(),
            pod: None,
            pid: pid.parse().unwrap(),
        }
    };
    let truths: Vec<Truth> = tasks.lines().map(truth).collect();
    assert_eq!(truths.len(), 3);
    agree(&machine, &truths);
    agree_with_daemons_down(&machine, &truths, "containerd");
}
