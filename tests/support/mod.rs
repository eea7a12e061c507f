//! What the tests stand on: a broker, a database server, a Prometheus, the binary under test, data sets.

pub(crate) mod broker;
pub(crate) mod certificates;
pub(crate) mod compose;
pub(crate) mod data;
pub(crate) mod http;
pub(crate) mod leadsman;
#[expect(dead_code, reason = "the tests of the store, which share it, ask for more")]
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod relay;
pub(crate) mod router;
pub(crate) mod secure;
mod wait;
pub(crate) mod yaml;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;

pub(crate) use wait::{DEADLINE, Result, environment, free_port, tail, wait_until};

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
    /// The programs of a PostgreSQL server.
    Postgres,
    /// The programs `prometheus` and `promtool`.
    Prometheus,
    /// Docker Compose, without a daemon.
    Compose,
    /// The right to make networks, and packet filters in them.
    Router,
    /// A folder of the data sets.
    Dataset(&'static str),
}

/// The root of the workspace.
pub(crate) fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// As many loopback ports, different from each other, that nothing listens on.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<std::io::Result<_>>()?;
    Ok(held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}
