//! What a link says of its kind and of its place as a port: IFLA_LINKINFO, whose inner attributes have other numbers for
//! each kind.

use std::net::IpAddr;

use super::nla::{self, ip_of, text_of, u16_of, u32_of};
use crate::model::{BondPort, BridgePort, IfIndex, KindData, Link};

/// Type of a frame with the outer tag of a provider.
const ETH_P_8021AD: u16 = 0x88a8;

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
            "gre" | "gretap" | "erspan" | "ip6gre" | "ip6gretap" | "ip6erspan" => self.gre(),
            // IFLA_IPTUN_LOCAL, _REMOTE, _LINK, _COLLECT_METADATA
            "ipip" | "sit" | "ip6tnl" => KindData::Iptunnel {
                local: self.ip(2),
                remote: self.ip(3),
                lower: self.index(1),
                okey: None,
                ikey: None,
                external: self.find(19).is_some(),
            },
            // IFLA_VTI_LOCAL, _REMOTE, _LINK, _OKEY, _IKEY
            "vti" | "vti6" => KindData::Iptunnel {
                local: self.ip(4),
                remote: self.ip(5),
                lower: self.index(1),
                okey: self.number(3).filter(|key| *key != 0).map(u32::from_be),
                ikey: self.number(2).filter(|key| *key != 0).map(u32::from_be),
                external: false,
            },
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
            // IFLA_BOND_MODE, _ACTIVE_SLAVE
            "bond" => KindData::Bond { mode: self.byte(1)?, active: self.index(2) },
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

    fn gre(&self) -> KindData {
        /// `GRE_KEY` in the flags, as it stands on the wire.
        const KEY: u16 = 0x2000;
        // IFLA_GRE_IFLAGS with _IKEY, _OFLAGS with _OKEY; _LOCAL, _REMOTE, _LINK, _COLLECT_METADATA
        let key = |flags: u16, key: u16| {
            self.short_be(flags).filter(|flags| flags & KEY != 0).and_then(|_| self.number(key)).map(u32::from_be)
        };
        KindData::Iptunnel {
            local: self.ip(6),
            remote: self.ip(7),
            lower: self.index(1),
            okey: key(3, 5),
            ikey: key(2, 4),
            external: self.find(18).is_some(),
        }
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
