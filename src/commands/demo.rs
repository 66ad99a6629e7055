//! `podnet demo`: goes into private namespaces, builds the scene there, and shows it or runs what was asked for.

use std::env;
use std::ffi::OsString;
use std::process::Command;

use super::Outcome;
use crate::cli::{DemoArgs, Output};
use crate::demo::build::{Built, build};
use crate::demo::hold;
use crate::demo::isolate::{self, Side};
use crate::demo::scene::REFERENCE;
use crate::demo::wait::{self, Keyboard};
use crate::error::{Error, ErrorId, Exit, Result};

pub(super) fn run(args: &DemoArgs, _output: &Output) -> Result<Outcome> {
    if let Some(name) = hold::name_to_hold() {
        let failed =
            |e| Error::new(ErrorId::Isolation, format!("the namespace of {name} could not be made")).because(e);
        return hold::hold(&name).map(|()| Outcome::new(String::new(), Exit::Ok)).map_err(failed);
    }
    let interactive = args.shell || !args.command.is_empty();
    let keyboard = if interactive { Keyboard::BelongsToCommand } else { Keyboard::EndsAll };
    if let Side::Outside(exit) = isolate::reexec(keyboard)? {
        return Ok(Outcome { text: String::new(), exit });
    }
    let built = build(&REFERENCE)?;
    match &args.command[..] {
        [] => todo!(),
        [program, rest @ ..] => command(&built, program, rest),
    }
}

fn command(built: &Built, program: &OsString, args: &[OsString]) -> Result<Outcome> {
    let failed =
        |e| Error::new(ErrorId::Failed, format!("{} could not be run in the demo", program.display())).because(e);
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into());
    let path = env::join_paths([built.bin.clone()].into_iter().chain(env::split_paths(&path))).unwrap_or(path);
    let mut command = Command::new(program);
    let child = isolate::forget(&mut command).args(args).env("PATH", path).spawn().map_err(failed)?;
    let exit = wait::reap(&child).map_err(failed)?;
    Ok(Outcome { text: String::new(), exit })
}
