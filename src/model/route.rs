//! Routes and rules, in the words of `ip route` and `ip rule`.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{IfIndex, TableId};

/// What a route does with a packet (`rtm_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RouteType {
    /// Sends it on.
    Unicast,
    /// Hands it to this namespace.
    Local,
    /// Hands it to this namespace, as a broadcast.
    Broadcast,
    /// Hands it to this namespace, as one of several holders of the address.
    Anycast,
    /// Hands it to the members of a group.
    Multicast,
    /// Drops it silently.
    Blackhole,
    /// Drops it, answering "host unreachable".
    Unreachable,
    /// Drops it, answering "administratively prohibited".
    Prohibit,
    /// Goes on to the next rule.
    Throw,
    /// Something else; podnet does not know what the kernel will do.
    Other,
}

impl RouteType {
    /// The word of `ip route`.
    pub fn word(self) -> &'static str {
        match self {
            RouteType::Unicast => "unicast",
            RouteType::Local => "local",
            RouteType::Broadcast => "broadcast",
            RouteType::Anycast => "anycast",
            RouteType::Multicast => "multicast",
            RouteType::Blackhole => "blackhole",
            RouteType::Unreachable => "unreachable",
            RouteType::Prohibit => "prohibit",
            RouteType::Throw => "throw",
            RouteType::Other => "other",
        }
    }
}

/// One of several next hops of a multipath route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nexthop {
    /// Router to send to (`RTA_GATEWAY`, `RTA_VIA`); none: the destination is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Link to send by (`rtnh_ifindex`).
    #[serde(rename = "oif")]
    pub oif: IfIndex,
    /// Share of the flows (`rtnh_hops` + 1).
    pub weight: u16,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// Destination prefix (`RTA_DST`); `default` for all.
    #[serde(serialize_with = "prefix_or_default")]
    #[schemars(with = "String")]
    pub dst: IpNet,
    /// What it does (`rtm_type`).
    #[serde(rename = "type")]
    pub kind: RouteType,
    /// Router to send to (`RTA_GATEWAY`, `RTA_VIA`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Link to send by (`RTA_OIF`).
    #[serde(rename = "oif", skip_serializing_if = "Option::is_none")]
    pub oif: Option<IfIndex>,
    /// Name of that link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev: Option<String>,
    /// Table it is in (`RTA_TABLE`).
    pub table: TableId,
    /// Metric: the lowest wins (`RTA_PRIORITY`).
    pub metric: u32,
    /// Source address to prefer (`RTA_PREFSRC`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefsrc: Option<IpAddr>,
    /// Who set it (`rtm_protocol`), in the words of `ip route`.
    pub protocol: String,
    /// How far the destination is (`rtm_scope`), in the words of `ip route`.
    pub scope: String,
    /// MTU of the route (`RTAX_MTU`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Next hops of a multipath route (`RTA_MULTIPATH`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nexthops: Vec<Nexthop>,
    /// The nexthop object that it uses (`RTA_NH_ID`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nhid: Option<u32>,
    /// What it puts around packets itself (`RTA_ENCAP_TYPE`): `ip`, `ip6`, `mpls`, `seg6`, `bpf`, ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encap: Option<String>,
    /// Gateways are taken to be on the link even where no address says so (`RTNH_F_ONLINK`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub onlink: bool,
}

fn prefix_or_default<S: serde::Serializer>(dst: &IpNet, s: S) -> Result<S::Ok, S::Error> {
    s.collect_str(&PrefixText(dst))
}

struct PrefixText<'a>(&'a IpNet);

impl std::fmt::Display for PrefixText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.prefix_len() {
            0 => f.write_str("default"),
            n if n == self.0.max_prefix_len() => self.0.addr().fmt(f),
            _ => self.0.fmt(f),
        }
    }
}

impl Route {
    /// The destination as `ip route` writes it: `default`, a bare address for a host route, else the prefix.
    pub fn dst_text(&self) -> String {
        PrefixText(&self.dst).to_string()
    }
}

/// One policy rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Rule {
    /// Order: the lowest is asked first (`FRA_PRIORITY`).
    pub priority: u32,
    /// Source prefix it matches (`FRA_SRC`).
    #[schemars(with = "Option<String>")]
    pub src: Option<IpNet>,
    /// Destination prefix it matches (`FRA_DST`).
    #[schemars(with = "Option<String>")]
    pub dst: Option<IpNet>,
    /// Arriving link it matches (`FRA_IIFNAME`).
    pub iif: Option<String>,
    /// Leaving link it matches (`FRA_OIFNAME`).
    pub oif: Option<String>,
    /// Firewall mark it matches (`FRA_FWMARK`).
    pub fwmark: Option<u32>,
    /// What else it matches, in the words of `ip rule`: properties that the packets of a trace are not given.
    pub also: Vec<String>,
    /// Table to look in (`FRA_TABLE`).
    pub table: TableId,
    /// What it does, in the words of `ip rule` (`fra_action`).
    pub action: String,
}
