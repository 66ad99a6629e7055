//! `podnet trace`: find the namespace, follow its packets, show the way.

use std::net::IpAddr;
use std::path::Path;

use super::Outcome;
use crate::cli::{ProtoName, TraceArgs};
use crate::error::{Error, ErrorId, Exit, Result};
use crate::kernel::{Live, spaces::Spaces};
use crate::model::{Action, NetnsId, Proto, SCHEMA, Trace, Traffic, Verdict};
use crate::render::{self, Style};
use crate::runtime::Owners;
use crate::target;
use crate::trace::{self, Ask};

pub(super) fn run(args: &TraceArgs, style: Style, json: bool) -> Result<Outcome> {
    let traffic = traffic(args)?;
    let family = family(args)?;
    // What is wrong with an address is said before anything is looked for.
    let address = args.to.as_deref().map(|to| target::address(to, family)).transpose()?.flatten();
    let named = args.to.as_deref().filter(|_| address.is_none());
    let address = address.map(|address| (None, address));
    let ask = |to: Option<(Option<NetnsId>, IpAddr)>| {
        let (meant, to) = (to.and_then(|(meant, _)| meant), to.map(|(_, to)| to));
        if to.is_some_and(|to| args.from.is_some_and(|from| from.is_ipv4() != to.is_ipv4())) {
            return Err(Error::new(ErrorId::Usage, "--from and --to are of two families")
                .hint("a packet has both addresses of one family"));
        }
        let (no_ipv4, no_ipv6) = (family == Some(true), family == Some(false));
        Ok(Ask { to, meant, from: args.from, traffic, reply: args.reply, no_ipv4, no_ipv6 })
    };
    let (source, traced) = if args.snapshot.is_empty() {
        let owners = Owners::new(Path::new("/"));
        let mut live = Live::new(Spaces::new()?.named_by(Box::new(owners)));
        let to = named.map(|to| target::destination(&mut live, to, family)).transpose()?;
        let to = to.map(|(netns, to)| (Some(netns), to)).or(address);
        let ask = ask(to)?;
        let source = target::resolve(&mut live, &args.target)?;
        let traced = trace::trace(&mut live, source.netns, &ask);
        (source, traced)
    } else {
        let mut recorded = super::snapshot::recordings(&args.snapshot)?;
        let to = match named {
            Some(to) => {
                let netns = recorded.resolve(to)?.netns;
                Some((Some(netns), target::address_in(&mut recorded, netns, to, family)?))
            }
            None => address,
        };
        let ask = ask(to)?;
        let source = recorded.resolve(&args.target)?;
        let traced = trace::trace(&mut recorded, source.netns, &ask);
        (source, traced)
    };
    let trace = Trace {
        schema: SCHEMA,
        kind: "trace",
        source,
        paths: traced.paths,
        findings: traced.findings,
        gaps: traced.gaps,
    };
    let text = if json { render::json(&trace) } else { render::path::text(&trace, style) };
    Ok(Outcome::new(text, exit(trace.paths.iter().map(|p| &p.verdict))))
}

/// The address family to keep to, if one: true for IPv6.
fn family(args: &TraceArgs) -> Result<Option<bool>> {
    let asked = (args.ipv4 || args.ipv6).then_some(args.ipv6);
    match (asked, args.from.map(|from| from.is_ipv6())) {
        (Some(asked), Some(from)) if asked != from => {
            Err(Error::new(ErrorId::Usage, "the address of --from is of the family that was left out")
                .hint("leave -4 or -6 away: --from decides the family"))
        }
        (asked, from) => Ok(asked.or(from)),
    }
}

fn traffic(args: &TraceArgs) -> Result<Traffic> {
    if (args.sport.is_some() || args.dport.is_some()) && args.proto == Some(ProtoName::Icmp) {
        return Err(Error::new(ErrorId::Usage, "ICMP has no ports").hint("leave --sport and --dport away"));
    }
    let proto = args.proto.map(|proto| match proto {
        ProtoName::Tcp => Proto::Tcp,
        ProtoName::Udp => Proto::Udp,
        ProtoName::Icmp => Proto::Icmp,
    });
    Ok(Traffic { proto, sport: args.sport, dport: args.dport, mark: args.mark, tos: args.tos })
}

/// A dropped packet is news whatever else could not be seen; an unseen end is neither success nor failure.
fn exit<'a>(verdicts: impl Iterator<Item = &'a Verdict> + Clone) -> Exit {
    let any = |action| verdicts.clone().any(|v| v.action == action);
    match (any(Action::Dropped), any(Action::Unknown)) {
        (true, _) => Exit::Broken,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Ok,
    }
}
