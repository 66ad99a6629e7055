//! Files in this repository, and examples in the README, that are made from the program itself. `PODNET_REGENERATE=1 cargo test --test generated`
//! writes them; without that, whatever is stale fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::CommandFactory;
use clap_complete::{Generator, Shell};
use clap_mangen::roff::{Roff, roman};
use podnet::cli::Cli;
use podnet::commands::schemas;

/// Holds what the repository has against what it should have, or writes it.
fn check(name: &Path, wanted: &[u8]) {
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    if std::env::var_os("PODNET_REGENERATE").is_some() {
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, wanted).unwrap();
        return;
    }
    let have = fs::read(&place).unwrap_or_default();
    let name = name.display();
    assert!(have == wanted, "{name} is stale: run PODNET_REGENERATE=1 cargo test --test generated and read the change");
}

#[test]
fn completions() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "podnet", &mut script);
        check(&Path::new("completions").join(shell.file_name("podnet")), &script);
    }
}

#[test]
fn man_pages() {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    page(&command, "podnet");
    for sub in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        page(sub, &format!("podnet-{}", sub.get_name()));
    }
}

fn page(command: &clap::Command, name: &str) {
    let man = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text).unwrap();
    }
    // What stands below the options in --help is laid out in lines already; left to itself man would fill them.
    let after = command.get_after_help().unwrap().to_string();
    for section in after.split("\n\n") {
        let (title, lines) = section.split_once('\n').unwrap();
        let mut roff = Roff::new();
        roff.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
        roff.to_writer(&mut text).unwrap();
    }
    check(&Path::new("man").join(format!("{name}.1")), &text);
}

#[test]
fn schema() {
    for (kind, schema) in schemas() {
        check(&Path::new("schema").join(format!("{kind}.schema.json")), podnet::render::json(&schema).as_bytes());
    }
}

/// Each `<!-- example: COMMAND -->` is followed by what the command says on the demo node.
#[test]
fn readme() {
    let place = Path::new("README.md");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(place)).unwrap();
    let (mut fresh, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once("<!-- example: ") {
        let (command, after) = after.split_once(" -->\n").unwrap();
        let Some(said) = on_the_demo_node(command) else { return };
        fresh.push_str(&format!("{before}<!-- example: {command} -->\n```text\n$ {command}\n{said}```\n<!-- end -->"));
        rest = after.split_once("<!-- end -->").map_or(after, |(_, rest)| rest);
    }
    fresh.push_str(rest);
    check(place, fresh.as_bytes());
}

/// What a command says on the demo node, with numbers that differ from run to run made the same; none: not run.
fn on_the_demo_node(command: &str) -> Option<String> {
    let run =
        Command::new(env!("CARGO_BIN_EXE_podnet")).args(["demo", "--"]).args(command.split(' ')).output().unwrap();
    if !run.status.success() {
        let why = String::from_utf8_lossy(&run.stderr);
        assert!(std::env::var_os("CI").is_none(), "podnet demo -- {command}: {why}");
        println!("not run: the README's example {command:?}: {why}");
        return None;
    }
    Some(steady(&String::from_utf8(run.stdout).unwrap()))
}

/// Inode numbers of namespaces, numbered as they come.
fn steady(text: &str) -> String {
    const FIRST: u64 = 4_026_532_200;
    let (mut out, mut rest, mut seen) = (String::new(), text, Vec::new());
    // The kernel numbers what has no file from 0xf0000000 on.
    while let Some(start) = rest.find("402") {
        if rest[start..].bytes().take_while(u8::is_ascii_digit).count() != 10 {
            let (before, after) = rest.split_at(start + 3);
            out.push_str(before);
            rest = after;
            continue;
        }
        let digits = rest[start..].bytes().take_while(u8::is_ascii_digit).count();
        let number = &rest[start..start + digits];
        let index = seen.iter().position(|s| *s == number).unwrap_or_else(|| {
            seen.push(number);
            seen.len() - 1
        });
        out.push_str(&rest[..start]);
        out.push_str(&(FIRST + index as u64).to_string());
        rest = &rest[start + digits..];
    }
    out + rest
}
