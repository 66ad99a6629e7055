//! The packets whose way is asked for: addresses, and what else rules can look at.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Protocols that the kernel can be asked about (`RTA_IP_PROTO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, or ICMPv6 where the destination is an IPv6 address.
    Icmp,
}

impl Proto {
    /// Its number in the IP header.
    pub fn number(self, ipv6: bool) -> u8 {
        match self {
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Icmp if ipv6 => 58,
            Proto::Icmp => 1,
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Icmp => "icmp",
        })
    }
}

/// What packets have besides addresses and routing can look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Protocol (`RTA_IP_PROTO`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<Proto>,
    /// Source port (`RTA_SPORT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Destination port (`RTA_DPORT`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// Firewall mark (`RTA_MARK`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<u32>,
    /// Type of service, the whole byte (`rtm_tos`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tos: Option<u8>,
}

impl Traffic {
    /// That of the answers: ports change places, the mark is the sender's own affair.
    pub fn reply(self) -> Traffic {
        Traffic { sport: self.dport, dport: self.sport, mark: None, ..self }
    }
}

/// What identifies the packets whose way is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Source address; none: the one that the first namespace picks.
    pub src: Option<IpAddr>,
    /// Destination address.
    pub dst: IpAddr,
    /// What else they have.
    pub traffic: Traffic,
}

impl Flow {
    /// Packets to an address, of which no more is known.
    pub fn to(dst: IpAddr) -> Flow {
        Flow { src: None, dst, traffic: Traffic::default() }
    }
}
