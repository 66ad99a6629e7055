//! `podnet demo`: goes into private namespaces, builds the scene there, and shows it or runs what was asked for.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::process::Command;

use clap::Parser;

use super::Outcome;
use crate::cli::{Cli, DemoArgs, Output};
use crate::demo::build::{Built, build};
use crate::demo::hold;
use crate::demo::isolate::{self, Side};
use crate::demo::scene::{REFERENCE, TRACES};
use crate::demo::wait::{self, IfStopped, Keyboard};
use crate::error::{Error, ErrorId, Exit, Result};
use crate::model::{Demo, SCHEMA};
use crate::render::{self, Style};

pub(super) fn run(args: &DemoArgs, output: &Output, style: Style) -> Result<Outcome> {
    if let Some(name) = hold::name_to_hold() {
        return keep(&name);
    }
    let interactive = args.shell || !args.command.is_empty();
    if interactive && output.json {
        return Err(Error::new(ErrorId::Usage, "--json says nothing about what a shell or a command prints")
            .hint("leave --json away, or give it to the command"));
    }
    let keyboard = if interactive { Keyboard::BelongsToCommand } else { Keyboard::EndsAll };
    if let Side::Outside(exit) = isolate::reexec(keyboard)? {
        // The inner run has said all there is to say.
        return Ok(Outcome { text: String::new(), exit });
    }
    let built = build(&REFERENCE)?;
    match &args.command[..] {
        [program, rest @ ..] => command(&built, program, rest, IfStopped::Wait),
        [] if args.shell => shell(&built, output),
        [] => show(&built, output, style),
    }
}

/// The run of a process that holds the namespace of a machine.
fn keep(name: &str) -> Result<Outcome> {
    match hold::hold(name) {
        Ok(()) => Ok(Outcome::new(String::new(), Exit::Ok)),
        Err(e) => Err(Error::new(ErrorId::Isolation, format!("the namespace of {name} could not be made")).because(e)),
    }
}

/// The scene and the three traces, each as if it had been typed.
fn show(built: &Built, output: &Output, style: Style) -> Result<Outcome> {
    let failed = |what: &str| Error::new(ErrorId::Failed, format!("the demo's own {what} makes no sense"));
    let mut said = Vec::new();
    let mut exit = Exit::Ok as u8;
    for words in TRACES {
        let line = [&["podnet"], words].concat();
        let mut cli = Cli::try_parse_from(&line).map_err(|e| failed("command line").because(e))?;
        cli.output = output.clone();
        let outcome = super::run(cli)?;
        exit = if exit == 0 { outcome.exit } else { exit };
        said.push((line.join(" "), outcome.text));
    }
    if !output.json {
        return Ok(Outcome { text: render::demo::text(&built.machines, &said, style), exit });
    }
    let traces = said.iter().map(|(_, text)| serde_json::from_str(text)).collect::<Result<_, _>>();
    let traces = traces.map_err(|e| failed("JSON").because(e))?;
    let demo = Demo { schema: SCHEMA, kind: "demo", machines: built.machines.clone(), traces };
    Ok(Outcome { text: render::json(&demo), exit })
}

fn shell(built: &Built, output: &Output) -> Result<Outcome> {
    let style = Style { ascii: output.ascii, ..Style::PLAIN };
    // It has to be read before the shell takes the terminal; nobody misses it where stderr is closed.
    let _ = io::stderr().write_all(render::demo::shell_note(&built.machines, style).as_bytes());
    let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty()).unwrap_or_else(|| "/bin/sh".into());
    wait::lead();
    command(built, &shell, &[], IfStopped::Resume)
}

/// Runs a program on the node, with podnet first in its PATH.
fn command(built: &Built, program: &OsStr, args: &[OsString], if_stopped: IfStopped) -> Result<Outcome> {
    let failed = |e| {
        Error::new(ErrorId::Failed, format!("{} could not be run in the demo", program.display()))
            .because(e)
            .hint("the demo sees the files of this machine; name a program that is in PATH here")
    };
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let path = env::join_paths([built.bin.clone()].into_iter().chain(env::split_paths(&path))).unwrap_or(path);
    let mut command = Command::new(program);
    let child = isolate::forget(&mut command).args(args).env("PATH", path).spawn().map_err(failed)?;
    let exit = wait::reap(&child, if_stopped).map_err(failed)?;
    Ok(Outcome { text: String::new(), exit })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "  \
  internet                 eth0 203.0.113.1/30    every other address
  └─ router                wan  203.0.113.2/30    lan  10.30.180.254/24
     ├─ node-a             eth0 10.30.180.56/24   cni0 172.22.0.1/24
     │  ├─ signin-test-a   eth0 172.22.0.253/24   port veth12acb4c1
     │  ├─ signin-test-b   eth0 172.22.0.252/24   port veth0c9a5076
     │  └─ db-0            eth0 172.22.0.251/24   port veth7d31e0a2
     └─ node-b             eth0 10.30.180.55/24   cni0 172.22.1.1/24
        └─ web-b           eth0 172.22.1.7/24     port veth5b8f2c64
";

    #[test]
    fn the_scene_is_a_tree_and_each_command_stands_above_what_it_said() {
        let said = [("podnet trace x".to_owned(), "delivered\n".to_owned())];
        let unicode = render::demo::text(&REFERENCE, &said, Style::PLAIN);
        assert!(unicode.contains(TREE) && unicode.contains("\n\n$ podnet trace x\n\ndelivered\n\n"), "{unicode}");
        let style = Style { ascii: true, ..Style::PLAIN };
        let text = render::demo::text(&REFERENCE, &said, style);
        assert!(text.is_ascii() && text.lines().all(|line| line.len() <= 80), "{text}");
        assert!(render::demo::shell_note(&REFERENCE, style).lines().all(|line| line.len() <= 80));
    }
}
