//! A route of a recording: all of it that decides a look-up.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{IfIndex, Nexthop, Route, RouteType, TableId};

/// One recorded route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedRoute {
    /// Destination prefix (`RTA_DST`).
    #[schemars(with = "String")]
    pub dst: IpNet,
    /// Source prefix that it is for (`RTA_SRC`); IPv6 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub src: Option<IpNet>,
    /// What it does (`rtm_type`).
    #[serde(rename = "type", default = "unicast", skip_serializing_if = "is_unicast")]
    pub kind: RouteType,
    /// Table it is in (`RTA_TABLE`).
    pub table: TableId,
    /// Traffic class that it is for (`rtm_tos`); 0: any.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tos: u8,
    /// Metric: the lowest wins (`RTA_PRIORITY`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub metric: u32,
    /// How far the destination is (`rtm_scope`): 0 anywhere, 253 on the link, 254 here, 255 nowhere.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub scope: u8,
    /// Who set it (`rtm_protocol`), in the words of `ip route`.
    pub protocol: String,
    /// Router to send to (`RTA_GATEWAY`, `RTA_VIA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Link to send by (`RTA_OIF`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oif: Option<IfIndex>,
    /// Source address to prefer (`RTA_PREFSRC`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefsrc: Option<IpAddr>,
    /// MTU of the route (`RTAX_MTU`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// `RTNH_F_*` and `RTM_F_*` (`rtm_flags`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// Preference among routers (`RTA_PREF`): 0 medium, 1 high, 3 low; IPv6 only.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pref: u8,
    /// Next hops of a multipath route (`RTA_MULTIPATH`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nexthops: Vec<RecordedNexthop>,
    /// Nexthop object that it uses (`RTA_NH_ID`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nhid: Option<u32>,
    /// What it puts around packets itself (`RTA_ENCAP_TYPE`): `ip`, `ip6`, `mpls`, `seg6`, `bpf`, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encap: Option<String>,
}

/// One of several next hops of a recorded route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecordedNexthop {
    /// Router to send to (`RTA_GATEWAY`, `RTA_VIA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Link to send by (`rtnh_ifindex`).
    pub oif: IfIndex,
    /// Share of the flows (`rtnh_hops` + 1).
    pub weight: u16,
    /// `RTNH_F_*` (`rtnh_flags`).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u32,
}

fn unicast() -> RouteType {
    RouteType::Unicast
}

fn is_unicast(kind: &RouteType) -> bool {
    *kind == RouteType::Unicast
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl RecordedRoute {
    /// Dead: its link is down, or without carrier where that counts (`RTNH_F_DEAD`).
    pub const DEAD: u32 = 1;
    /// The gateway is taken to be on the link even where no address says so (`RTNH_F_ONLINK`).
    pub const ONLINK: u32 = 4;
    /// Its link has no carrier (`RTNH_F_LINKDOWN`).
    pub const LINKDOWN: u32 = 16;

    /// The route as it is shown.
    pub fn shown(&self) -> Route {
        let nexthop = |hop: &RecordedNexthop| Nexthop { gateway: hop.gateway, oif: hop.oif, weight: hop.weight };
        Route {
            dst: self.dst,
            kind: self.kind,
            gateway: self.gateway,
            oif: self.oif,
            dev: None,
            table: self.table,
            metric: self.metric,
            prefsrc: self.prefsrc,
            protocol: self.protocol.clone(),
            scope: scope(self.scope),
            mtu: self.mtu,
            nexthops: self.nexthops.iter().map(nexthop).collect(),
            nhid: self.nhid,
            encap: self.encap.clone(),
            onlink: self.flags & RecordedRoute::ONLINK != 0,
        }
    }
}

/// The words that routes of the running kernel have for `RT_SCOPE_*`.
fn scope(number: u8) -> String {
    match number {
        0 => "universe".to_owned(),
        200 => "site".to_owned(),
        253 => "link".to_owned(),
        254 => "host".to_owned(),
        255 => "no_where".to_owned(),
        other => format!("other({other})"),
    }
}
