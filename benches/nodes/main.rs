//! podnet, what people use today, and the floor, on nodes of 10 to 4,000 pods in private namespaces:
//! `cargo bench-nodes`, as root. Every figure of a node is taken in one run, the commands in turn.

mod measure;
mod node;
mod plot;
mod report;
mod rows;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser;
use podnet::demo::isolate::{self, Side};
use podnet::demo::wait::Keyboard;

use report::Report;

/// Which node the run inside builds.
const NODE: &str = "PODNET_BENCH_NODE";

/// The binary under test.
const PODNET: &str = env!("CARGO_BIN_EXE_podnet");

/// The floor, compiled by [`compile_floor`].
const FLOOR: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/floor");

/// Measures podnet against what people use today and against the floor
#[derive(Parser)]
struct Args {
    /// Pods on each node
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 1000])]
    pods: Vec<usize>,
    /// Also a node of 4,000 pods: takes ten minutes more
    #[arg(long)]
    large: bool,
    /// Leave out the commands that take seconds: podnet and the floor alone
    #[arg(long)]
    quick: bool,
    /// Writes all figures
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draws time over pods
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// What Cargo says to every benchmark
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match std::env::var(NODE) {
        Ok(node) => inside(&node, &args),
        Err(_) => outside(args),
    };
    match done {
        Ok(exit) => exit,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(3)
        }
    }
}

/// A small static program: as one of Cargo's targets it would be linked with all of podnet.
fn compile_floor() -> io::Result<()> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/nodes/floor.rs");
    let options =
        ["--edition=2024", "-Copt-level=3", "-Cpanic=abort", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"];
    let done = Command::new("rustc").args(options).args(["-o", FLOOR, source]).status()?;
    if done.success() { Ok(()) } else { Err(io::Error::other(format!("rustc {source} ended with {done}"))) }
}

/// One node after the other, each by a run of its own that leaves nothing behind.
fn outside(mut args: Args) -> io::Result<ExitCode> {
    if args.large {
        args.pods.push(4000);
    }
    compile_floor()?;
    let nodes = args.pods.iter().map(ToString::to_string).chain([rows::WIDE.to_owned()]);
    let mut report = Report::new();
    for node in nodes {
        let _ = writeln!(io::stderr(), "measuring: {node}");
        let mut command = Command::new("/proc/self/exe");
        command.args(std::env::args_os().skip(1)).env(NODE, &node).stdout(Stdio::piped());
        let out = command.spawn()?.wait_with_output()?;
        if !out.status.success() {
            return Err(io::Error::other(format!("the node of {node} ended with {}", out.status)));
        }
        report.add(serde_json::from_slice(&out.stdout)?);
    }
    write!(io::stdout(), "{}", report.text())?;
    if let Some(path) = args.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)?)?;
    }
    if let Some(path) = args.svg {
        plot::draw(&report, &path)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds one node in private namespaces and says the figures.
fn inside(name: &str, args: &Args) -> io::Result<ExitCode> {
    match isolate::reexec(Keyboard::EndsAll).map_err(|e| io::Error::other(format!("{e:?}")))? {
        Side::Outside(exit) => return Ok(ExitCode::from(exit)),
        Side::Inside => {}
    }
    let figures = rows::measure(name, args.quick)?;
    serde_json::to_writer(io::stdout(), &figures)?;
    Ok(ExitCode::SUCCESS)
}
