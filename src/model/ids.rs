//! Numbers that must not be mixed up: each its own type, with the one way it is written.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Index of a link, unique within its namespace only (`ifi_index`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct IfIndex(pub u32);

/// Number that one namespace gives to another; means something only inside the namespace that said it (`NETNSA_NSID`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Nsid(pub i32);

/// Process id, as podnet's own pid namespace counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Pid(pub u32);

/// Number of a routing table (`RTA_TABLE`); 254 is main, 255 local.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct TableId(pub u32);

impl TableId {
    /// The table of ordinary routes.
    pub const MAIN: TableId = TableId(254);
    /// The table of the namespace's own addresses.
    pub const LOCAL: TableId = TableId(255);

    /// As people call it: the first two have names.
    pub fn called(self) -> String {
        match self {
            TableId::MAIN => "the main table".to_owned(),
            TableId::LOCAL => "the local table".to_owned(),
            TableId(number) => format!("table {number}"),
        }
    }
}

macro_rules! display_number {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(IfIndex, Nsid, Pid, TableId);

/// Which network namespace: never its name, never a bare nsid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NetnsId {
    /// The (device, inode) of the namespace's nsfs file.
    Inode {
        /// Device of nsfs, the same for all namespaces of a running kernel.
        dev: u64,
        /// Inode number, as in `net:[4026531840]`.
        ino: u64,
    },
    /// A namespace that nothing podnet could open leads to: known only by the number that another one has for it.
    Unopened {
        /// Inode of the namespace that said the number.
        from: u64,
        /// The number.
        nsid: Nsid,
    },
    /// A namespace of a recording.
    Recorded {
        /// Which of the recordings that are asked.
        snapshot: u32,
        /// Its place in that one.
        at: u32,
        /// Inode number at the time, where it was known.
        ino: Option<u64>,
    },
    /// The namespace of a process whose `ns/net` may not be opened and that has no nsid in podnet's own namespace.
    OfPid(Pid),
}

impl NetnsId {
    /// The inode number, where the namespace could be identified.
    pub fn ino(&self) -> Option<u64> {
        match self {
            NetnsId::Inode { ino, .. } => Some(*ino),
            NetnsId::Recorded { ino, .. } => *ino,
            _ => None,
        }
    }
}

/// A namespace in JSON is its inode number, or null where it could not be identified.
impl Serialize for NetnsId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.ino().serialize(s)
    }
}

impl JsonSchema for NetnsId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "NetnsId".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Inode number of the network namespace, as in net:[4026531840]; null where it could not be identified.",
            "type": ["integer", "null"],
            "minimum": 0,
        })
    }
}

/// Which link: an ifindex means nothing without its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    /// Namespace that the link is in.
    pub netns: NetnsId,
    /// Its index there.
    pub ifindex: IfIndex,
}

/// Link-layer address (`IFLA_ADDRESS`, `NDA_LLADDR`): a MAC for Ethernet, an IP address for IP tunnels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LlAddr {
    // MAX_ADDR_LEN of the kernel; a fixed array keeps the type Copy.
    bytes: [u8; 32],
    len: u8,
}

impl LlAddr {
    /// The address of these bytes; what is beyond the kernel's limit of 32 is cut.
    pub fn new(from: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = from.len().min(32);
        bytes[..len].copy_from_slice(&from[..len]);
        LlAddr { bytes, len: len as u8 }
    }

    /// The address of an Ethernet device.
    pub const fn mac([a, b, c, d, e, f]: [u8; 6]) -> Self {
        let mut bytes = [0; 32];
        (bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5]) = (a, b, c, d, e, f);
        LlAddr { bytes, len: 6 }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }

    /// No address at all, or nothing but zeroes (loopback, tun).
    pub fn is_zero(&self) -> bool {
        self.bytes().iter().all(|b| *b == 0)
    }
}

impl fmt::Display for LlAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, b) in self.bytes().iter().enumerate() {
            if i > 0 {
                f.write_str(":")?;
            }
            write!(f, "{b:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for LlAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for LlAddr {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let bytes = s.split([':', '-']).map(|b| u8::from_str_radix(b, 16)).collect::<Result<Vec<_>, _>>()?;
        Ok(LlAddr::new(&bytes))
    }
}

impl Serialize for LlAddr {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LlAddr {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        if text.is_empty() {
            return Ok(LlAddr::new(&[]));
        }
        text.parse().map_err(|_| serde::de::Error::custom(format_args!("{text:?} is no link-layer address")))
    }
}

impl JsonSchema for LlAddr {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LlAddr".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Link-layer address, bytes in hex with colons.",
            "type": "string",
            "pattern": "^([0-9a-f]{2}(:[0-9a-f]{2})*)?$",
        })
    }
}
