//! `podnet trace`: find the namespace, follow its packets, show the way.

use super::Outcome;
use crate::cli::TraceArgs;
use crate::error::{Error, ErrorId, Exit, Result};
use crate::kernel::{Live, spaces::Spaces};
use crate::model::{Action, Path, SCHEMA, Trace};
use crate::render::{self, Style};
use crate::target;
use crate::trace::{self, Ask};

pub(super) fn run(args: &TraceArgs, style: Style, json: bool) -> Result<Outcome> {
    if args.to.is_some_and(|to| if to.is_ipv4() { args.ipv6 } else { args.ipv4 }) {
        return Err(Error::new(ErrorId::Usage, "the address of --to is of the family that was left out")
            .hint("leave -4 or -6 away: --to decides the family"));
    }
    if args.to.is_some_and(|to| to.is_unspecified()) {
        return Err(Error::new(ErrorId::Usage, "the address of --to stands for no address at all")
            .hint("leave --to away to see where everything else goes"));
    }
    let mut live = Live::new(Spaces::new()?);
    let source = target::resolve(&mut live, &args.target)?;
    let ask = Ask { to: args.to, no_ipv4: args.ipv6, no_ipv6: args.ipv4 };
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
    Ok(Outcome::new(text, exit(&trace.paths)))
}

/// A dropped packet is news whatever else could not be seen; an unseen end is neither success nor failure.
fn exit(paths: &[Path]) -> Exit {
    let any = |action| paths.iter().any(|p| p.verdict.action == action);
    match (any(Action::Dropped), any(Action::Unknown)) {
        (true, _) => Exit::Broken,
        (false, true) => Exit::Failed,
        (false, false) => Exit::Ok,
    }
}
