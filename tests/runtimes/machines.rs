//! Containers that are whole machines: LXC's and systemd-nspawn's.

use crate::agree::{Truth, agree};
use crate::machine::Machine;
use crate::node::eventually;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![test!(lxc, "lxc-start", "lxc-info"), test!(nspawn, "systemd-nspawn")]
}

fn lxc() {
    let machine = Machine::new();
    machine.sh("ip link add lxcbr0 type bridge; ip link set lxcbr0 up");
    for (name, network) in [("web", "veth"), ("shop-1", "veth"), ("offline", "empty"), ("proxy", "none")] {
        let link = if network == "veth" { "lxc.net.0.link = lxcbr0\nlxc.net.0.flags = up\n" } else { "" };
        machine.file(
            &format!("/var/lib/lxc/{name}/config"),
            &format!(
                "lxc.uts.name = {name}\nlxc.rootfs.path = dir:/var/lib/lxc/{name}/rootfs\nlxc.net.0.type = {network}\n{link}\
                 lxc.apparmor.profile = unconfined\nlxc.mount.auto = proc:mixed\nlxc.init.cmd = /bin/sleep 10000\n"
            ),
        );
        let root = format!("/var/lib/lxc/{name}/rootfs");
        machine.sh(&format!("mkdir -p {root}/dev {root}/proc {root}/sys {root}/etc; cp -a /run/image/bin {root}/"));
        machine.sh(&format!("lxc-start -n {name} -l info -o /run/lxc.log || {{ cat /run/lxc.log; false; }}"));
    }
    let truth = |name: &str| Truth {
        runtime: "lxc",
        id: name.to_owned(),
        name: name.to_owned(),
        pod: None,
        pid: machine.sh(&format!("lxc-info -n {name} -p -H")).trim().parse().unwrap(),
    };
    agree(&machine, &["web", "shop-1", "offline", "proxy"].map(truth));
}

fn nspawn() {
    let machine = Machine::new();
    machine.sh("ip link add br0 type bridge; ip link set br0 up");
    let truth = |(name, network): (&str, &str)| {
        let root = format!("/var/lib/machines/{name}");
        machine.sh(&format!(
            "mkdir -p {root}/etc {root}/usr; cp -a /run/image/bin {root}/; touch {root}/etc/os-release
             ( exec systemd-nspawn --keep-unit --register=no --machine={name} -D {root} {network} /bin/sleep 2000{0} \
                 >/run/{name}.log 2>&1 </dev/null ) &",
            name.len()
        ));
        let find = format!("pgrep -f '^/bin/sleep 2000{}'", name.len());
        eventually(&format!("{name} runs"), || machine.succeeds(&find));
        let pid = machine.sh(&find).trim().parse().unwrap();
        Truth { runtime: "nspawn", id: name.to_owned(), name: name.to_owned(), pod: None, pid }
    };
    let truths = [("shop", "--network-veth"), ("web-1", "--network-bridge=br0"), ("proxy01", "")].map(truth);
    agree(&machine, &truths);
}
