//! Everything inside one namespace that decides the ways of packets, read at once for a recording: tables, rules,
//! neighbours, forwarding entries, sysctls. What cannot be read is a gap.

mod beside;
mod neigh;
mod route;
pub mod sysctl;

use std::io;

use netlink_packet_route::AddressFamily;

use self::sysctl::Sysctls;
use super::socket::{Dump, Refused, Socket};
use super::{link, rule};
use crate::model::{Gap, Link, NetnsId, RecordedFacts};

/// Reads the namespace that the calling thread and the socket are in.
pub fn facts(
    socket: &mut Socket,
    sysctls: &mut Sysctls,
    netns: NetnsId,
    links: &[Link],
    at: &str,
    gaps: &mut Vec<Gap>,
) -> RecordedFacts {
    let mut noting = Noting { at, gaps };
    let mut facts = RecordedFacts {
        routes: noting.dump("routes", route::dump(socket)),
        rules: noting.dump("rules", rule::dump(socket, AddressFamily::Inet)),
        rules6: noting.dump("IPv6 rules", rule::dump(socket, AddressFamily::Inet6)),
        neighbours: noting.dump("neighbours", neigh::dump(socket)),
        proxies: noting.dump("neighbour proxies", neigh::dump_proxies(socket)),
        fdb: noting.dump("forwarding database", neigh::dump_fdb(socket)),
        ..RecordedFacts::default()
    };
    let bridged = links.iter().any(|l| l.kind == "bridge");
    let ports = if bridged { noting.dump("bridge ports", link::dump_ports(socket)) } else { Some(Vec::new()) };
    facts.ports = ports.map(|ports| ports.iter().map(|port| port.ifindex).collect());
    beside::read(socket, netns, links, &mut facts, &mut noting);
    match sysctls.whole(socket, bridged) {
        Ok(sysctls) => facts.sysctls = sysctls,
        Err(error) => noting.note("sysctls", error),
    }
    facts.split = route::is_split(&facts).unwrap_or_else(|error| {
        noting.note("whether the main and the local table are one", error);
        false
    });
    facts
}

struct Noting<'a> {
    at: &'a str,
    gaps: &'a mut Vec<Gap>,
}

impl Noting<'_> {
    fn dump<T>(&mut self, what: &str, dump: Result<Dump<T>, Refused>) -> Option<Vec<T>> {
        match dump {
            Ok(dump) => {
                self.gaps.extend(dump.flaw().map(|flaw| Gap::new(what, self.at, flaw)));
                Some(dump.items)
            }
            Err(refused) => {
                self.gaps.push(Gap::new(what, self.at, refused.to_string()));
                None
            }
        }
    }

    fn note(&mut self, what: &str, error: io::Error) {
        self.refused(what, &Refused::from(error));
    }

    fn refused(&mut self, what: &str, refused: &Refused) {
        self.say(what, refused.to_string());
    }

    fn flaw(&mut self, what: &str, flaw: Option<String>) {
        if let Some(flaw) = flaw {
            self.say(what, flaw);
        }
    }

    fn say(&mut self, what: &str, why: impl Into<String>) {
        self.gaps.push(Gap::new(what, self.at, why));
    }
}
