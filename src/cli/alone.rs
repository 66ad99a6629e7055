//! Reading a command line by the flags of the one command that it calls: to build those of all the others takes longer
//! than most of what they do.

use std::ffi::OsString;

use clap::{Args, FromArgMatches, Parser};

use super::{AttachArgs, Cli, DemoArgs, DetachArgs, ExecArgs, ListArgs, Output, SchemaArgs, SnapshotArgs, TraceArgs};

impl Cli {
    /// Reads a command line. One that begins with a command and makes sense is read by that command's flags alone; any
    /// other, and what asks for help, by all of podnet's.
    pub fn read(line: impl Iterator<Item = OsString>) -> clap::error::Result<Cli> {
        let line: Vec<OsString> = line.collect();
        let command = line.get(1).and_then(|word| alone(word.to_str()?));
        let matches = command.and_then(|command| command.try_get_matches_from(&line).ok());
        match matches.and_then(|matches| Cli::from_arg_matches(&matches).ok()) {
            Some(cli) => Ok(cli),
            None => Cli::try_parse_from(line),
        }
    }
}

/// podnet as if it had this command only.
fn alone(name: &str) -> Option<clap::Command> {
    let command = |name| clap::Command::new(name);
    let only = match name {
        "trace" => TraceArgs::augment_args(command("trace")),
        "list" => ListArgs::augment_args(command("list")),
        "snapshot" => SnapshotArgs::augment_args(command("snapshot")),
        "demo" => DemoArgs::augment_args(command("demo")),
        "attach" => AttachArgs::augment_args(command("attach")),
        "detach" => DetachArgs::augment_args(command("detach")),
        "exec" => ExecArgs::augment_args(command("exec")),
        "schema" => SchemaArgs::augment_args(command("schema")),
        _ => return None,
    };
    Some(Output::augment_args(command("podnet").subcommand(only)))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_can_be_read_alone_and_means_the_same() {
        let all = Cli::command();
        for command in all.get_subcommands() {
            let name = command.get_name();
            let alone = alone(name).unwrap_or_else(|| panic!("{name} is read by all flags"));
            let alone = alone.find_subcommand(name).unwrap();
            let flags = |command: &clap::Command| format!("{:?}", command.get_arguments().collect::<Vec<_>>());
            assert_eq!(flags(alone), flags(command), "{name}");
        }
        let read = |line: &str| format!("{:?}", Cli::read(line.split(' ').map(OsString::from)));
        let parsed = |line: &str| format!("{:?}", Cli::try_parse_from(line.split(' ')));
        for line in [
            "podnet trace web --to 10.1.2.3 --proto tcp --dport 0x50 --json",
            "podnet --json trace web",
            "podnet trace web --color never",
            "podnet attach web --bridge cni0 --subnet 10.0.0.0/24 --dry-run --ascii",
            "podnet exec web -- ip -j link",
            "podnet trace",
            "podnet trace --help",
            "podnet list --bogus",
            "podnet help list",
            "podnet lits",
            "podnet --version",
            "podnet list --version",
            "podnet",
        ] {
            assert_eq!(read(line), parsed(line), "{line}");
        }
    }
}
