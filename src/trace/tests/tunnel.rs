//! Walks through tunnels: the endpoint, the room that is left, and the other end.

#![cfg(test)]

use super::*;

#[test]
fn ipip_takes_the_gateway_of_the_route_as_its_remote() {
    let (mut net, a, ends_) = tunnel("ipip", |_| iptunnel(None, None));
    ends_.iter().for_each(|end| net.of(*end).mtu = Some(1500));
    let traced = net.trace(a, "10.244.1.1");
    ends(&traced, Action::Delivered, &OVER_TUNNEL);
    let encap = traced.paths[0].hops[0].encap.as_ref().unwrap();
    assert_eq!((encap.remote.to_string(), encap.overhead, encap.by.as_str()), ("10.1.0.2".into(), 20, "gateway"));
    // 1480 bytes are left in 1500, and the tunnel's link promises more.
    assert_eq!(ids(&traced), ["mtu-tunnel"]);
}

#[test]
fn options_of_a_tunnel_take_their_part() {
    let remote = Some("10.1.0.2".parse().unwrap());
    let with_options = |options| KindData::Iptunnel(Iptunnel { remote, options, ..Iptunnel::default() });
    for (options, said) in [(0, &[][..]), (8, &["mtu-tunnel"])] {
        let (mut net, a, ends_) = tunnel("ipip", |_| iptunnel(None, None));
        net.of(ends_[0]).data = Some(with_options(options));
        ends_.iter().for_each(|end| net.of(*end).mtu = Some(1480));
        let traced = net.trace(a, "10.244.1.1");
        assert_eq!(ids(&traced), said);
        assert_eq!(traced.paths[0].hops[0].encap.as_ref().unwrap().overhead, 20 + options);
    }
}

#[test]
fn sit_without_a_remote_takes_the_address_inside_the_address() {
    // 6to4, and IPv4-compatible addresses of the destination and of a gateway.
    let ways = [("2002:a01:2::1", None), ("::10.1.0.2", None), ("2001:db8::1", Some("::10.1.0.2"))];
    for (to, gateway) in ways {
        let (mut net, a, ends_) = tunnel("sit", |_| iptunnel(None, None));
        net.route(ends_[0], &format!("{to}/128"), gateway);
        net.addr(ends_[1], &format!("{to}/128"));
        let traced = net.trace(a, to);
        ends(&traced, Action::Delivered, &OVER_TUNNEL);
        assert_eq!(traced.paths[0].hops[0].encap.as_ref().unwrap().remote.to_string(), "10.1.0.2");
    }
    // Another prefix with IPv4 addresses in it may be set.
    let (mut net, a, ends_) = tunnel("sit", |_| iptunnel(None, None));
    net.route(ends_[0], "2001:db8::/32", None);
    ends(&net.trace(a, "2001:db8::1"), Action::Unknown, &["a/tun0 route"]);
}

#[test]
fn gre_ends_only_where_remote_and_key_fit() {
    let remotes = ["10.1.0.2", "10.1.0.1"];
    let (mut net, a, ends_) = tunnel("gre", |n| iptunnel(Some(remotes[n]), Some(7)));
    let traced = net.trace(a, "10.244.1.1");
    ends(&traced, Action::Delivered, &OVER_TUNNEL);
    assert_eq!(traced.paths[0].hops[0].encap.as_ref().unwrap().overhead, 28);
    net.of(ends_[1]).data = Some(iptunnel(Some("10.1.0.1"), Some(8)));
    assert_eq!(ids(&net.trace(a, "10.244.1.1")), ["tunnel-end-absent"]);
    net.of(ends_[1]).data = Some(iptunnel(Some("10.1.0.77"), Some(7)));
    assert_eq!(ids(&net.trace(a, "10.244.1.1")), ["tunnel-end-absent"]);
    net.of(ends_[1]).data = Some(iptunnel(None, Some(7)));
    ends(&net.trace(a, "10.244.1.1"), Action::Delivered, &OVER_TUNNEL);
    net.of(ends_[1]).up = false;
    assert_eq!(ids(&net.trace(a, "10.244.1.1")), ["tunnel-end-absent"]);
}

#[test]
fn geneve_ends_where_the_number_fits() {
    let geneve = |id: u32, remote: &str| KindData::Geneve {
        id,
        remote: Some(remote.parse().unwrap()),
        port: Some(6081),
        external: false,
    };
    let (mut net, a, ends_) = tunnel("geneve", |n| geneve(3, ["10.1.0.2", "10.1.0.1"][n]));
    // It carries frames: the address inside must be that of the other end.
    net.knows(ends_[0], "10.1.0.2", ends_[1]);
    let traced = net.trace(a, "10.244.1.1");
    ends(&traced, Action::Delivered, &OVER_TUNNEL);
    assert_eq!(traced.paths[0].hops[0].encap.as_ref().unwrap().overhead, 50);
    net.of(ends_[1]).data = Some(geneve(4, "10.1.0.1"));
    assert_eq!(ids(&net.trace(a, "10.244.1.1")), ["tunnel-end-absent"]);
    // The endpoint of each packet comes from elsewhere.
    net.of(ends_[0]).data = Some(KindData::Geneve { id: 0, remote: None, port: None, external: true });
    assert_eq!(net.trace(a, "10.244.1.1").paths[0].verdict.action, Action::Unknown);
}
