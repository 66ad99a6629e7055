//! The binary on real networks: every test builds nodes of namespaces with `ip` and `bridge`, asks podnet about them, and
//! holds the answer against what `ip`, `bridge` and a real ping say. All of it happens in private namespaces.

mod answers;
mod attach;
mod beside;
mod broken;
mod capture;
mod contract;
mod cost;
mod detach;
mod exec;
mod faults;
mod firewalls;
mod flows;
mod hostile;
mod isolate;
mod kinds;
mod lookups;
mod mended;
mod needs;
mod netfilter;
mod node;
mod outside;
mod overlay;
mod owners;
mod peers;
mod reference;
mod rules;
mod scene;
mod snapshots;
mod store;
mod targets;
mod truth;
mod vanishing;
mod wishes;

use std::process::ExitCode;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};

use needs::Need;

/// Longer than any test takes, on a slow machine too.
const PATIENCE: Duration = Duration::from_secs(600);

/// A test and what the machine must allow for it.
struct Test {
    name: String,
    needs: &'static [Need],
    run: fn(),
}

/// The test of this name in the module where the macro stands, with its needs.
macro_rules! test {
    ($run:ident $(, $need:ident)*) => {
        crate::Test {
            name: format!("{}::{}", module_path!().rsplit("::").next().unwrap_or_default(), stringify!($run)),
            needs: &[$(crate::needs::Need::$need),*],
            run: $run,
        }
    };
}
use test;

/// Ends everything when the test of this name does not end; until what it returns is dropped.
fn bounded(name: String) -> Sender<()> {
    let (done, waiting) = mpsc::channel();
    std::thread::spawn(move || {
        if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} does not end");
            std::process::exit(101);
        }
    });
    done
}

fn main() -> ExitCode {
    if let Some(exit) = capture::hold_tap_if_told() {
        return exit;
    }
    // Before anything starts a thread: a process with threads may not make a user namespace.
    let isolated = match isolate::enter() {
        Ok(isolate::Side::Outside(exit)) => return exit,
        Ok(isolate::Side::Inside) => Ok(()),
        Err(why) => Err(why),
    };
    let strict = node::in_ci();
    let all = [
        answers::tests(),
        attach::tests(),
        beside::tests(),
        broken::tests(),
        contract::tests(),
        cost::tests(),
        detach::tests(),
        exec::tests(),
        faults::tests(),
        firewalls::tests(),
        flows::tests(),
        hostile::tests(),
        kinds::tests(),
        lookups::tests(),
        mended::tests(),
        netfilter::tests(),
        outside::tests(),
        overlay::tests(),
        owners::tests(),
        peers::tests(),
        reference::tests(),
        rules::tests(),
        snapshots::tests(),
        store::tests(),
        targets::tests(),
        vanishing::tests(),
        wishes::tests(),
    ];
    let trials = all.into_iter().flatten().map(|test| {
        let missing = match &isolated {
            Err(why) => Some(why.clone()),
            Ok(()) => test.needs.iter().find_map(|need| need.missing()),
        };
        match missing {
            // What is drawn in rules.rs says the most of it every day.
            None if !strict && test.name.starts_with("firewalls::") => Trial::test(test.name, move || {
                (test.run)();
                Ok(())
            })
            .with_ignored_flag(true),
            None => Trial::test(test.name.clone(), move || {
                let _done = bounded(test.name);
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
    let mut arguments = Arguments::from_args();
    // A good part of their time is spent waiting for what does not arrive.
    arguments.test_threads.get_or_insert(2 * std::thread::available_parallelism().map_or(1, usize::from));
    libtest_mimic::run(&arguments, trials).exit_code()
}
