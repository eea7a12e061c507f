//! `just chaos SEEDS [FIRST]` kills a process once per seed and store and compares with one offline run: the last line on
//! standard output is `runs N lost 0 doubled 0`, and a seed gives the same run again. `just workers TIMES` goes from one
//! worker to three and back under load.

#![allow(dead_code, reason = "the support code is shared with the end-to-end tests, which use the rest of it")]

#[path = "../chaos.rs"]
mod chaos;
#[path = "../chaos_world.rs"]
mod chaos_world;
#[path = "../simulated.rs"]
mod simulated;
#[path = "../support/mod.rs"]
mod support;
#[path = "../workers.rs"]
mod workers;

use std::process::ExitCode;

/// How the program is called.
const USAGE: &str = "usage: chaos SEEDS [FIRST] | chaos workers TIMES";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>().ok();
    let outcome = match words.as_slice() {
        ["workers", times] => number(times).map(|times| workers(times as usize)),
        [seeds] => number(seeds).map(|seeds| kills(1, seeds)),
        [seeds, first] => number(seeds).zip(number(first)).map(|(seeds, first)| kills(first, seeds)),
        _ => None,
    };
    support::broker::stop_shared();
    support::postgres::stop_shared();
    match outcome {
        Some(Ok(true)) => ExitCode::SUCCESS,
        Some(Ok(false)) => ExitCode::FAILURE,
        Some(Err(failure)) => {
            eprintln!("{}", failure.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
        None => {
            eprintln!("{USAGE}");
            ExitCode::FAILURE
        }
    }
}

/// Kills once for each seed, in SQLite and in PostgreSQL; whether nothing was lost and nothing doubled.
fn kills(first: u64, seeds: u64) -> support::Result<bool> {
    let mut sum = chaos::Tally::default();
    for kind in [chaos::Kind::Sqlite, chaos::Kind::Postgres] {
        let tally = chaos::runs(kind, first..first.saturating_add(seeds))?;
        println!("{kind:?}: {tally:?}");
        sum = sum + tally;
    }
    println!("{}", sum.last_line());
    Ok((sum.lost, sum.doubled) == (0, 0))
}

/// From one worker to three and back; how long a partition stands still while it changes hands.
fn workers(times: usize) -> support::Result<bool> {
    let pauses = workers::one_to_three_and_back("many", times, &[])?;
    let at = |share: f64| pauses.get(((pauses.len() as f64 - 1.0) * share) as usize).copied().unwrap_or(f64::NAN);
    println!(
        "{times} times from one worker to three and back, same findings; {} hand-overs, pause median {:.2} s, \
         95 % {:.2} s, worst {:.2} s",
        pauses.len(),
        at(0.5),
        at(0.95),
        at(1.0)
    );
    Ok(true)
}
