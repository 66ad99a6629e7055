//! One short file a subcommand: gather the facts, decide, render. Nothing here prints.

mod attach;
mod complete;
mod demo;
mod detach;
mod exec;
mod list;
mod progress;
mod schema;
mod snapshot;
mod trace;

pub use complete::with_names;
pub use schema::schemas;

use std::io::IsTerminal;
use std::path::Path;

use crate::cli::{Cli, ColorWhen, Command, Output};
use crate::error::{Exit, Result};
use crate::kernel::{Live, spaces::Spaces};
use crate::render::Style;
use crate::runtime::Owners;

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
    let style = style(&cli.output);
    let json = cli.output.json;
    match cli.command {
        Command::Trace(args) => trace::run(&args, style, json),
        Command::List(args) => list::run(&args, style, json),
        Command::Snapshot(args) => snapshot::run(&args, json),
        Command::Demo(args) => demo::run(&args, &cli.output, style),
        Command::Attach(args) => attach::run(&args, style, json),
        Command::Detach(args) => detach::run(&args, style, json),
        Command::Exec(args) => exec::run(&args),
        Command::Schema(args) => schema::run(&args),
    }
}

/// The running kernel, with the owners of its namespaces.
fn live() -> Result<Live> {
    Ok(Live::new(Spaces::new()?.named_by(Box::new(Owners::new(Path::new("/"))))))
}

/// What stdout can show, and what the user wants of that.
fn style(output: &Output) -> Style {
    let terminal = std::io::stdout().is_terminal();
    let color = match output.color {
        ColorWhen::Always => true,
        ColorWhen::Never => false,
        // An empty NO_COLOR means nothing, says its specification.
        ColorWhen::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    let width = terminal.then(terminal_size::terminal_size).flatten().map(|(width, _)| width.0 as usize);
    Style { color, ascii: output.ascii, width }
}
