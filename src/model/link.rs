//! A link: what `ip link` and `ip addr` show of it.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{IfIndex, LlAddr, Nsid};

/// An address of a link with its prefix length, written `172.22.0.253/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkAddr {
    /// The link's own address (`IFA_LOCAL`; `IFA_ADDRESS` for IPv6).
    pub local: IpAddr,
    /// Length of the prefix (`ifa_prefixlen`).
    pub prefix_len: u8,
    /// Link scope (`ifa_scope`): never leaves the segment.
    pub link_scope: bool,
    /// How far it is valid (`ifa_scope`): 0 anywhere, 253 on the link, 254 here.
    pub scope: u8,
    /// Address of the other side of a point-to-point link (`IFA_ADDRESS`), where it is not the own one.
    pub peer: Option<IpAddr>,
    /// `IFA_F_*` (`IFA_FLAGS`): secondary, deprecated, tentative, ...
    pub flags: u32,
}

impl LinkAddr {
    /// An address of which no more than this is known.
    pub fn new(local: IpAddr, prefix_len: u8, link_scope: bool) -> Self {
        let scope = if link_scope { 253 } else { 0 };
        LinkAddr { local, prefix_len, link_scope, scope, peer: None, flags: 0 }
    }

    /// It is known that nobody else has it, or taken to be so: IPv6 asks the segment before (`IFA_F_TENTATIVE`).
    pub fn is_usable(&self) -> bool {
        const OPTIMISTIC: u32 = 0x04;
        const TENTATIVE: u32 = 0x40;
        self.flags & TENTATIVE == 0 || self.flags & OPTIMISTIC != 0
    }
}

/// All of an address, for recordings: what is shown of it elsewhere is less.
mod whole {
    use super::*;

    #[derive(Serialize, Deserialize, JsonSchema)]
    pub(super) struct Whole {
        /// The link's own address (`IFA_LOCAL`; `IFA_ADDRESS` for IPv6).
        local: IpAddr,
        /// Length of the prefix (`ifa_prefixlen`).
        prefixlen: u8,
        /// How far it is valid (`ifa_scope`).
        #[serde(default, skip_serializing_if = "is_default")]
        scope: u8,
        /// Address of the other side (`IFA_ADDRESS`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peer: Option<IpAddr>,
        /// `IFA_F_*` (`IFA_FLAGS`).
        #[serde(default, skip_serializing_if = "is_default")]
        flags: u32,
    }

    pub(super) fn serialize<S: Serializer>(addrs: &[LinkAddr], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(addrs.iter().map(|a| Whole {
            local: a.local,
            prefixlen: a.prefix_len,
            scope: a.scope,
            peer: a.peer,
            flags: a.flags,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<LinkAddr>, D::Error> {
        let whole = Vec::<Whole>::deserialize(d)?;
        let addr = |a: Whole| {
            let Whole { local, prefixlen, scope, peer, flags } = a;
            LinkAddr { local, prefix_len: prefixlen, link_scope: scope == 253, scope, peer, flags }
        };
        Ok(whole.into_iter().map(addr).collect())
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl fmt::Display for LinkAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.local, self.prefix_len)
    }
}

impl Serialize for LinkAddr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl JsonSchema for LinkAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LinkAddr".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "Address and prefix length.", "type": "string", "pattern": "/[0-9]+$" })
    }
}

/// What only links of one kind have (`IFLA_INFO_DATA`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindData {
    /// A bridge.
    Bridge {
        /// Spanning tree is on (`IFLA_BR_STP_STATE`).
        stp: bool,
        /// Frames are filtered by VLAN (`IFLA_BR_VLAN_FILTERING`).
        vlan_filtering: bool,
        /// Tags that it filters by are 802.1ad ones (`IFLA_BR_VLAN_PROTOCOL`).
        ad: bool,
        /// Chains of iptables see its IPv4 frames (`IFLA_BR_NF_CALL_IPTABLES`), whatever the sysctl says.
        nf_call_iptables: bool,
        /// Chains of ip6tables see its IPv6 frames (`IFLA_BR_NF_CALL_IP6TABLES`), whatever the sysctl says.
        nf_call_ip6tables: bool,
    },
    /// A VLAN on top of another link.
    Vlan {
        /// VLAN id (`IFLA_VLAN_ID`).
        id: u16,
        /// Its tag is an 802.1ad one (`IFLA_VLAN_PROTOCOL`).
        ad: bool,
    },
    /// A VXLAN tunnel.
    Vxlan {
        /// VXLAN network id (`IFLA_VXLAN_ID`).
        id: u32,
        /// Own tunnel address (`IFLA_VXLAN_LOCAL`, `IFLA_VXLAN_LOCAL6`).
        local: Option<IpAddr>,
        /// Default remote or multicast group (`IFLA_VXLAN_GROUP`, `IFLA_VXLAN_GROUP6`).
        remote: Option<IpAddr>,
        /// UDP port (`IFLA_VXLAN_PORT`).
        port: Option<u16>,
        /// Link that the outer packets leave by, in their namespace (`IFLA_VXLAN_LINK`).
        lower: Option<IfIndex>,
        /// Endpoints are learned from what arrives (`IFLA_VXLAN_LEARNING`).
        learning: bool,
        /// Endpoint and network id come with each packet, from its route or a program (`IFLA_VXLAN_COLLECT_METADATA`).
        external: bool,
    },
    /// A GENEVE tunnel.
    Geneve {
        /// Network id (`IFLA_GENEVE_ID`).
        id: u32,
        /// The endpoint (`IFLA_GENEVE_REMOTE`, `IFLA_GENEVE_REMOTE6`).
        remote: Option<IpAddr>,
        /// UDP port (`IFLA_GENEVE_PORT`).
        port: Option<u16>,
        /// Endpoint and network id come with each packet (`IFLA_GENEVE_COLLECT_METADATA`).
        external: bool,
    },
    /// A tunnel of IP in IP or GRE: gre, gretap, ipip, sit, ip6tnl, ip6gre, vti, ...
    Iptunnel(Iptunnel),
    /// A pair whose ends decide by programs.
    Netkit {
        /// What becomes of packets that no program decides, sent by this end: `forward` or `blackhole`
        /// (`IFLA_NETKIT_POLICY`).
        policy: String,
        /// It carries Ethernet frames; else bare packets (`IFLA_NETKIT_MODE`).
        l2: bool,
    },
    /// A macvlan or macvtap on top of another link.
    Macvlan {
        /// `private`, `vepa`, `bridge`, `passthru`, `source` (`IFLA_MACVLAN_MODE`).
        mode: String,
    },
    /// An ipvlan on top of another link.
    Ipvlan {
        /// `l2`, `l3`, `l3s` (`IFLA_IPVLAN_MODE`).
        mode: String,
        /// `private` or `vepa`: links above the same one do not reach each other directly (`IFLA_IPVLAN_FLAGS`).
        #[serde(skip_serializing_if = "Option::is_none")]
        apart: Option<String>,
    },
    /// A virtual routing domain.
    Vrf {
        /// Routing table of the domain (`IFLA_VRF_TABLE`).
        table: u32,
    },
    /// A bond of several links.
    Bond {
        /// Number of the bonding mode (`IFLA_BOND_MODE`).
        mode: u8,
        /// Port in use in active-backup mode (`IFLA_BOND_ACTIVE_SLAVE`).
        active: Option<IfIndex>,
        /// Ports that are not in use take packets in all the same (`IFLA_BOND_ALL_SLAVES_ACTIVE`); absent: not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        all_active: Option<bool>,
    },
    /// A tun or tap device.
    Tun {
        /// It carries Ethernet frames (`IFLA_TUN_TYPE` is `IFF_TAP`).
        tap: bool,
    },
}

/// What a tunnel of IP in IP or GRE says of its ends and headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Iptunnel {
    /// Own tunnel address (`IFLA_IPTUN_LOCAL`, `IFLA_GRE_LOCAL`).
    pub local: Option<IpAddr>,
    /// The endpoint; none: that of each packet's route (`IFLA_IPTUN_REMOTE`, `IFLA_GRE_REMOTE`).
    pub remote: Option<IpAddr>,
    /// Link that the outer packets leave by, in their namespace (`IFLA_IPTUN_LINK`, `IFLA_GRE_LINK`).
    pub lower: Option<IfIndex>,
    /// Key that it sends (`IFLA_GRE_OKEY`), where it sends one.
    pub okey: Option<u32>,
    /// Key that it takes (`IFLA_GRE_IKEY`), where it asks for one.
    pub ikey: Option<u32>,
    /// Endpoint and key come with each packet (`IFLA_GRE_COLLECT_METADATA`, `IFLA_IPTUN_COLLECT_METADATA`).
    pub external: bool,
    /// Mark that its outer packets are routed with (`IFLA_IPTUN_FWMARK`, `IFLA_GRE_FWMARK`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub fwmark: u32,
    /// They are routed with the mark of the packet inside (`IP6_TNL_F_USE_ORIG_FWMARK` in `IFLA_IPTUN_FLAGS`,
    /// `IFLA_GRE_FLAGS`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub inner_fwmark: bool,
    /// Bytes that options add to its headers: checksum and sequence number of GRE (`IFLA_GRE_OFLAGS`), the
    /// encapsulation limit of IPv6 (`IFLA_IPTUN_ENCAP_LIMIT`, `IFLA_GRE_ENCAP_LIMIT`), FOU or GUE
    /// (`IFLA_IPTUN_ENCAP_TYPE`, `IFLA_GRE_ENCAP_TYPE`).
    #[serde(default, skip_serializing_if = "is_default")]
    pub options: u32,
}

/// A link's state as a port of a bridge (`IFLA_INFO_SLAVE_DATA`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BridgePort {
    /// `disabled`, `listening`, `learning`, `forwarding` or `blocking` (`IFLA_BRPORT_STATE`).
    pub state: String,
    /// May not talk to other isolated ports (`IFLA_BRPORT_ISOLATED`).
    pub isolated: bool,
    /// Frames may go back out of the port they came in by (`IFLA_BRPORT_MODE`).
    pub hairpin: bool,
    /// Source addresses are learned (`IFLA_BRPORT_LEARNING`).
    pub learning: bool,
    /// Unknown unicast is flooded to it (`IFLA_BRPORT_UNICAST_FLOOD`).
    pub flood: bool,
    /// Broadcasts, and so questions for an address, are flooded to it (`IFLA_BRPORT_BCAST_FLOOD`).
    pub bcast_flood: bool,
    /// Lets in only frames from addresses that are in the forwarding database behind it (`IFLA_BRPORT_LOCKED`).
    pub locked: bool,
}

/// A link's state as a port of a bond (`IFLA_INFO_SLAVE_DATA`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BondPort {
    /// In use; else a backup, which sends nothing and mostly takes nothing in (`IFLA_BOND_SLAVE_STATE`).
    pub active: bool,
    /// The bond sees it working (`IFLA_BOND_SLAVE_MII_STATUS`).
    pub up: bool,
}

/// The link's own sysctls that decide a packet's way (`IFLA_AF_SPEC`); for IPv4 the value of the link itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DevConf {
    /// `net.ipv4.conf.<link>.forwarding`.
    pub forwarding4: Option<bool>,
    /// `net.ipv6.conf.<link>.forwarding`.
    pub forwarding6: Option<bool>,
    /// `net.ipv6.conf.<link>.disable_ipv6`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disable_ipv6: bool,
    /// `net.ipv4.conf.<link>.proxy_arp`.
    pub proxy_arp: Option<bool>,
    /// `net.ipv4.conf.<link>.rp_filter`; the effective value is the greater one of this and `conf.all`.
    pub rp_filter: Option<u8>,
}

/// One link of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Link {
    /// Index within the namespace.
    pub ifindex: IfIndex,
    /// Name (`IFLA_IFNAME`); bytes that are no UTF-8 are written `\xNN`.
    pub ifname: String,
    /// What somebody has written beside it (`IFLA_IFALIAS`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// rtnl link kind (`IFLA_INFO_KIND`); `loopback`, or `device` for a physical or virtio device, which have none.
    pub kind: String,
    /// Link-layer address (`IFLA_ADDRESS`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<LlAddr>,
    /// Greatest packet in bytes (`IFLA_MTU`); absent where it could not be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Administratively up (`IFF_UP`).
    pub up: bool,
    /// Neither asks for link-layer addresses nor answers (`IFF_NOARP`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub noarp: bool,
    /// Operational state in the words of `ip link` (`IFLA_OPERSTATE`).
    pub operstate: String,
    /// Carrier (`IFLA_CARRIER`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier: Option<bool>,
    /// Bridge, bond, team or VRF that it is a port of (`IFLA_MASTER`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<IfIndex>,
    /// Group that rules can name; 0 is the default one (`IFLA_GROUP`).
    #[serde(skip_serializing_if = "is_default")]
    pub group: u32,
    /// The other end, or the link below (`IFLA_LINK`). The kernel leaves it out where it equals the link's own index
    /// in another namespace; the readers here put it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<IfIndex>,
    /// Namespace of the other end, as the namespace that was asked numbers it (`IFLA_LINK_NETNSID`); absent: the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_netnsid: Option<Nsid>,
    /// What only links of this kind have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<KindData>,
    /// Kind of the master (`IFLA_INFO_SLAVE_KIND`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_kind: Option<String>,
    /// State as a bridge port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<BridgePort>,
    /// State as a port of a bond.
    pub bond_port: Option<BondPort>,
    /// How many want it to take in every frame, whatever its address (`IFLA_PROMISCUITY`).
    pub promiscuity: u32,
    /// Number of the XDP program at it (`IFLA_XDP_PROG_ID`).
    pub xdp: Option<u32>,
    /// Bus and name of the hardware behind it (`IFLA_PARENT_DEV_BUS_NAME`, `IFLA_PARENT_DEV_NAME`): `pci/0000:03:00.1`.
    pub parent_dev: Option<String>,
    /// Name of the physical function, for a virtual one (`physfn` of the hardware in sysfs).
    pub pf: Option<String>,
    /// Driver of a physical or virtio device (`/sys/class/net/<ifname>/device/driver`), where sysfs shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Sysctls of the link.
    #[serde(skip_serializing_if = "is_default")]
    pub conf: DevConf,
    /// Addresses, where they were asked for.
    #[serde(with = "whole", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<whole::Whole>")]
    pub addrs: Vec<LinkAddr>,
}

impl Link {
    /// The loopback device.
    pub fn is_loopback(&self) -> bool {
        self.kind == "loopback"
    }

    /// Kinds whose `IFLA_LINK` is the other end of a pair, not a link below.
    pub fn is_pair(&self) -> bool {
        matches!(self.kind.as_str(), "veth" | "netkit" | "vxcan")
    }

    /// One of the link's addresses is this one.
    pub fn holds(&self, ip: IpAddr) -> bool {
        self.addrs.iter().any(|a| a.local == ip)
    }
}
