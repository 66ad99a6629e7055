//! The binary: parse, run, print, exit. The only place that prints and the only one that exits.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap_complete::CompleteEnv;
use podnet::cli::Cli;
use podnet::commands;
use podnet::error::Error;
use podnet::render;

fn main() -> ExitCode {
    // Where a shell asks what could be typed next, that is all there is to do.
    CompleteEnv::with_factory(commands::with_names).complete();
    let (error, json) = match Cli::read(std::env::args_os()) {
        Ok(cli) => {
            let json = cli.output.json;
            match commands::run(cli) {
                Ok(outcome) => match std::io::stdout().lock().write_all(outcome.text.as_bytes()) {
                    // A closed pipe is the reader's choice, not a failure.
                    Err(e) if e.kind() != ErrorKind::BrokenPipe => (Error::unwritten(e), json),
                    _ => return ExitCode::from(outcome.exit),
                },
                Err(error) => (error, json),
            }
        }
        // A script that asked for JSON gets its mistakes as JSON, too.
        Err(usage) if usage.use_stderr() && std::env::args_os().any(|a| a == "--json") => (Error::from(usage), true),
        Err(usage) => usage.exit(),
    };
    let _ = std::io::stderr().lock().write_all(render::error(&error, json).as_bytes());
    ExitCode::from(error.exit() as u8)
}
