//! The command line as a shell completes it: with the names of what is on this machine now.

use std::ffi::OsStr;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use crate::cli::Cli;
use crate::kernel::{Live, spaces::Spaces};
use crate::runtime::Owners;
use crate::target;

/// The command line with a look at the machine behind each target.
pub fn with_names() -> clap::Command {
    let targets = || ArgValueCompleter::new(targets);
    Cli::command()
        .mut_subcommand("trace", |trace| {
            trace.mut_arg("target", |arg| arg.add(targets())).mut_arg("to", |arg| arg.add(targets()))
        })
        .mut_subcommand("list", |list| list.mut_arg("name", |arg| arg.add(targets())))
}

fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    // Whatever fails, there is nothing to offer then; a shell has no place for the reason.
    let (Some(typed), Ok(spaces)) = (typed.to_str(), Spaces::new()) else { return Vec::new() };
    let mut live = Live::new(spaces.named_by(Box::new(Owners::new(Path::new("/")))));
    target::offered(&mut live, typed).into_iter().map(CompletionCandidate::new).collect()
}
