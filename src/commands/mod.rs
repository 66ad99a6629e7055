//! One short file a subcommand: gather the facts, decide, render. Nothing here prints.

mod demo;
mod schema;

use crate::cli::{Cli, Command};
use crate::error::{Exit, Result};

/// What a command has to say and the exit code that goes with it.
#[derive(Debug)]
pub struct Outcome {
    /// The answer, for stdout.
    pub text: String,
    /// The exit code: one of [`Exit`], or that of a command that was run.
    pub exit: u8,
}

impl Outcome {
    /// An answer with one of podnet's own exit codes.
    pub fn new(text: String, exit: Exit) -> Self {
        Outcome { text, exit: exit as u8 }
    }
}

/// Runs the command that was asked for.
pub fn run(cli: Cli) -> Result<Outcome> {
    match cli.command {
        Command::Trace(_) | Command::List(_) => todo!(),
        Command::Demo(args) => demo::run(&args, &cli.output),
        Command::Schema(args) => schema::run(&args),
    }
}
