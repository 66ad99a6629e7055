//! The binary: parse, run, print, exit. The only place that prints and the only one that exits.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use podnet::cli::Cli;
use podnet::commands;
use podnet::render;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.output.json;
    let exit = match commands::run(cli) {
        Ok(outcome) => {
            // A closed pipe is the reader's choice, not a failure.
            let _ = std::io::stdout().lock().write_all(outcome.text.as_bytes());
            outcome.exit
        }
        Err(error) => {
            let _ = std::io::stderr().lock().write_all(render::error(&error, json).as_bytes());
            error.exit() as u8
        }
    };
    ExitCode::from(exit)
}
