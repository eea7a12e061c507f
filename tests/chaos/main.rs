//! `just chaos SEEDS [FIRST]`: kills a process once per seed and compares with one offline run.
//!
//! The last line on standard output is `runs N lost 0 doubled 0`; a seed gives the same run again.

#![allow(dead_code, reason = "the support code is shared with the end-to-end tests, which use the rest of it")]

#[path = "../chaos.rs"]
mod chaos;
#[path = "../chaos_world.rs"]
mod chaos_world;
#[path = "../simulated.rs"]
mod simulated;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Some(Ok(seeds)), first) = (numbers.next(), numbers.next().unwrap_or(Ok(1))) else {
        eprintln!("usage: chaos SEEDS [FIRST]");
        return ExitCode::FAILURE;
    };
    let Ok(first) = first else {
        eprintln!("usage: chaos SEEDS [FIRST]");
        return ExitCode::FAILURE;
    };
    let outcome = chaos::runs(first..first.saturating_add(seeds));
    support::broker::stop_shared();
    match outcome {
        Ok(tally) => {
            println!("killed {} of {}; published again {}", tally.killed, tally.runs, tally.published_again);
            println!("{}", tally.last_line());
            if (tally.lost, tally.doubled) == (0, 0) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            eprintln!("{}", failure.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}
