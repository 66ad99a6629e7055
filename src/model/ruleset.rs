//! Rules of netfilter, as far as a packet can be held against them: what each looks at, and what becomes of a packet that
//! it matches.

use std::fmt;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes as they stand in a packet or a register, in hex as text.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        let pair = |pair: &[u8]| -> Option<u8> {
            let digit = |c: u8| char::from(c).to_digit(16);
            Some((digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?) as u8)
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(pair).collect();
        bytes.map(Bytes).ok_or_else(|| serde::de::Error::custom(format_args!("{text:?} is no bytes in hex")))
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Bytes in hex.",
            "type": "string",
            "pattern": "^([0-9a-f]{2})*$",
        })
    }
}

/// A chain, base chain or not, by all that its name needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ChainId {
    /// `nf_tables`, or `legacy` for a table of ip_tables or ip6_tables.
    pub backend: String,
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    /// Name of its table (`NFTA_CHAIN_TABLE`).
    pub table: String,
    /// Its name (`NFTA_CHAIN_NAME`).
    pub chain: String,
}

/// What of a packet is looked at. Its value has as many bytes as the kernel compares, in the kernel's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// Part of the header of the link layer, from its first byte (`NFT_PAYLOAD_LL_HEADER`).
    Link {
        /// First byte.
        offset: u16,
        /// Number of bytes.
        length: u16,
    },
    /// Part of the IP header (`NFT_PAYLOAD_NETWORK_HEADER`).
    Network {
        /// First byte.
        offset: u16,
        /// Number of bytes.
        length: u16,
    },
    /// Part of the header behind that of IP (`NFT_PAYLOAD_TRANSPORT_HEADER`).
    Transport {
        /// First byte.
        offset: u16,
        /// Number of bytes.
        length: u16,
    },
    /// Name of the device that it came in by, 16 bytes, zeroes behind it (`NFT_META_IIFNAME`).
    Iifname,
    /// Name of the device that it leaves by, 16 bytes, zeroes behind it (`NFT_META_OIFNAME`).
    Oifname,
    /// Index of the device that it came in by, 4 bytes in the machine's order (`NFT_META_IIF`).
    Iif,
    /// Index of the device that it leaves by, 4 bytes in the machine's order (`NFT_META_OIF`).
    Oif,
    /// Protocol behind IP, 1 byte (`NFT_META_L4PROTO`).
    L4proto,
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`, 1 byte (`NFT_META_NFPROTO`).
    Nfproto,
    /// `ETH_P_*`, 2 bytes, big endian (`NFT_META_PROTOCOL`).
    Protocol,
    /// Firewall mark, 4 bytes in the machine's order (`NFT_META_MARK`).
    Mark,
    /// Bits of the connection's state, 4 bytes in the machine's order: 1 invalid, 2 established, 4 related, 8 new, 64
    /// untracked (`NFT_CT_STATE`).
    CtState,
    /// Bits of the connection's status, `IPS_*`, 4 bytes in the machine's order (`NFT_CT_STATUS`).
    CtStatus,
    /// `RTN_*` of the destination in the local table and the others, 4 bytes in the machine's order (`fib daddr type`).
    DaddrType,
    /// `RTN_*` of the source, 4 bytes in the machine's order (`fib saddr type`).
    SaddrType,
    /// A number that is drawn, below this one, 4 bytes in the machine's order (`numgen`, `NFTA_NG_MODULUS`).
    Drawn {
        /// So many numbers there are.
        modulus: u32,
    },
    /// Something else, by its name: what it is in this packet is not known.
    Other(String),
}

/// How a value has to be for a rule to go on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Its first bytes are these.
    Equal(Bytes),
    /// Its first bytes are not these.
    Differs(Bytes),
    /// It is at least the one and at most the other, as big-endian numbers.
    Within(Bytes, Bytes),
    /// It is less than the one or more than the other.
    Outside(Bytes, Bytes),
    /// It is within one of these ranges, each by its first and its last value.
    AnyOf(Vec<(Bytes, Bytes)>),
    /// It is within none of these ranges.
    NoneOf(Vec<(Bytes, Bytes)>),
    /// It is an element of the set of that name, in the table of the rule.
    In(String),
    /// It is no element of that set.
    NotIn(String),
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Match {
    /// What is compared; of several each takes a multiple of four bytes, zeroes behind it.
    pub on: Vec<Field>,
    /// Bits that are compared; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<Bytes>,
    /// How they have to be.
    pub is: Relation,
}

/// What becomes of a packet that a rule matches, or an element of a verdict map has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// The next rule is asked.
    Continue,
    /// The base chain lets it pass (`NF_ACCEPT`).
    Accept,
    /// It is dropped (`NF_DROP`).
    Drop,
    /// It is dropped, and the sender is told.
    Reject,
    /// Back to the chain that jumped here; in a base chain: its policy (`NFT_RETURN`).
    Return,
    /// Another chain is asked, and then the next rule (`NFT_JUMP`).
    Jump(String),
    /// Another chain is asked instead of the rest of this one (`NFT_GOTO`).
    Goto(String),
    /// It gets another destination, and passes.
    Dnat {
        /// The address, where it is one.
        to: Option<IpAddr>,
        /// The port, where it is one.
        port: Option<u16>,
    },
    /// It is sent to this machine itself, and passes.
    Redirect {
        /// The port, where it is one.
        port: Option<u16>,
    },
    /// It gets another source, and passes.
    Snat {
        /// The address, where it is one.
        to: Option<IpAddr>,
    },
    /// It gets an address of the device that it leaves by for its source, and passes.
    Masquerade,
    /// The verdict that a map has for a value; the next rule, if it has none.
    Map {
        /// What is looked up.
        on: Vec<Field>,
        /// Bits of it that count; absent: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mask: Option<Bytes>,
        /// Name of the map, in the table of the rule.
        map: String,
    },
    /// Something else, by its name, after which nothing is certain: a queue to a process, a transparent proxy.
    Other(String),
}

/// Another mark for a packet: what it keeps of the old one, and which bits are turned then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Marking {
    /// Bits of the old mark that stay.
    pub keep: u32,
    /// Bits that are turned after that.
    pub flip: u32,
    /// It is not known what the rule makes of the mark, or it changes the type of service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
}

impl Marking {
    /// Nobody knows which.
    pub const UNKNOWN: Marking = Marking { keep: 0, flip: 0, unknown: true };
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct NfRule {
    /// Its number in its table (`NFTA_RULE_HANDLE`); in a legacy table its place in the chain, the first is 1.
    pub handle: u64,
    /// Its conditions; all must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// Conditions that podnet cannot hold against a packet, by their names (`limit`, `statistic`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<String>,
    /// The mark that it gives a packet that it matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marks: Option<Marking>,
    /// The connection of a packet that it matches is not followed (`notrack`), or apart from others (`ct zone set`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untracks: bool,
    /// What becomes of such a packet.
    pub then: Judgement,
    /// What somebody wrote beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// An element of a set, or of a verdict map.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Element {
    /// The value, or the first of a range; each part of several takes a multiple of four bytes.
    pub key: Bytes,
    /// The last value of a range, part by part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Bytes>,
    /// What a verdict map says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<Judgement>,
}

/// A set of nftables.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NfSet {
    /// Its elements.
    pub elements: Vec<Element>,
    /// Something about it could not be read: what it has is known, what it has not is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// What a map has for a value that has no element of its own (`NFT_SET_ELEM_CATCHALL`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<Judgement>,
    /// The value has an element, whatever it is (`NFT_SET_ELEM_CATCHALL`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
}
