//! What is inside of a container, or pretends to be: named under it, whatever it says, and never in anybody's place.

#![cfg(test)]

use super::tests::{A, B, C, UID, cri, docker, expected, namespace, process, told};
use super::tree::Tree;

/// A machine with the container `dind`, pids 10 and 30, and what an engine inside of it sees.
fn nested(name: &str) -> (Tree, Tree) {
    let (tree, inside) = (Tree::new(name), Tree::new(&format!("{name}-inside")));
    docker(&tree, A, "dind", 10, "", "/var/run/docker/netns/1", "default");
    tree.file("proc/10/cgroup", &format!("0::/docker/{A}\n"));
    tree.process(30, "containerd-shim", 40, &format!("/docker/{A}"), 7);
    tree.link("proc/1/ns/mnt", "mnt:[1]");
    tree.link("proc/30/ns/mnt", "mnt:[2]");
    tree.link("proc/30/root", inside.path().to_str().unwrap());
    (tree, inside)
}

/// A process of a container inside of `dind`.
fn inner(tree: &Tree, pid: u32, id: &str, netns: u32) {
    tree.process(pid, "nginx", 50, &format!("/docker/{A}/docker/{id}"), netns);
    tree.file(&format!("proc/{pid}/stat"), &format!("{pid} (nginx) S 30 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 50 0 0\n"));
}

#[test]
fn what_is_made_inside_of_a_container_is_named_under_it() {
    let (tree, inside) = nested("nested");
    docker(&tree, B, "web", 11, "", "/var/run/docker/netns/2", "default");
    inner(&tree, 20, B, 8);
    let short = &B[..12];
    // Never by the name that this machine's own engine has for that id.
    assert_eq!(told(process(&tree, 20)), expected("docker", &format!("dind/{short}"), "", &[short]));
    docker(&inside, B, "shop", 1, "", "/var/run/docker/netns/2", "default");
    assert_eq!(told(process(&tree, 20)), expected("docker", "dind/shop", "", &["dind/shop"]));
    assert_eq!(process(&tree, 20).unwrap().within.as_deref(), Some("dind"));
    inner(&tree, 25, C, 8);
    docker(&inside, C, "a-sidecar", 2, "", "", &format!("container:{B}"));
    let both = expected("docker", "dind/shop", "", &["dind/shop", "dind/a-sidecar"]);
    assert_eq!(told(namespace(&tree, &[20, 25], &[])), both);
    tree.process(21, "sleep", 30, &format!("/docker/{A}"), 9);
    assert_eq!(told(process(&tree, 21)), expected("docker", "dind/sleep", "", &[]));
    assert_eq!(told(namespace(&tree, &[21], &[])), expected("docker", "dind/sleep", "", &[]));
    // With the network of the outer one.
    inner(&tree, 22, B, 7);
    assert_eq!(told(process(&tree, 22)).1, "dind");
    // A process of one that entered the namespace of the other, and is older.
    tree.process(23, "tcpdump", 1, &format!("/docker/{A}"), 7);
    assert_eq!(told(namespace(&tree, &[23, 11], &[])).1, "web");
}

#[test]
fn pods_inside_of_a_container() {
    let (tree, inside) = nested("kind");
    let dir =
        format!("/docker/{A}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{}.slice", UID.replace('-', "_"));
    for (pid, id, name) in [(20, C, None), (21, B, Some("app"))] {
        cri(&inside, id, name, 1);
        inner(&tree, pid, id, 8);
        tree.file(&format!("proc/{pid}/cgroup"), &format!("0::{dir}/cri-containerd-{id}.scope\n"));
    }
    let owner = namespace(&tree, &[20, 21], &[]).unwrap();
    // A pod inside is no pod of this machine.
    assert_eq!(owner.pod, None);
    assert_eq!(told(Some(owner)), expected("containerd", "dind/dev/web", "", &["sandbox", "dind/app"]));
}

#[test]
fn engine_that_puts_its_containers_beside_its_own() {
    let (tree, inside) = nested("beside");
    docker(&inside, B, "shop", 1, "", "/var/run/docker/netns/2", "default");
    inner(&tree, 20, B, 8);
    tree.file("proc/20/cgroup", &format!("0::/docker/{B}\n"));
    assert_eq!(told(process(&tree, 20)), expected("docker", "dind/shop", "", &["dind/shop"]));
    assert_eq!(told(namespace(&tree, &[20], &[])), expected("docker", "dind/shop", "", &["dind/shop"]));
}

#[test]
fn files_inside_of_a_container_are_not_trusted() {
    let (tree, inside) = nested("hostile");
    docker(&tree, C, "victim", 12, "", "/var/run/docker/netns/3", "default");
    inner(&tree, 20, B, 8);
    let short = &B[..12];
    let config = |text: &str| inside.file(&format!("var/lib/docker/containers/{B}/config.v2.json"), text);
    let place = inside.path().join(format!("var/lib/docker/containers/{B}/config.v2.json"));
    let name = || process(&tree, 20).unwrap().name;
    for text in ["", "{", "null", "{\"Name\":[]}", &"[".repeat(1_000_000), &"{\"Name\":".repeat(100_000)] {
        config(text);
        assert_eq!(name(), format!("dind/{short}"), "{text:.20}");
    }
    // Names that shall look like somebody else's, and one without end.
    for bad in ["../victim", "a/b", &"x".repeat(100_000)] {
        config(&format!(r#"{{"Name":"/{bad}"}}"#));
        assert_eq!(name(), format!("dind/{short}"), "{bad:.20}");
    }
    config(
        r#"{"Name":"/\u001b[31m\n","Config":{"Labels":{"io.kubernetes.pod.name":"web","io.kubernetes.pod.namespace":"dev",
        "io.kubernetes.pod.uid":"1"}}}"#,
    );
    let owner = process(&tree, 20).unwrap();
    assert_eq!((owner.pod, owner.name.as_str()), (None, "dind/dev/web"));
    config("{\"Name\":\"/\\u001b[31m\"}");
    assert_eq!(name(), "dind/\u{1b}[31m", "whoever writes text makes it harmless");
    // Links that lead out of the container, to the files of this machine.
    let victim = tree.path().join(format!("var/lib/docker/containers/{C}/config.v2.json"));
    for target in [victim.clone(), std::path::Path::new("/proc/self/root").join(victim.strip_prefix("/").unwrap())] {
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink(&target, &place).unwrap();
        assert_eq!(name(), format!("dind/{short}"), "{}", target.display());
    }
    std::fs::remove_file(&place).unwrap();
    nix::unistd::mkfifo(&place, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert_eq!(name(), format!("dind/{short}"));
    std::fs::remove_file(&place).unwrap();
    std::fs::File::create(&place).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(name(), format!("dind/{short}"));
    // No file system of its own: its root would be that of the machine, and ids in there could be anybody's.
    std::fs::remove_file(tree.path().join("proc/30/ns/mnt")).unwrap();
    tree.link("proc/30/ns/mnt", "mnt:[1]");
    std::fs::remove_file(&place).unwrap();
    config(r#"{"Name":"/shop"}"#);
    assert_eq!(name(), format!("dind/{short}"));
}

#[test]
fn nobody_poses_as_the_container_of_another() {
    let tree = Tree::new("pose");
    docker(&tree, A, "web", 10, "", "/var/run/docker/netns/1", "default");
    // A cgroup of the same name, made somewhere else by somebody who may.
    for dir in ["/delegated/docker", "/elsewhere", "/kubepods/burstable/pod0f6e4f54-2b29-4b6f-9e0e-5b3f5d1b2c3d"] {
        tree.process(20, "evil", 30, &format!("{dir}/{A}"), 8);
        for owner in [process(&tree, 20), namespace(&tree, &[20], &[])] {
            let owner = owner.unwrap();
            assert!(!owner.name.contains("web") && owner.containers.iter().all(|c| c.id != A), "{dir}: {owner:?}");
        }
        let _ = std::fs::remove_file(tree.path().join("proc/20/ns/net"));
    }
    // A user's conmon that says the name of a pod.
    tree.process(9, "conmon", 1, "/", 1);
    tree.file("proc/9/status", "Uid:\t1500\t1500\t1500\t1500\n");
    tree.file("proc/9/cmdline", &format!("conmon\0-c\0{B}\0-n\0dev/web\0"));
    tree.process(21, "sleep", 30, "/", 9);
    tree.file("proc/21/stat", "21 (sleep) S 9 0 0 0 0 0 0 0 0 0 0 0 0 0 20 0 1 0 50 0 0\n");
    assert_eq!(process(&tree, 21).unwrap().name, B[..12]);
}
