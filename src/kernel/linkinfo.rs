//! What a link says of its kind and of its place as a port: IFLA_LINKINFO, whose inner attributes have other numbers for
//! each kind.

use std::net::IpAddr;

use super::nla::{self, ip_of, text_of, u16_of, u32_of};
use crate::model::{BondPort, BridgePort, IfIndex, Iptunnel, KindData, Link};

/// Type of a frame with the outer tag of a provider.
const ETH_P_8021AD: u16 = 0x88a8;
/// Flag of a tunnel over IPv6 that routes with the mark of the packet inside (`IP6_TNL_F_USE_ORIG_FWMARK`).
const USE_ORIG_FWMARK: u32 = 0x20;

/// What a link says of its kind (`IFLA_LINKINFO`).
pub(super) fn decode(link: &mut Link, value: &[u8]) {
    const INFO_KIND: u16 = 1;
    const INFO_DATA: u16 = 2;
    const INFO_SLAVE_KIND: u16 = 4;
    const INFO_SLAVE_DATA: u16 = 5;
    for (number, info) in nla::each(value) {
        match number {
            INFO_KIND => link.kind = text_of(info),
            INFO_DATA => link.data = Data(info).of(&link.kind),
            INFO_SLAVE_KIND => link.port_kind = Some(text_of(info)),
            INFO_SLAVE_DATA => match link.port_kind.as_deref() {
                Some("bridge") => link.port = Some(bridge_port(info)),
                Some("bond") => link.bond_port = bond_port(info),
                _ => {}
            },
            _ => {}
        }
    }
}

/// The attributes of `IFLA_INFO_DATA`; their numbers mean something else for each kind.
struct Data<'a>(&'a [u8]);

impl<'a> Data<'a> {
    fn find(&self, wanted: u16) -> Option<&'a [u8]> {
        nla::find(self.0, wanted)
    }

    fn byte(&self, wanted: u16) -> Option<u8> {
        self.find(wanted)?.first().copied()
    }

    fn short(&self, wanted: u16) -> Option<u16> {
        u16_of(self.find(wanted)?)
    }

    fn short_be(&self, wanted: u16) -> Option<u16> {
        self.short(wanted).map(u16::from_be)
    }

    fn number(&self, wanted: u16) -> Option<u32> {
        u32_of(self.find(wanted)?)
    }

    fn index(&self, wanted: u16) -> Option<IfIndex> {
        self.number(wanted).filter(|index| *index != 0).map(IfIndex)
    }

    /// An address; none: it is not set.
    fn ip(&self, wanted: u16) -> Option<IpAddr> {
        ip_of(self.find(wanted)?)
    }

    fn of(&self, kind: &str) -> Option<KindData> {
        Some(match kind {
            "bridge" => self.bridge(),
            // IFLA_VLAN_ID, _PROTOCOL
            "vlan" => KindData::Vlan { id: self.short(1)?, ad: self.short_be(5) == Some(ETH_P_8021AD) },
            "vxlan" => self.vxlan()?,
            // IFLA_GENEVE_ID, _REMOTE, _REMOTE6, _PORT, _COLLECT_METADATA
            "geneve" => KindData::Geneve {
                id: self.number(1)?,
                remote: self.ip(2).or_else(|| self.ip(7)),
                port: self.short_be(5),
                external: self.find(6).is_some(),
            },
            "gre" | "gretap" | "erspan" | "ip6gre" | "ip6gretap" | "ip6erspan" => self.gre(kind),
            // IFLA_IPTUN_LOCAL, _REMOTE, _LINK, _COLLECT_METADATA, _FWMARK, _FLAGS, _ENCAP_TYPE, _ENCAP_FLAGS
            "ipip" | "sit" | "ip6tnl" => KindData::Iptunnel(Iptunnel {
                local: self.ip(2),
                remote: self.ip(3),
                lower: self.index(1),
                external: self.find(19).is_some(),
                fwmark: self.number(20).unwrap_or(0),
                inner_fwmark: self.flags6(kind, 8).is_some_and(|flags| flags & USE_ORIG_FWMARK != 0),
                options: self.limit(kind, 8) + self.over_udp(15, 16),
                ..Iptunnel::default()
            }),
            // IFLA_VTI_LOCAL, _REMOTE, _LINK, _OKEY, _IKEY
            "vti" | "vti6" => KindData::Iptunnel(Iptunnel {
                local: self.ip(4),
                remote: self.ip(5),
                lower: self.index(1),
                okey: self.number(3).filter(|key| *key != 0).map(u32::from_be),
                ikey: self.number(2).filter(|key| *key != 0).map(u32::from_be),
                ..Iptunnel::default()
            }),
            // IFLA_NETKIT_POLICY: NETKIT_PASS is 0; IFLA_NETKIT_MODE: NETKIT_L2 is 0
            "netkit" => {
                let policy = if self.number(3)? == 0 { "forward" } else { "blackhole" };
                KindData::Netkit { policy: policy.to_owned(), l2: self.number(5)? == 0 }
            }
            // IFLA_MACVLAN_MODE
            "macvlan" | "macvtap" => KindData::Macvlan { mode: macvlan_mode(self.number(1)?).to_owned() },
            // IFLA_IPVLAN_MODE, _FLAGS
            "ipvlan" | "ipvtap" => KindData::Ipvlan {
                mode: ["l2", "l3", "l3s"].get(self.short(1)? as usize).unwrap_or(&"unknown").to_string(),
                apart: match self.short(2) {
                    Some(flags) if flags & 1 != 0 => Some("private".to_owned()),
                    Some(flags) if flags & 2 != 0 => Some("vepa".to_owned()),
                    _ => None,
                },
            },
            // IFLA_VRF_TABLE
            "vrf" => KindData::Vrf { table: self.number(1)? },
            // IFLA_BOND_MODE, _ACTIVE_SLAVE, _ALL_SLAVES_ACTIVE
            "bond" => KindData::Bond {
                mode: self.byte(1)?,
                active: self.index(2),
                all_active: self.byte(17).map(|on| on != 0),
            },
            // IFLA_TUN_TYPE: IFF_TUN is 1, IFF_TAP is 2
            "tun" => KindData::Tun { tap: self.byte(3)? == 2 },
            _ => return None,
        })
    }

    fn bridge(&self) -> KindData {
        // IFLA_BR_STP_STATE, _VLAN_FILTERING, _VLAN_PROTOCOL, _NF_CALL_IPTABLES, _NF_CALL_IP6TABLES
        let on = |wanted: u16| self.byte(wanted).unwrap_or(0) != 0;
        KindData::Bridge {
            stp: self.number(5).unwrap_or(0) != 0,
            vlan_filtering: on(7),
            ad: self.short_be(8) == Some(ETH_P_8021AD),
            nf_call_iptables: on(36),
            nf_call_ip6tables: on(37),
        }
    }

    fn vxlan(&self) -> Option<KindData> {
        // IFLA_VXLAN_ID, _LOCAL, _LOCAL6, _GROUP, _GROUP6, _PORT, _LINK, _LEARNING, _COLLECT_METADATA
        Some(KindData::Vxlan {
            id: self.number(1)?,
            local: self.ip(4).or_else(|| self.ip(17)),
            remote: self.ip(2).or_else(|| self.ip(16)),
            port: self.short_be(15),
            lower: self.index(3),
            learning: self.byte(7).unwrap_or(0) != 0,
            external: self.byte(25).unwrap_or(0) != 0,
        })
    }

    /// `IP6_TNL_F_*`; under the same number tunnels over IPv4 have others.
    fn flags6(&self, kind: &str, wanted: u16) -> Option<u32> {
        self.number(wanted).filter(|_| kind.starts_with("ip6"))
    }

    /// Bytes of the header that limits tunnels in tunnels, which those over IPv6 add unless told not to.
    fn limit(&self, kind: &str, flags: u16) -> u32 {
        /// `IP6_TNL_F_IGN_ENCAP_LIMIT`
        const IGN_ENCAP_LIMIT: u32 = 1;
        if self.flags6(kind, flags).is_some_and(|flags| flags & IGN_ENCAP_LIMIT == 0) { 8 } else { 0 }
    }

    /// Bytes of the UDP header around the tunnel's own, and of GUE behind it.
    fn over_udp(&self, encap: u16, flags: u16) -> u32 {
        /// `TUNNEL_ENCAP_FLAG_REMCSUM`: GUE has a field for the checksum then.
        const REMCSUM: u16 = 4;
        // TUNNEL_ENCAP_FOU, TUNNEL_ENCAP_GUE
        match self.short(encap) {
            Some(1) => 8,
            Some(2) if self.short(flags).unwrap_or(0) & REMCSUM != 0 => 8 + 4 + 8,
            Some(2) => 8 + 4,
            _ => 0,
        }
    }

    fn gre(&self, kind: &str) -> KindData {
        /// `GRE_KEY` in the flags, as it stands on the wire.
        const KEY: u16 = 0x2000;
        // IFLA_GRE_IFLAGS with _IKEY, _OFLAGS with _OKEY; _LOCAL, _REMOTE, _LINK, _COLLECT_METADATA, _FWMARK, _FLAGS
        let key = |flags: u16, key: u16| {
            self.short_be(flags).filter(|flags| flags & KEY != 0).and_then(|_| self.number(key)).map(u32::from_be)
        };
        // GRE_CSUM, GRE_SEQ; ERSPAN has its own of these.
        let oflags = self.short_be(3).filter(|_| !kind.ends_with("erspan")).unwrap_or(0);
        let fields = 4 * (oflags & 0x9000).count_ones();
        KindData::Iptunnel(Iptunnel {
            local: self.ip(6),
            remote: self.ip(7),
            lower: self.index(1),
            okey: key(3, 5),
            ikey: key(2, 4),
            external: self.find(18).is_some(),
            fwmark: self.number(20).unwrap_or(0),
            inner_fwmark: self.flags6(kind, 13).is_some_and(|flags| flags & USE_ORIG_FWMARK != 0),
            options: fields + self.limit(kind, 13) + self.over_udp(14, 15),
        })
    }
}

fn macvlan_mode(mode: u32) -> &'static str {
    match mode {
        1 => "private",
        2 => "vepa",
        4 => "bridge",
        8 => "passthru",
        16 => "source",
        _ => "unknown",
    }
}

pub(super) fn bridge_port(value: &[u8]) -> BridgePort {
    const STATE: u16 = 1;
    const HAIRPIN: u16 = 4;
    const LEARNING: u16 = 8;
    const UNICAST_FLOOD: u16 = 9;
    const BCAST_FLOOD: u16 = 30;
    const ISOLATED: u16 = 33;
    const LOCKED: u16 = 39;
    let mut port = BridgePort {
        state: "unknown".to_owned(),
        learning: true,
        flood: true,
        bcast_flood: true,
        ..BridgePort::default()
    };
    for (number, value) in nla::each(value) {
        let byte = value.first().copied().unwrap_or(0);
        match number {
            STATE => {
                let words = ["disabled", "listening", "learning", "forwarding", "blocking"];
                port.state = words.get(byte as usize).unwrap_or(&"unknown").to_string();
            }
            HAIRPIN => port.hairpin = byte != 0,
            LEARNING => port.learning = byte != 0,
            UNICAST_FLOOD => port.flood = byte != 0,
            BCAST_FLOOD => port.bcast_flood = byte != 0,
            ISOLATED => port.isolated = byte != 0,
            LOCKED => port.locked = byte != 0,
            _ => {}
        }
    }
    port
}

fn bond_port(value: &[u8]) -> Option<BondPort> {
    let data = Data(value);
    // IFLA_BOND_SLAVE_STATE: BOND_STATE_ACTIVE is 0; _MII_STATUS: BOND_LINK_UP is 0
    Some(BondPort { active: data.byte(1)? == 0, up: data.byte(2)? == 0 })
}

#[cfg(test)]
mod tests {
    use super::decode;
    use crate::kernel::nla::attribute;
    use crate::model::{BondPort, IfIndex, Iptunnel, KindData, Link};

    /// The set bits that newer kernels put on attributes with inner ones.
    const NESTED: u16 = 0x8000;

    fn of(kind: &str, data: &[Vec<u8>]) -> Option<KindData> {
        let mut link = Link::default();
        let name = attribute(1, &[kind.as_bytes(), &[0]].concat());
        decode(&mut link, &[name, attribute(2 | NESTED, &data.concat())].concat());
        assert_eq!(link.kind, kind);
        link.data
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    fn short(kind: u16, value: u16) -> Vec<u8> {
        attribute(kind, &value.to_ne_bytes())
    }

    fn short_be(kind: u16, value: u16) -> Vec<u8> {
        attribute(kind, &value.to_be_bytes())
    }

    #[test]
    fn vlans_and_bridges_tell_their_tags() {
        let vlan = |protocol| of("vlan", &[short(1, 7), short_be(5, protocol)]);
        assert_eq!(vlan(0x8100), Some(KindData::Vlan { id: 7, ad: false }));
        assert_eq!(vlan(0x88a8), Some(KindData::Vlan { id: 7, ad: true }));
        let bridge = of("bridge", &[number(5, 1), attribute(7, &[1]), short_be(8, 0x88a8), attribute(36, &[1])]);
        let wanted = KindData::Bridge {
            stp: true,
            vlan_filtering: true,
            ad: true,
            nf_call_iptables: true,
            nf_call_ip6tables: false,
        };
        assert_eq!(bridge, Some(wanted));
    }

    #[test]
    fn tunnels_tell_their_ends() {
        let (ours, theirs) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        let ipip = of("ipip", &[number(1, 3), attribute(2, &ours), attribute(3, &theirs)]);
        let (local, remote, lower) = (Some(ours.into()), Some(theirs.into()), Some(IfIndex(3)));
        let ends =
            |okey, ikey| KindData::Iptunnel(Iptunnel { local, remote, lower, okey, ikey, ..Iptunnel::default() });
        assert_eq!(ipip, Some(ends(None, None)));
        // A key counts only where the flags say that there is one.
        let gre = |oflags| {
            let keys = [attribute(5, &7u32.to_be_bytes()), attribute(4, &8u32.to_be_bytes())];
            let flags = [short_be(3, oflags), short_be(2, 0)];
            of("gre", &[&[number(1, 3), attribute(6, &ours), attribute(7, &theirs)][..], &keys, &flags].concat())
        };
        assert_eq!(gre(0x2000), Some(ends(Some(7), None)));
        assert_eq!(gre(0), Some(ends(None, None)));
        // Calico's: neither address, no link.
        let tunl0 = of("ipip", &[number(1, 0), attribute(2, &[0; 4]), attribute(3, &[0; 4])]);
        let any = |fwmark, inner_fwmark| KindData::Iptunnel(Iptunnel { fwmark, inner_fwmark, ..Iptunnel::default() });
        assert_eq!(tunl0, Some(any(0, false)));
        // Over IPv4 the same number has other flags, half as long.
        assert_eq!(of("sit", &[short_be(8, 0x20), number(20, 5)]), Some(any(5, false)));
        assert_eq!(of("ip6tnl", &[number(8, 0x21), number(20, 0)]), Some(any(0, true)));
        assert_eq!(of("gre", &[number(20, 5)]), Some(any(5, false)));
        assert_eq!(of("ip6gretap", &[number(13, 0x21), number(20, 0)]), Some(any(0, true)));
        let geneve = of("geneve", &[number(1, 9), attribute(7, &[0xfd; 16]), short_be(5, 6081), attribute(6, &[])]);
        let wanted = KindData::Geneve { id: 9, remote: Some([0xfd; 16].into()), port: Some(6081), external: true };
        assert_eq!(geneve, Some(wanted));
    }

    #[test]
    fn tunnels_tell_what_their_options_add() {
        let added = |kind, data: &[Vec<u8>]| match of(kind, data) {
            Some(KindData::Iptunnel(tunnel)) => tunnel.options,
            other => panic!("{other:?}"),
        };
        // As `ip link add` makes them, and with "encaplimit none".
        assert_eq!(added("ip6tnl", &[number(8, 0), attribute(6, &[4])]), 8);
        assert_eq!(added("ip6tnl", &[number(8, 1), attribute(6, &[0])]), 0);
        assert_eq!(added("ip6gretap", &[number(13, 0), short_be(3, 0)]), 8);
        assert_eq!(added("ipip", &[short_be(8, 0)]), 0);
        // A key is counted where it is known; with "ocsum oseq" there are two more fields.
        assert_eq!(added("gre", &[short_be(3, 0x2000)]), 0);
        assert_eq!(added("gre", &[short_be(3, 0xb000)]), 8);
        assert_eq!(added("ip6gre", &[number(13, 0), short_be(3, 0x1000)]), 12);
        assert_eq!(added("erspan", &[short_be(3, 0x1000)]), 0);
        assert_eq!(added("sit", &[short(15, 1)]), 8);
        assert_eq!(added("gre", &[short(14, 2), short(15, 0), short_be(3, 0)]), 12);
        assert_eq!(added("ipip", &[short(15, 2), short(16, 4)]), 20);
    }

    #[test]
    fn netkit_ipvlan_and_bond_tell_what_decides() {
        let netkit =
            |policy, mode| of("netkit", &[attribute(2, &[1]), number(3, policy), number(4, 0), number(5, mode)]);
        assert_eq!(netkit(0, 1), Some(KindData::Netkit { policy: "forward".into(), l2: false }));
        assert_eq!(netkit(2, 0), Some(KindData::Netkit { policy: "blackhole".into(), l2: true }));
        let ipvlan = |mode, flags| of("ipvlan", &[short(1, mode), short(2, flags)]);
        assert_eq!(ipvlan(1, 0), Some(KindData::Ipvlan { mode: "l3".into(), apart: None }));
        assert_eq!(ipvlan(0, 2), Some(KindData::Ipvlan { mode: "l2".into(), apart: Some("vepa".into()) }));
        assert_eq!(
            of("bond", &[attribute(1, &[1]), number(2, 4), attribute(17, &[1])]),
            Some(KindData::Bond { mode: 1, active: Some(IfIndex(4)), all_active: Some(true) })
        );
        let mut link = Link::default();
        let state = [attribute(1, &[1]), attribute(2, &[0])].concat();
        decode(&mut link, &[attribute(4, b"bond\0"), attribute(5 | NESTED, &state)].concat());
        assert_eq!(link.bond_port, Some(BondPort { active: false, up: true }));
    }
}
