//! podnet and real container runtimes: each test makes a machine of its own, starts a runtime there with an image of
//! busybox alone, and holds what podnet says against what the runtime's own API says. Needs root and the runtimes, so
//! that it runs by `cargo test --test runtimes` only.

mod agree;
mod containerd;
mod cri;
mod docker;
mod machine;
mod machines;
mod nested;
#[path = "../nodes/node.rs"]
#[allow(dead_code)]
mod node;
mod podman;

use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// A test and the programs that it needs.
struct Test {
    name: String,
    needs: &'static [&'static str],
    run: fn(),
}

/// The test of this name in the module where the macro stands, with the programs that it needs.
macro_rules! test {
    ($run:ident $(, $need:literal)*) => {
        crate::Test {
            name: format!("{}::{}", module_path!().rsplit("::").next().unwrap_or_default(), stringify!($run)),
            needs: &[$($need),*],
            run: $run,
        }
    };
}
use test;

fn missing(program: &str) -> bool {
    !["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/podman", "/usr/lib/cni"]
        .iter()
        .any(|dir| Path::new(dir).join(program).exists())
}

fn main() -> ExitCode {
    let strict = node::in_ci();
    let root = nix::unistd::geteuid().is_root();
    let mut arguments = Arguments::from_args();
    // Each runs a whole container runtime; more at a time only wait for each other.
    arguments.test_threads.get_or_insert(2);
    let trials = [containerd::tests(), docker::tests(), machines::tests(), nested::tests(), podman::tests()]
        .into_iter()
        .flatten()
        .map(|test| {
            let lacks =
                ["busybox", "ip", "nsenter", "unshare", "timeout"].iter().chain(test.needs).find(|p| missing(p));
            let why = match (root, lacks) {
                (false, _) => Some("only root can run a runtime".to_owned()),
                (true, Some(program)) => Some(format!("{program} is not installed")),
                (true, None) => None,
            };
            match why {
                None => Trial::test(test.name, move || {
                    (test.run)();
                    Ok(())
                }),
                Some(why) => {
                    eprintln!("not run: {}: {why}", test.name);
                    Trial::test(test.name, move || Err(format!("not run: {why}").into())).with_ignored_flag(!strict)
                }
            }
        });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}
