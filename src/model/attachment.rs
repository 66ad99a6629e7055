//! What podnet writes beside a link that it made, so that nobody has to remember whose it is: the link's alias.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One link that podnet made for a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Whose it is: `podnet-<boot>-<netns cookie>-<what was typed>`; also the first line of the address's file.
    pub id: String,
    /// The link's name in the namespace.
    pub ifname: String,
    /// Addresses that were taken in the store.
    pub addrs: Vec<IpAddr>,
    /// Directory of the network that they were taken in.
    pub store: Option<String>,
    /// Rules in podnet's nftables table are for it.
    pub masquerade: bool,
}

/// What every id begins with.
pub const ID_PREFIX: &str = "podnet-";

impl Attachment {
    /// The id of a namespace: of this run of the machine, by the number that no other namespace of it gets, and with
    /// what was typed for people (and for `detach`, when the namespace is gone).
    pub fn id(boot: &str, netns: &str, typed: &str) -> String {
        format!("{}{}", Attachment::id_stem(boot, netns), label(typed))
    }

    /// What the ids of one namespace begin with, whatever was typed.
    pub fn id_stem(boot: &str, netns: &str) -> String {
        let boot: String = boot.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
        format!("{ID_PREFIX}{boot}-{netns}-")
    }

    /// The comment of its rules, and the alias's first word.
    pub fn comment(&self) -> String {
        format!("{}/{}", self.id, self.ifname)
    }
}

/// What was typed as a part of an id, in the characters that the plugins allow there.
pub fn label(typed: &str) -> String {
    let name = typed.strip_suffix("/ns/net").unwrap_or(typed);
    let name = name.rsplit('/').next().unwrap_or(name);
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' })
        .take(40)
        .collect()
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.comment())?;
        for addr in &self.addrs {
            write!(f, " {addr}")?;
        }
        if self.masquerade {
            f.write_str(" masquerade")?;
        }
        match &self.store {
            Some(store) => write!(f, " in {store}"),
            None => Ok(()),
        }
    }
}

/// It was not podnet that wrote this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOurs;

impl FromStr for Attachment {
    type Err = NotOurs;

    fn from_str(alias: &str) -> Result<Self, NotOurs> {
        // A directory may have blanks in its name, so it is the last.
        let (words, store) = alias.split_once(" in ").map_or((alias, None), |(words, store)| (words, Some(store)));
        let mut words = words.split(' ');
        let (id, ifname) = words.next().and_then(|w| w.split_once('/')).ok_or(NotOurs)?;
        if !id.starts_with(ID_PREFIX) {
            return Err(NotOurs);
        }
        let (mut addrs, mut masquerade) = (Vec::new(), false);
        for word in words {
            match word.parse() {
                Ok(addr) => addrs.push(addr),
                Err(_) => masquerade |= word == "masquerade",
            }
        }
        Ok(Attachment {
            id: id.to_owned(),
            ifname: ifname.to_owned(),
            addrs,
            store: store.map(str::to_owned),
            masquerade,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let id = Attachment::id("1f3a9c2e-77aa", "4105", "/run/netns/blue green");
        assert_eq!(id, "podnet-1f3a9c2e-4105-blue_green");
        for (addrs, store, masquerade) in [
            (vec![], None, false),
            (
                vec!["10.88.0.2".parse().unwrap(), "fd00::2".parse().unwrap()],
                Some("/var/my nets in/x".to_owned()),
                true,
            ),
        ] {
            let all = Attachment { id: id.clone(), ifname: "eth0".into(), addrs, store, masquerade };
            assert_eq!(all.to_string().parse(), Ok(all));
        }
        for other in ["", "eth0", "podnet", "uplink/eth0", "podnet bridge"] {
            assert_eq!(other.parse::<Attachment>(), Err(NotOurs), "{other}");
        }
    }

    #[test]
    fn a_process_is_called_by_its_number() {
        assert_eq!((label("/proc/4711/ns/net"), label("4711")), ("4711".to_owned(), "4711".to_owned()));
    }
}
