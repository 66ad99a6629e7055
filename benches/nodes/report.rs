//! The figures of a run: as data, and as the table that the README shows.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use serde::{Deserialize, Serialize};

use super::measure::{Row, median};

/// One command on one node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figure {
    /// The command.
    pub name: String,
    /// Median of the wall times, in microseconds; none: it was not measured.
    pub wall_us: Option<u64>,
    /// Median of the processor times.
    pub cpu_us: Option<u64>,
    /// Largest resident set of one of its processes, in KiB.
    pub peak_kib: Option<u64>,
    /// How often it ran.
    pub runs: usize,
    /// Why it was not measured, or not to the end.
    pub missing: Option<String>,
}

impl Figure {
    /// The medians of a row.
    pub fn of(row: &Row) -> Self {
        let micros =
            |of: fn(&super::measure::Run) -> Duration| median(row.runs.iter().map(|r| of(r).as_micros() as u64));
        Figure {
            name: row.name.to_owned(),
            wall_us: micros(|run| run.wall),
            cpu_us: micros(|run| run.cpu),
            peak_kib: row.peak,
            runs: row.runs.len(),
            missing: row.missing.clone(),
        }
    }
}

/// Commands that were run in turn; the first is what the others are held against.
#[derive(Debug, Serialize, Deserialize)]
pub struct Group {
    /// What they all do.
    pub name: String,
    /// The commands.
    pub figures: Vec<Figure>,
}

/// All that was measured on one node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Figures {
    /// Its number of pods, or another name.
    pub node: String,
    /// Its number of pods.
    pub pods: Option<usize>,
    /// What was done on it.
    pub groups: Vec<Group>,
}

impl Figures {
    /// Of a node on which nothing was measured yet.
    pub fn new(node: &str, pods: Option<usize>) -> Self {
        Figures { node: node.to_owned(), pods, groups: Vec::new() }
    }

    /// Adds commands that ran in turn.
    pub fn group(&mut self, name: &str, rows: &[Row]) {
        self.rows(name, rows.iter().map(Figure::of).collect());
    }

    /// Adds what was measured in another way.
    pub fn rows(&mut self, name: &str, figures: Vec<Figure>) {
        self.groups.push(Group { name: name.to_owned(), figures });
    }
}

/// The whole run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The kernel and how many processors it has.
    pub machine: String,
    /// One entry a node.
    pub nodes: Vec<Figures>,
}

impl Report {
    /// Of this machine.
    pub fn new() -> Self {
        let kernel = nix::sys::utsname::uname().map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        Report { machine: format!("Linux {kernel}, {processors} processors"), nodes: Vec::new() }
    }

    /// Adds a node.
    pub fn add(&mut self, figures: Figures) {
        self.nodes.push(figures);
    }

    /// A table for each node, with the time of each command as a multiple of the first of its group.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n", self.machine);
        for node in &self.nodes {
            let what = node.pods.map_or_else(|| node.node.clone(), |pods| format!("{pods} pods"));
            let _ = writeln!(text, "\n{what}");
            let _ = writeln!(text, "{}", table(node));
            for figure in node.groups.iter().flat_map(|g| &g.figures) {
                if let Some(why) = &figure.missing {
                    let _ = writeln!(text, "not measured: {}: {why}", figure.name);
                }
            }
        }
        text
    }
}

fn table(node: &Figures) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["", "command", "wall ms", "ratio", "CPU ms", "peak MiB"]);
    for group in &node.groups {
        let base = group.figures.first().and_then(|f| f.wall_us);
        for (at, figure) in group.figures.iter().enumerate() {
            let ratio = figure.wall_us.zip(base).map(|(wall, base)| wall as f64 / base as f64);
            table.add_row([
                if at == 0 { group.name.clone() } else { String::new() },
                figure.name.clone(),
                figure.wall_us.map_or_else(|| "-".to_owned(), millis),
                ratio.map_or_else(String::new, |r| format!("{r:.2}")),
                figure.cpu_us.map_or_else(String::new, millis),
                figure.peak_kib.map_or_else(String::new, |kib| format!("{:.1}", kib as f64 / 1024.0)),
            ]);
        }
    }
    for column in table.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn millis(us: u64) -> String {
    format!("{:.2}", us as f64 / 1000.0)
}
