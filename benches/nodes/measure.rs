//! Runs commands in turn and keeps what each cost: wall time, processor time, memory.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc;

use super::FLOOR;

/// One run of one command.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From before the fork to after the wait.
    pub wall: Duration,
    /// In user and kernel mode, its children included.
    pub cpu: Duration,
}

/// A command under its name in the report.
pub struct Row<'a> {
    /// What the report calls it.
    pub name: &'static str,
    /// The command of a round.
    pub command: Box<dyn FnMut(usize) -> Command + 'a>,
    /// What it did so far.
    pub runs: Vec<Run>,
    /// Largest resident set of one process, in KiB.
    pub peak: Option<u64>,
    /// Why it was not measured.
    pub missing: Option<String>,
}

impl<'a> Row<'a> {
    /// A row that has not run.
    pub fn new(name: &'static str, command: impl FnMut(usize) -> Command + 'a) -> Self {
        Row { name, command: Box::new(command), runs: Vec::new(), peak: None, missing: None }
    }

    /// Needs a program of this name.
    pub fn of(mut self, program: &str) -> Self {
        if !installed(program) {
            self.missing = Some(format!("{program} is not installed"));
        }
        self
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    program.starts_with('/') && std::path::Path::new(program).exists()
        || std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}

/// One run. A command that fails is an error: its time would say nothing.
pub fn run(command: &mut Command) -> io::Result<Run> {
    command.stdout(Stdio::null()).stdin(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let child = command.spawn()?;
    let (status, usage) = wait(child.id())?;
    let wall = started.elapsed();
    ended_well(command, status)?;
    let time = |t: libc::timeval| Duration::new(t.tv_sec as u64, t.tv_usec as u32 * 1000);
    Ok(Run { wall, cpu: time(usage.ru_utime) + time(usage.ru_stime) })
}

/// The error of a command that failed has what it says when it fails once more.
fn ended_well(command: &mut Command, status: i32) -> io::Result<()> {
    // The way of a trace here ends at a link that leads nowhere, as no machine's own device can be had: no failure.
    let is_trace = command.get_args().next().is_some_and(|arg| arg == "trace");
    match libc::WEXITSTATUS(status) {
        _ if !libc::WIFEXITED(status) => {}
        0 => return Ok(()),
        1 | 3 if is_trace => return Ok(()),
        _ => {}
    }
    let again = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    let said = [again.stderr, again.stdout].concat();
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&said).trim())))
}

fn wait(pid: u32) -> io::Result<(i32, libc::rusage)> {
    // SAFETY: both outlive the call; the child was not waited for.
    unsafe {
        let (mut status, mut usage) = (0, std::mem::zeroed());
        match libc::wait4(pid as i32, &raw mut status, 0, &raw mut usage) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok((status, usage)),
        }
    }
}

/// The largest resident set of a run. Measured by a small program that starts it: a process counts what its parent had
/// resident when it was made.
fn peak(command: &Command) -> Option<u64> {
    let out = Command::new(FLOOR).arg("peak").arg(command.get_program()).args(command.get_args()).output().ok()?;
    String::from_utf8(out.stdout).ok()?.trim().parse().ok()
}

/// All rows in turn, so that what disturbs the machine disturbs each of them: at least three rounds, then until the time
/// is over. A row that is slow by itself stops sooner than the others.
pub fn in_turn(rows: &mut [Row], rounds: usize, patience: Duration) {
    let share = patience / u32::try_from(rows.len()).unwrap_or(1);
    for row in rows.iter_mut().filter(|row| row.missing.is_none()) {
        row.peak = peak(&(row.command)(0));
    }
    for round in 0..rounds {
        for row in rows.iter_mut().filter(|row| row.missing.is_none()) {
            let spent: Duration = row.runs.iter().map(|run| run.wall).sum();
            if round >= 3 && spent > share {
                continue;
            }
            match run(&mut (row.command)(round)) {
                Ok(run) => row.runs.push(run),
                Err(error) => row.missing = Some(error.to_string()),
            }
        }
    }
}

/// So many at the same moment: the time until the last has ended.
pub fn together(commands: &mut [Command]) -> io::Result<Duration> {
    let started = Instant::now();
    let children: Result<Vec<_>, _> = commands
        .iter_mut()
        .map(|c| c.stdout(Stdio::null()).stdin(Stdio::null()).stderr(Stdio::null()).spawn())
        .collect();
    let ended: Result<Vec<_>, _> = children?.iter().map(|child| wait(child.id())).collect();
    let wall = started.elapsed();
    for (command, (status, _)) in commands.iter_mut().zip(ended?) {
        ended_well(command, status)?;
    }
    Ok(wall)
}

/// The one in the middle.
pub fn median<T: Copy + PartialOrd>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len() / 2).copied()
}

/// The command without any capability, as an ordinary user would run it on somebody else's processes.
pub fn without_privilege(mut command: Command) -> Command {
    // SAFETY: only system calls between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for capability in 0..64 {
                // One that this kernel does not know is refused.
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            Ok(())
        });
    }
    command
}
