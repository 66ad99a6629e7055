//! Tunnels between two machines: ipip as Calico has it, gre with a key, sit, geneve; and wireguard, whose ends are secret.

use podnet::model::{Iptunnel, KindData, LlAddr, RecordedRoute, RouteType};

use super::super::machine::route;
use super::{At, HOST, Machine, Made, node, pod};

pub fn all() -> Vec<Made> {
    let both = |make: fn(&str, u8) -> Machine| vec![make("node-a", 1), make("node-b", 2)];
    vec![
        ("ipip", both(ipip)),
        ("gre", both(gre)),
        ("sit", both(sit)),
        ("geneve", both(geneve)),
        ("wireguard", vec![wireguard()]),
    ]
}

/// A node that knows the other one, and that one's number.
fn beside_another(hostname: &str, number: u8) -> (Machine, u8) {
    let (mut node, eth0) = node(hostname, number);
    let far = 3 - number;
    node.neigh(eth0, &format!("192.168.7.{far}"), LlAddr::mac([2, 0, 0, far, 0, 2]));
    (node, far)
}

fn iptunnel(local: Option<u8>, remote: Option<u8>, key: Option<u32>) -> KindData {
    let ip = |n: u8| [192, 168, 7, n].into();
    let (local, remote) = (local.map(ip), remote.map(ip));
    KindData::Iptunnel(Iptunnel { local, remote, okey: key, ikey: key, ..Iptunnel::default() })
}

fn tunnel(node: &mut Machine, ifname: &str, kind: &str, mtu: u32, number: u8, data: KindData) -> At {
    let at = node.link(HOST, ifname, kind, Some(data));
    let link = node.of(at);
    (link.mtu, link.noarp, link.operstate) = (Some(mtu), true, "UNKNOWN".to_owned());
    link.address = Some(LlAddr::new(&[192, 168, 7, number]));
    at
}

/// No bridge, a route a pod, proxy ARP for the gateway, and a tunnel that takes its endpoint from the route.
fn ipip(hostname: &str, number: u8) -> Machine {
    let (mut node, far) = beside_another(hostname, number);
    let tunl0 = tunnel(&mut node, "tunl0", "ipip", 1480, number, iptunnel(None, None, None));
    node.of(tunl0).address = Some(LlAddr::new(&[0; 4]));
    node.addr(tunl0, &format!("10.244.{number}.0/32"));
    node.route(HOST, &format!("10.244.{far}.0/26 via 192.168.7.{far} dev tunl0 onlink proto bird"));
    let dst = format!("10.244.{number}.0/26").parse().unwrap();
    let own = RecordedRoute { kind: RouteType::Blackhole, protocol: "bird".to_owned(), ..route(dst) };
    node.facts(HOST).routes.as_mut().unwrap().push(own);
    for (n, name) in [(5, "pod-a"), (6, "pod-b")] {
        let name = if number == 1 { name.to_owned() } else { name.replace("pod", "db") };
        let space = node.space(&name);
        let (cali, pod) = node.pair((HOST, &format!("cali{n}")), (space, "eth0"), "veth");
        node.of(cali).address = Some(LlAddr::mac([0xee; 6]));
        node.proxy_arp(cali);
        for end in [cali, pod] {
            node.of(end).mtu = Some(1480);
        }
        node.addr(pod, &format!("10.244.{number}.{n}/32"));
        node.route(space, "169.254.1.1 dev eth0");
        node.route(space, "default via 169.254.1.1 dev eth0");
        node.neigh(pod, "169.254.1.1", LlAddr::mac([0xee; 6]));
        node.route(HOST, &format!("10.244.{number}.{n} dev cali{n}"));
    }
    node
}

/// A network by a tunnel with a key that both have, and one by a tunnel whose keys differ.
fn gre(hostname: &str, number: u8) -> Machine {
    let (mut node, far) = beside_another(hostname, number);
    let keys = [("gre1", 5), ("gre2", 6 + u32::from(number))];
    for (n, (name, key)) in keys.into_iter().enumerate() {
        let gre = tunnel(&mut node, name, "gre", 1472, number, iptunnel(Some(number), Some(far), Some(key)));
        node.addr(gre, &format!("10.9{n}.0.{number}/30"));
        node.route(HOST, &format!("10.{far}.{n}.0/24 via 10.9{n}.0.{far} dev {name}"));
    }
    let (_, veth) = pod(&mut node, "pod-a", &format!("10.{number}.0.2/24"), &format!("10.{number}.0.1"));
    node.addr(veth, &format!("10.{number}.0.1/24"));
    node
}

/// IPv6 inside IPv4.
fn sit(hostname: &str, number: u8) -> Machine {
    let (mut node, far) = beside_another(hostname, number);
    let sit = tunnel(&mut node, "sit1", "sit", 1480, number, iptunnel(Some(number), Some(far), None));
    node.addr(sit, &format!("2001:db8:7::{number}/64"));
    let space = node.space("pod-a");
    let (veth, eth0) = node.pair((HOST, "veth-a"), (space, "eth0"), "veth");
    node.addr(veth, &format!("2001:db8:{number}::1/64"));
    node.addr(eth0, &format!("2001:db8:{number}::2/64"));
    node.route(space, &format!("::/0 via 2001:db8:{number}::1 dev eth0"));
    node.route(HOST, &format!("2001:db8:{far}::/64 dev sit1"));
    node
}

/// A segment over both machines.
fn geneve(hostname: &str, number: u8) -> Machine {
    let (mut node, far) = beside_another(hostname, number);
    let remote = Some([192, 168, 7, far].into());
    let data = KindData::Geneve { id: 7, remote, port: Some(6081), external: false };
    let geneve = node.link(HOST, "geneve7", "geneve", Some(data));
    node.of(geneve).operstate = "UNKNOWN".to_owned();
    node.of(geneve).mtu = Some(1450);
    let name = if number == 1 { "pod-a" } else { "pod-b" };
    let (space, veth) = pod(&mut node, name, &format!("10.3.0.{number}/24"), "10.3.0.254");
    let br0 = node.bridge(HOST, "br0", false, &[geneve, veth]);
    node.of(br0).mtu = Some(1450);
    let (pod, far_pod) = (node.named(space, "eth0"), LlAddr::mac([2, 0, 0, far, 1, 2]));
    node.neigh(pod, &format!("10.3.0.{far}"), far_pod);
    node.learned(br0, geneve, far_pod, None);
    node
}

fn wireguard() -> Machine {
    let (mut node, _) = node("node", 1);
    let wg0 = node.link(HOST, "wg0", "wireguard", None);
    let link = node.of(wg0);
    (link.mtu, link.noarp, link.operstate, link.address) = (Some(1420), true, "UNKNOWN".to_owned(), None);
    node.addr(wg0, "10.9.0.1/24");
    node.route(HOST, "10.8.0.0/16 dev wg0");
    let (_, veth) = pod(&mut node, "pod-a", "10.1.0.2/24", "10.1.0.1");
    node.addr(veth, "10.1.0.1/24");
    node
}
