//! Whole machines as runtimes leave them on disk, one for each way of running containers.

use super::tree::Tree;
use super::*;
use crate::model::Container;

pub(super) const A: &str = "12acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
pub(super) const B: &str = "34acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
pub(super) const C: &str = "56acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
pub(super) const UID: &str = "0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d";
const CONTAINERD: &str = "run/containerd/io.containerd.runtime.v2.task";
const STORAGE: &str = "run/containers/storage/overlay-containers";
const PODMAN: &str = "var/lib/containers/storage/overlay-containers";

pub(super) fn process(tree: &Tree, pid: u32) -> Option<Owner> {
    Owners::new(tree.path()).of_process(Pid(pid))
}

pub(super) fn namespace(tree: &Tree, pids: &[u32], mounts: &[&str]) -> Option<Owner> {
    let holder =
        |holder, pid, path: Option<&str>| Holder { holder, pid: Pid(pid), comm: None, path: path.map(str::to_owned) };
    let processes = pids.iter().map(|pid| holder(HolderType::Process, *pid, None));
    let mounts = mounts.iter().map(|path| holder(HolderType::Mount, 1, Some(path)));
    Owners::new(tree.path()).of_namespace(&processes.chain(mounts).collect::<Vec<_>>())
}

/// Runtime, name, pod's uid, and the containers by name.
pub(super) fn told(owner: Option<Owner>) -> (String, String, String, Vec<String>) {
    let owner = owner.unwrap();
    let called =
        |c: Container| c.name.unwrap_or_else(|| if c.sandbox { "sandbox".into() } else { record::short(&c.id) });
    let containers = owner.containers.into_iter().map(called).collect();
    (owner.runtime, owner.name, owner.pod.map(|p| p.uid).unwrap_or_default(), containers)
}

pub(super) fn expected(
    runtime: &str,
    name: &str,
    uid: &str,
    containers: &[&str],
) -> (String, String, String, Vec<String>) {
    (runtime.to_owned(), name.to_owned(), uid.to_owned(), containers.iter().map(|c| (*c).to_owned()).collect())
}

pub(super) fn cri(tree: &Tree, id: &str, container: Option<&str>, pid: u32) {
    let mut said = format!(
        r#""io.kubernetes.cri.container-type":"{}","io.kubernetes.cri.sandbox-id":"{A}",
           "io.kubernetes.cri.sandbox-name":"web","io.kubernetes.cri.sandbox-namespace":"dev",
           "io.kubernetes.cri.sandbox-uid":"{UID}","io.kubernetes.cri.image-name":"x\u0000\"""#,
        if container.is_some() { "container" } else { "sandbox" }
    );
    if let Some(name) = container {
        said.push_str(&format!(r#","io.kubernetes.cri.container-name":"{name}""#));
    }
    let spec = format!(
        r#"{{"ociVersion":"1.0.2-dev","process":{{"args":["/pause"],"env":["A=\"\\"]}},"hostname":"web",
            "annotations":{{{said}}},"linux":{{"namespaces":[{{"type":"pid"}},
            {{"type":"network","path":"/var/run/netns/cni-1"}}],"resources":{{"devices":[{{"allow":false}}]}}}}}}"#
    );
    tree.file(&format!("{CONTAINERD}/k8s.io/{id}/config.json"), &spec);
    tree.file(&format!("{CONTAINERD}/k8s.io/{id}/init.pid"), &pid.to_string());
}

#[test]
fn a_pod_in_containerd() {
    let tree = Tree::new("cri");
    let dir = format!("/kubepods/burstable/pod{UID}");
    for (pid, id, name) in [(10, A, None), (11, B, Some("app")), (12, C, Some("log"))] {
        cri(&tree, id, name, pid);
        tree.process(pid, "x", pid.into(), &format!("{dir}/{id}"), 7);
        tree.file(&format!("sys/fs/cgroup{dir}/{id}/cgroup.procs"), "");
    }
    tree.file(&format!("sys/fs/cgroup{dir}/cgroup.procs"), "");
    let pod = expected("containerd", "dev/web", UID, &["sandbox", "app", "log"]);
    assert_eq!(told(process(&tree, 11)), pod, "the cgroup of the pod shows the others");
    assert_eq!(told(process(&tree, 10)), pod);
    assert_eq!(told(namespace(&tree, &[10, 11, 12], &["/run/netns/cni-1"])), pod);
    let owner = process(&tree, 10).unwrap();
    assert_eq!(owner.containers.iter().map(|c| c.sandbox).collect::<Vec<_>>(), [true, false, false]);
    // Without the cgroup file system the sandbox is known from the container's own bundle.
    std::fs::remove_dir_all(tree.path().join("sys")).unwrap();
    assert_eq!(told(process(&tree, 11)), expected("containerd", "dev/web", UID, &["sandbox", "app"]));
}

#[test]
fn a_container_in_the_making_does_not_share_the_host() {
    let tree = Tree::new("making");
    cri(&tree, A, None, 10);
    std::fs::remove_file(tree.path().join(format!("{CONTAINERD}/k8s.io/{A}/init.pid"))).unwrap();
    tree.process(1, "systemd", 0, "/init.scope", 1);
    tree.process(10, "runc:[1:CHILD]", 1, &format!("/kubepods/burstable/pod{UID}/{A}"), 7);
    let mounts = |pid: u32, ns: u32| tree.link(&format!("proc/{pid}/ns/mnt"), &format!("mnt:[{ns}]"));
    let sharing = || Owners::new(tree.path()).among(&[Pid(10)]).into_iter().map(|o| o.name).collect::<Vec<_>>();
    mounts(1, 1);
    mounts(10, 1);
    assert_eq!(sharing(), [""; 0], "runc, before it has namespaces");
    std::fs::remove_file(tree.path().join("proc/10/ns/mnt")).unwrap();
    mounts(10, 2);
    assert_eq!(sharing(), ["dev/web"], "a pod of the host's network");
}

#[test]
fn a_pod_whose_state_may_not_be_read_is_known_by_its_logs() {
    let tree = Tree::new("logs");
    let slice = format!("/kubepods.slice/kubepods-pod{}.slice/cri-containerd-{A}.scope", UID.replace('-', "_"));
    tree.process(10, "x", 1, &slice, 7);
    assert_eq!(told(process(&tree, 10)), expected("containerd", &format!("pod {UID}"), "", &[&A[..12]]));
    tree.file(&format!("var/log/pods/dev_web_{UID}/app/0.log"), "");
    assert_eq!(told(process(&tree, 10)), expected("containerd", "dev/web", UID, &[&A[..12]]));
}

#[test]
fn a_dead_pod_is_known_by_the_cni_cache() {
    let tree = Tree::new("cni");
    let cached = |sandbox: &str, args: &str| {
        format!(
            r#"{{"kind":"cniCacheV1","containerId":"{A}","config":"e30=","ifName":"eth0","networkName":"podlab",{args}
                "result":{{"cniVersion":"0.4.0","interfaces":[{{"name":"cni0","mac":"aa:8d:2f:44:14:b0"}},
                {{"name":"veth1","mac":"aa:8d:2f:44:14:b1"}},{{"name":"eth0","mac":"c2:ce:72:1b:97:6e","sandbox":"{sandbox}"}}],
                "ips":[{{"version":"4","address":"172.22.0.2/16"}}]}}}}"#
        )
    };
    let args = format!(
        r#""cniArgs":[["K8S_POD_UID","{UID}"],["IgnoreUnknown","1"],["K8S_POD_NAME","web-0"],["K8S_POD_NAMESPACE","dev"]],"#
    );
    tree.file(&format!("var/lib/cni/results/podlab-{A}-eth0"), &cached("/var/run/netns/cni-1", &args));
    tree.file("var/lib/cni/results/broken", "{\"kind\":\"cniCacheV1\"");
    tree.file("var/lib/cni/results/odd", r#"{"kind":"cniCacheV1","cniArgs":[[],["K8S_POD_NAME"]],"result":null}"#);
    let dead = told(namespace(&tree, &[], &["/run/netns/cni-1"]));
    assert_eq!(dead, expected("cni", "dev/web-0", UID, &["sandbox"]));
    assert_eq!(told(namespace(&tree, &[], &["/run/netns/cni-2"])), expected("netns", "cni-2", "", &[]));
    assert_eq!(namespace(&tree, &[], &["/run/docker/netns/1-ab"]), None);
}

#[test]
fn containerd_without_kubernetes() {
    let tree = Tree::new("ctr");
    tree.file(&format!("{CONTAINERD}/default/web/config.json"), r#"{"annotations":null,"linux":{"namespaces":null}}"#);
    tree.process(10, "x", 1, "/default/web", 7);
    tree.process(11, "postgres", 1, "/default/other", 7);
    assert_eq!(told(process(&tree, 10)), expected("containerd", "web", "", &["web"]));
    assert_eq!(told(process(&tree, 11)), expected("process", "postgres", "", &[]), "only looks like it");
    let nerdctl = r#"{"annotations":{"nerdctl/name":"shop","nerdctl/namespace":"default"}}"#;
    tree.file(&format!("{CONTAINERD}/default/{A}/config.json"), nerdctl);
    tree.process(12, "x", 1, &format!("/system.slice/nerdctl-{A}.scope"), 7);
    assert_eq!(told(process(&tree, 12)), expected("containerd", "shop", "", &["shop"]));
}

fn crio(tree: &Tree, id: &str, container: &str, kind: &str) {
    let spec = format!(
        r#"{{"annotations":{{"io.container.manager":"cri-o","io.kubernetes.pod.name":"web","io.kubernetes.pod.namespace":"dev",
        "io.kubernetes.pod.uid":"{UID}","io.kubernetes.container.name":"{container}","spoofed.crio.io":"true",
        "io.kubernetes.cri-o.ContainerType":"{kind}","io.kubernetes.cri-o.SandboxID":"{A}"}}}}"#
    );
    tree.file(&format!("{STORAGE}/{id}/userdata/config.json"), &spec);
}

#[test]
fn a_pod_in_crio_has_no_sandbox_process() {
    let tree = Tree::new("crio");
    crio(&tree, A, "POD", "sandbox");
    crio(&tree, B, "app", "container");
    tree.process(11, "x", 1, &format!("/kubepods/burstable/pod{UID}/crio-{B}"), 7);
    assert_eq!(told(process(&tree, 11)), expected("cri-o", "dev/web", UID, &["sandbox", "app"]));
    assert_eq!(told(namespace(&tree, &[11], &[])), expected("cri-o", "dev/web", UID, &["sandbox", "app"]));
}

pub(super) fn docker(tree: &Tree, id: &str, name: &str, pid: u32, labels: &str, key: &str, mode: &str) {
    let dir = format!("var/lib/docker/containers/{id}");
    let config = format!(
        r#"{{"StreamConfig":{{}},"State":{{"Running":true,"Pid":{pid}}},"ID":"{id}","Config":{{"Image":"x","Labels":{{{labels}}}}},
        "NetworkSettings":{{"SandboxKey":"{key}","Networks":{{"bridge":{{"IPAddress":"172.17.0.2"}}}}}},"Name":"/{name}"}}"#
    );
    tree.file(&format!("{dir}/config.v2.json"), &config);
    tree.file(&format!("{dir}/hostconfig.json"), &format!(r#"{{"NetworkMode":"{mode}","PortBindings":{{}}}}"#));
    tree.process(pid, "x", pid.into(), &format!("/system.slice/docker-{id}.scope"), 7);
}

#[test]
fn docker_containers_and_those_that_join_them() {
    let tree = Tree::new("docker");
    docker(
        &tree,
        A,
        "web",
        10,
        r#""com.docker.compose.service":"web""#,
        "/var/run/docker/netns/0123456789ab",
        "default",
    );
    docker(&tree, B, "a-sidecar", 11, "", "", &format!("container:{A}"));
    assert_eq!(told(process(&tree, 10)), expected("docker", "web", "", &["web"]));
    let both = expected("docker", "web", "", &["web", "a-sidecar"]);
    assert_eq!(told(process(&tree, 11)), both);
    assert_eq!(told(namespace(&tree, &[11, 10], &[])), both);
    let mount = "/run/docker/netns/0123456789ab";
    assert_eq!(told(namespace(&tree, &[], &[mount])), expected("docker", "web", "", &["web"]));
}

#[test]
fn docker_keeps_its_data_elsewhere() {
    let tree = Tree::new("data-root");
    docker(&tree, A, "web", 10, "", "/var/run/docker/netns/0123456789ab", "default");
    std::fs::create_dir_all(tree.path().join("srv")).unwrap();
    std::fs::rename(tree.path().join("var/lib/docker"), tree.path().join("srv/docker")).unwrap();
    assert_eq!(told(process(&tree, 10)), expected("docker", &A[..12], "", &[&A[..12]]));
    tree.file("etc/docker/daemon.json", r#"{"data-root":"/srv/docker","hosts":["fd://"]}"#);
    assert_eq!(told(process(&tree, 10)), expected("docker", "web", "", &["web"]));
}

#[test]
fn a_kubelet_with_docker() {
    let tree = Tree::new("cri-dockerd");
    let labels = |kind: &str, name: &str| {
        format!(
            r#""io.kubernetes.pod.name":"web","io.kubernetes.pod.namespace":"dev","io.kubernetes.pod.uid":"{UID}",
            "io.kubernetes.docker.type":"{kind}","io.kubernetes.sandbox.id":"{A}","io.kubernetes.container.name":"{name}""#
        )
    };
    docker(
        &tree,
        A,
        &format!("k8s_POD_web_dev_{UID}_0"),
        10,
        &labels("podsandbox", "POD"),
        "/var/run/docker/netns/1",
        "none",
    );
    docker(
        &tree,
        B,
        &format!("k8s_app_web_dev_{UID}_0"),
        11,
        &labels("container", "app"),
        "",
        &format!("container:{A}"),
    );
    let owner = told(namespace(&tree, &[10, 11], &[]));
    assert_eq!(owner, expected("docker", "dev/web", UID, &[&format!("k8s_POD_web_dev_{UID}_0"), "app"]));
}

#[test]
fn podman_containers_and_pods() {
    let tree = Tree::new("podman");
    let list = format!(
        r#"[{{"id":"{A}","names":["0123456789ab-infra"],"image":"x","metadata":"{{\"name\":\"no\"}}"}},
            {{"id":"{B}","names":["web"],"flags":{{}}}},{{"id":"{C}"}}]"#
    );
    tree.file(&format!("{PODMAN}/containers.json"), &list);
    tree.process(10, "x", 1, &format!("/machine.slice/libpod-{B}.scope/container"), 7);
    assert_eq!(told(process(&tree, 10)), expected("podman", "web", "", &["web"]));
    tree.process(11, "x", 1, &format!("/libpod_parent/libpod-{C}"), 7);
    assert_eq!(told(process(&tree, 11)), expected("podman", &C[..12], "", &[&C[..12]]));

    // As podman 4.3 writes them: the infra container says nothing of a sandbox.
    let spec = |id: &str, hostname: &str, more: &str| {
        let said = format!(r#""io.container.manager":"libpod","io.kubernetes.cri-o.TTY":"false"{more}"#);
        let spec = format!(r#"{{"hostname":{hostname},"annotations":{{{said}}}}}"#);
        tree.file(&format!("{PODMAN}/{id}/userdata/config.json"), &spec);
    };
    spec(A, "\"shop\"", "");
    let more = format!(r#","io.kubernetes.cri-o.ContainerType":"container","io.kubernetes.cri-o.SandboxID":"{A}""#);
    spec(B, "null", &more);
    let pod = "99acb4c1aa8d2f4414b0c2ce72001b976e12acb4c1aa8d2f4414b0c2ce72001b";
    let slice = format!("/machine.slice/machine-libpod_pod_{pod}.slice");
    tree.process(12, "x", 1, &format!("{slice}/libpod-{B}.scope"), 7);
    tree.process(13, "x", 1, &format!("{slice}/libpod-{A}.scope"), 7);
    let shop = expected("podman", "shop", "", &["0123456789ab-infra", "web"]);
    assert_eq!(told(process(&tree, 12)), shop);
    assert_eq!(told(namespace(&tree, &[12, 13], &[])), shop);
}

#[test]
fn podman_containers_that_join_another() {
    let tree = Tree::new("join");
    let list = format!(r#"[{{"id":"{A}","names":["web"]}},{{"id":"{B}","names":["a-sidecar"]}}]"#);
    tree.file(&format!("{PODMAN}/containers.json"), &list);
    for (id, pid, path) in [(A, 10, "/run/netns/netns-1"), (B, 11, "/proc/10/ns/net")] {
        let spec = format!(r#"{{"linux":{{"namespaces":[{{"type":"network","path":"{path}"}}]}}}}"#);
        tree.file(&format!("{PODMAN}/{id}/userdata/config.json"), &spec);
        tree.file(&format!("{STORAGE}/{id}/userdata/pidfile"), &pid.to_string());
        tree.process(pid, "x", 1, &format!("/libpod_parent/libpod-{id}"), 7);
    }
    assert_eq!(told(process(&tree, 11)), expected("podman", "web", "", &["web", "a-sidecar"]));
    // The pid that it joined belongs to somebody else by now.
    std::fs::remove_file(tree.path().join("proc/10/ns/net")).unwrap();
    tree.link("proc/10/ns/net", "net:[8]");
    assert_eq!(told(process(&tree, 11)), expected("podman", "a-sidecar", "", &["a-sidecar"]));
}

#[test]
fn rootless_containers_are_named_by_those_who_wait_for_them_alone() {
    let tree = Tree::new("rootless");
    // An id of root's podman in the slice of a user: the user's own word, for which root's state is not read.
    tree.file(&format!("{PODMAN}/containers.json"), &format!(r#"[{{"id":"{A}","names":["root"]}}]"#));
    tree.process(10, "x", 2, &format!("/user.slice/user-1500.slice/user@1500.service/user.slice/libpod-{A}.scope"), 7);
    tree.process(9, "conmon", 1, "/user.slice/user-1500.slice/session-1.scope", 1);
    let owner = process(&tree, 10).unwrap();
    assert_eq!((owner.name.as_str(), owner.user), (&A[..12], Some(1500)));
    tree.file("proc/9/status", "Uid:\t1500\t1500\t1500\t1500\n");
    tree.file("proc/9/cmdline", &format!("conmon\0-c\0{A}\0-n\0mine\0"));
    tree.file("proc/10/stat", "10 (x) S 9 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 2 0 0\n");
    let owner = process(&tree, 10).unwrap();
    assert_eq!((owner.name.as_str(), owner.user, owner.runtime.as_str()), ("mine", Some(1500), "podman"));
    // And without an id in the cgroup.
    tree.file("proc/10/cgroup", "0::/user.slice/user-1500.slice/session-1.scope\n");
    assert_eq!(process(&tree, 10).unwrap().name, "mine");
}

#[test]
fn machines() {
    let tree = Tree::new("machines");
    tree.process(10, "init", 1, "/lxc.payload.web/init.scope", 7);
    assert_eq!(told(process(&tree, 10)), expected("lxc", "web", "", &["web"]));
    tree.process(11, "init", 1, "/machine.slice/machine-shop.scope/payload/init.scope", 7);
    assert_eq!(told(process(&tree, 11)), expected("nspawn", "shop", "", &["shop"]));
}

#[test]
fn mounts_are_believed_where_the_state_confirms_them() {
    let tree = Tree::new("mounts");
    docker(&tree, A, "web", 10, "", "/var/run/docker/netns/1", "default");
    let table = format!("1 2 8:1 /var/lib/docker/containers/{A}/hosts /etc/hosts rw - ext4 /dev/a rw\n");
    for (pid, netns) in [(20, 7), (21, 8)] {
        tree.process(pid, "moved", 5, "/", netns);
        tree.file(&format!("proc/{pid}/mountinfo"), &table);
    }
    assert_eq!(told(process(&tree, 20)), expected("docker", "web", "", &["web"]));
    assert_eq!(told(process(&tree, 21)), expected("process", "moved", "", &[]));
}

#[test]
fn without_a_runtime() {
    let tree = Tree::new("bare");
    tree.process(10, "younger", 9, "/", 7);
    tree.process(11, "older", 8, "/", 7);
    tree.process(12, "nginx", 8, "/system.slice/web.service", 8);
    assert_eq!(told(namespace(&tree, &[10, 11], &[])), expected("process", "older", "", &[]));
    assert_eq!(told(namespace(&tree, &[10, 11], &["/run/netns/blue"])), expected("netns", "blue", "", &[]));
    assert_eq!(told(namespace(&tree, &[12], &[])), expected("systemd", "web.service", "", &[]));
    assert_eq!(process(&tree, 4711), None);
    assert_eq!(namespace(&tree, &[], &[]), None);
}

#[test]
fn state_that_makes_no_sense_is_a_gap() {
    let tree = Tree::new("broken");
    tree.process(10, "x", 1, &format!("/docker/{A}"), 7);
    for text in ["", "{", "[]", "{\"Name\":7}", "null", "\u{0}", &"[".repeat(100_000)] {
        tree.file(&format!("var/lib/docker/containers/{A}/config.v2.json"), text);
        let mut owners = Owners::new(tree.path());
        let owner = owners.of_process(Pid(10)).unwrap();
        assert_eq!((owner.name.as_str(), owner.runtime.as_str()), (&A[..12], "docker"));
        assert_eq!(owners.take_gaps().len(), 1, "{text:.10}");
        assert!(owners.take_gaps().is_empty());
    }
}
