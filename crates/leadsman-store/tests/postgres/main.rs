//! The conformance suite on a real PostgreSQL server, and what only PostgreSQL can get wrong.
//!
//! Without a server the tests are ignored and that is said at the end; with `CI=true` they fail.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the checks are shared with unit tests, where both are allowed")]

#[path = "../../src/conformance/mod.rs"]
mod conformance;
mod faults;
mod proxy;
mod set_up;
mod support;
mod tls;

use std::process::ExitCode;

use leadsman_store::{PostgresSettings, PostgresStore};
use libtest_mimic::{Arguments, Trial};

use conformance::checks;
use support::postgres::{self, Postgres};

/// Makes a trial of each check.
macro_rules! conformance_trials {
    ($trials:ident; $($check:ident),*) => {
        $($trials.push(trial(concat!("conformance::", stringify!($check)), || async {
            conformance::$check(connect(&fresh()).await).await;
        }));)*
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    checks!(conformance_trials, trials);
    trials.extend(set_up::trials());
    trials.extend(faults::trials());
    trials.extend(tls::trials());
    let unmet = postgres::unavailable();
    let strict = support::environment("CI").is_some_and(|value| value == "true");
    if let Some(reason) = unmet.as_ref().filter(|_| !strict) {
        let ignored = |trial: Trial| trial.with_kind(format!("skipped: {reason}")).with_ignored_flag(true);
        trials = trials.into_iter().map(ignored).collect();
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    postgres::stop_shared();
    if let Some(reason) = unmet.filter(|_| !arguments.list) {
        eprintln!("SKIPPED every test of PostgreSQL: {reason}");
    }
    conclusion.exit_code()
}

/// A test with a runtime of its own.
fn trial<F: Future<Output = ()>>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(test());
        Ok(())
    })
}

/// The address of a new schema on the shared server.
fn fresh() -> String {
    let server = shared();
    server.url(&server.schema().unwrap())
}

fn shared() -> std::sync::Arc<Postgres> {
    postgres::shared().unwrap_or_else(|failure| panic!("{}", failure.message().unwrap_or_default()))
}

async fn connect(url: &str) -> PostgresStore {
    PostgresStore::connect(&PostgresSettings::parse(url).unwrap()).await.unwrap()
}
