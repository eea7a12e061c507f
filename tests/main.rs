//! End-to-end tests of the real binary, and the architecture invariants.
//!
//! A test says what it needs. Where that is missing the test is ignored and listed at the end; with
//! `CI=true` it fails instead.

mod api;
mod architecture;
mod broker;
mod chaos;
mod chaos_world;
mod cli;
mod clocks;
mod cluster;
mod compose;
mod datasets;
mod doctor;
mod falco;
mod faults;
mod harness;
mod network;
mod outbox;
mod prometheus;
mod receiver;
mod rekey;
mod replay;
mod secure;
mod simulated;
mod store;
mod stream;
mod support;
mod workers;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use support::{Case, Need, environment};

/// The tests, by file. Each file lists its own at the top.
const CASES: &[&[Case]] = &[
    architecture::CASES,
    harness::CASES,
    broker::CASES,
    outbox::CASES,
    secure::CASES,
    doctor::CASES,
    compose::CASES,
    prometheus::CASES,
    cli::CASES,
    datasets::CASES,
    falco::CASES,
    api::CASES,
    store::CASES,
    stream::CASES,
    receiver::CASES,
    chaos::CASES,
    faults::CASES,
    cluster::CASES,
    network::CASES,
    clocks::CASES,
    workers::CASES,
    rekey::CASES,
    replay::CASES,
];

/// A test that takes longer is named at the end.
const SLOW: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let strict = environment("CI").is_some_and(|value| value == "true");
    let mut skipped = Vec::new();
    let mut trials = Vec::new();
    for case in CASES.iter().copied().flatten() {
        let unmet = case.needs.iter().find_map(|need| Some((need.unmet()?, strict && need.can_be_installed())));
        if let Some((reason, false)) = &unmet
            && selected(&arguments, case.name)
        {
            skipped.push(format!("SKIPPED {}: {reason}", case.name));
        }
        trials.push(trial(case, unmet));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    support::broker::stop_shared();
    support::postgres::stop_shared();
    if !arguments.list {
        skipped.iter().for_each(|line| eprintln!("{line}"));
    }
    conclusion.exit_code()
}

/// The test, or what comes of it when a need is not met: for which reason, and whether that is a failure.
fn trial(case: &'static Case, unmet: Option<(String, bool)>) -> Trial {
    match unmet {
        None => Trial::test(case.name, || {
            let started = Instant::now();
            let outcome = (case.run)();
            if started.elapsed() > SLOW {
                eprintln!("SLOW {}: {:.1} s", case.name, started.elapsed().as_secs_f64());
            }
            outcome
        }),
        Some((reason, true)) => {
            Trial::test(case.name, move || Err(format!("{reason}; with CI=true nothing is skipped").into()))
        }
        Some((reason, false)) => {
            let failure = reason.clone();
            Trial::test(case.name, move || Err(failure.into()))
                .with_kind(format!("skipped: {reason}"))
                .with_ignored_flag(true)
        }
    }
}

/// Whether the command line asks for this test, by libtest's rules.
fn selected(arguments: &Arguments, name: &str) -> bool {
    let matches = |pattern: &String| if arguments.exact { name == pattern } else { name.contains(pattern.as_str()) };
    arguments.filter.as_ref().is_none_or(matches) && !arguments.skip.iter().any(matches)
}

impl Need {
    /// Whether continuous integration has to have it. Privileges are given by whoever runs the machine.
    fn can_be_installed(&self) -> bool {
        !matches!(self, Self::Router)
    }

    /// Why the need is not met here, or `None` when it is.
    fn unmet(&self) -> Option<String> {
        match self {
            Self::Broker => support::broker::unavailable(),
            Self::Postgres => support::postgres::unavailable(),
            Self::Prometheus => support::prometheus::unavailable(),
            Self::Compose => support::compose::unavailable(),
            Self::Router => support::router::unavailable(),
            Self::Dataset(name) => support::data::unavailable(name),
        }
    }
}
