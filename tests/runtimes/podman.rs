//! Podman: containers, pods, those that join another one's namespace, those on the host's network, and those of an
//! ordinary user.

use serde_json::Value;

use crate::agree::{Truth, agree, list};
use crate::machine::Machine;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(containers, "podman", "runc", "conmon", "netavark"),
        test!(pods, "podman", "runc", "conmon", "netavark"),
        test!(containers_of_a_user, "podman", "crun", "conmon", "setpriv"),
    ]
}

const SETTINGS: &str = r#"
    mkdir -p /etc/containers
    echo '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
    printf '[containers]\ndefault_sysctls=[]\n[engine]\ncgroup_manager="cgroupfs"\nruntime="runc"\nevents_logger="file"\n' \
        >/etc/containers/containers.conf
    printf '[storage]\ndriver="vfs"\nrunroot="/run/containers/storage"\ngraphroot="/var/lib/containers/storage"\n' \
        >/etc/containers/storage.conf
"#;

fn machine() -> Machine {
    let machine = Machine::new();
    machine.sh(SETTINGS);
    machine.sh("tar -C /run/image -c . | podman import - busy");
    machine
}

/// All running containers but those that only hold a pod's namespace, as `podman inspect` tells of them.
fn truths(machine: &Machine) -> Vec<Truth> {
    let all = machine.json("podman inspect $(podman ps -q)");
    let works = |c: &&Value| c["IsInfra"] != true;
    let truth = |container: &Value| Truth {
        runtime: "podman",
        id: container["Id"].as_str().unwrap().to_owned(),
        name: container["Name"].as_str().unwrap().to_owned(),
        pod: None,
        pid: container["State"]["Pid"].as_u64().unwrap(),
    };
    all.as_array().unwrap().iter().filter(works).map(truth).collect()
}

fn containers() {
    let machine = machine();
    machine.sh("podman run -d --name web busy /bin/sleep 10000
         podman run -d --name sidecar --network container:web busy /bin/sleep 10000
         podman run -d --name proxy --network host busy /bin/sleep 10000
         podman run -d --name offline --network none busy /bin/sleep 10000");
    let truths = truths(&machine);
    assert_eq!(truths.len(), 4);
    agree(&machine, &truths);
    // The one that the other joined gives the name.
    assert_eq!(list(&machine).iter().filter(|n| n["name"] == "web").count(), 1);
}

fn pods() {
    let machine = machine();
    machine.sh("podman pod create --infra-image busy --infra-command '/bin/sleep 10000' --name shop
         podman run -d --pod shop --name app busy /bin/sleep 10000
         podman run -d --pod shop --name log busy /bin/sleep 10000");
    let truths = truths(&machine);
    assert_eq!(truths.len(), 2);
    agree(&machine, &truths);
    let namespaces = list(&machine);
    let row = namespaces.iter().find(|n| n["netns"] == machine.netns(truths[0].pid)).unwrap();
    assert_eq!(row["name"], "shop");
    assert_eq!(row["owner"]["containers"].as_array().unwrap().iter().filter(|c| c["sandbox"] == true).count(), 1);
    for target in ["shop", "pod:shop"] {
        let trace = machine.podnet(&format!("trace {target} -4 --json")).trace();
        assert_eq!(trace["source"]["netns"], row["netns"]);
    }
}

fn containers_of_a_user() {
    let machine = Machine::new();
    machine.sh(SETTINGS);
    // One user is enough for this image, so that nobody needs a range of users.
    machine.sh(
        "printf '[storage]\\ndriver=\"vfs\"\\n[storage.options]\\nignore_chown_errors=\"true\"\\n' >/etc/containers/storage.conf
         mkdir -p /run/user/1500 /run/home/mine; chown 1500:1500 /run/user/1500 /run/home/mine; chmod 755 /run /run/home
         cp /etc/passwd /run/passwd; echo 'mine:x:1500:1500::/run/home/mine:/bin/sh' >>/run/passwd
         mount --bind /run/passwd /etc/passwd; tar -C /run/image -cf /run/image.tar .",
    );
    let mine = |line: &str| {
        machine.sh(&format!(
            "cd /run/home/mine; exec setpriv --reuid 1500 --regid 1500 --clear-groups env HOME=/run/home/mine \
             XDG_RUNTIME_DIR=/run/user/1500 podman --cgroup-manager cgroupfs {line}"
        ))
    };
    mine("import /run/image.tar busy");
    mine("--runtime crun run -d --cgroups disabled --name web --network none busy /bin/sleep 10000");
    let all: Value = serde_json::from_str(&mine("inspect web")).unwrap();
    let pid = all[0]["State"]["Pid"].as_u64().unwrap();
    let namespaces = list(&machine);
    let row = namespaces.iter().find(|n| n["netns"] == machine.netns(pid)).unwrap();
    assert_eq!(row["owner"]["name"], "web", "{row:#}");
    assert_eq!(row["owner"]["user"], 1500);
    assert_eq!(row["owner"]["containers"][0]["id"], all[0]["Id"]);
    assert_eq!(machine.podnet("trace web --json").trace()["source"]["netns"], row["netns"]);
}
