//! `podnet trace`: find the namespace, follow its packets, show the way.

use std::path::Path;

use super::Outcome;
use crate::cli::TraceArgs;
use crate::error::{Exit, Result};
use crate::kernel::{Live, spaces::Spaces};
use crate::model::{Action, SCHEMA, Trace, Verdict};
use crate::render::{self, Style};
use crate::runtime::Owners;
use crate::target;
use crate::trace::{self, Ask};

pub(super) fn run(args: &TraceArgs, style: Style, json: bool) -> Result<Outcome> {
    let owners = Owners::new(Path::new("/"));
    let mut live = Live::new(Spaces::new()?.named_by(Box::new(owners)));
    let family = (args.ipv4 || args.ipv6).then_some(args.ipv6);
    // What is wrong with an address is said before anything is looked for.
    let to = args.to.as_deref().map(|to| target::destination(&mut live, to, family)).transpose()?;
    let source = target::resolve(&mut live, &args.target)?;
    let ask = Ask { to, no_ipv4: args.ipv6, no_ipv6: args.ipv4 };
    let traced = trace::trace(&mut live, source.netns, &ask);
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

/// A dropped packet is news whatever else could not be seen; an unseen end is neither success nor failure.
fn exit<'a>(verdicts: impl Iterator<Item = &'a Verdict> + Clone) -> Exit {
    let any = |action| verdicts.clone().any(|v| v.action == action);
    match (any(Action::Dropped), any(Action::Unknown)) {
        (true, _) => Exit::Broken,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Ok,
    }
}
