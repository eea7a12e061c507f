//! What the tests stand on: a broker, a Prometheus, the binary under test, data sets.

pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod compose;
pub(crate) mod data;
pub(crate) mod http;
pub(crate) mod leadsman;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod secure;
pub(crate) mod yaml;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Outcome of a test or of a support function; any displayable error turns into a failure.
pub(crate) type Result<T> = std::result::Result<T, libtest_mimic::Failed>;

/// One test.
pub(crate) struct Case {
    /// `file::what_it_shows`.
    pub(crate) name: &'static str,
    /// What must be there.
    pub(crate) needs: &'static [Need],
    /// The test.
    pub(crate) run: fn() -> Result<()>,
}

/// Something outside the tree that a test needs.
pub(crate) enum Need {
    /// Java and the jars of the broker.
    Broker,
    /// The programs `prometheus` and `promtool`.
    Prometheus,
    /// Docker Compose, without a daemon.
    Compose,
    /// A folder of the data sets.
    Dataset(&'static str),
}

/// How long anything may take to start, answer or stop before the test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

const PAUSE: Duration = Duration::from_millis(20);

/// Polls until `poll` yields a value; fails with `what` when the deadline passes, and at the first error.
pub(crate) fn wait_until<T>(what: &str, deadline: Duration, mut poll: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = poll()? {
            return Ok(value);
        }
        if started.elapsed() >= deadline {
            return Err(format!("{what}: not within {} s", deadline.as_secs()).into());
        }
        std::thread::sleep(PAUSE);
    }
}

/// A loopback port that nothing listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// As many loopback ports, different from each other, that nothing listens on.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
    Ok(held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// An environment variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "the tests are told by the environment where things are")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The last lines of a log, for a failure message.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
