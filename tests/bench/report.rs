//! What every benchmark has in common: CPU time, medians, and how results are written. Included by path.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::path::{Path, PathBuf};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// One figure, beside that of a peer or a limit from the same run.
#[derive(serde::Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// Says which way is better.
    pub(crate) unit: &'static str,
    pub(crate) peer: Option<String>,
    pub(crate) peer_value: Option<f64>,
    /// `value` / `peer_value`.
    pub(crate) ratio: Option<f64>,
}

impl Row {
    pub(crate) fn alone(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, peer: None, peer_value: None, ratio: None }
    }

    pub(crate) fn beside(
        name: impl Into<String>,
        value: f64,
        unit: &'static str,
        peer: impl Into<String>,
        peer_value: f64,
    ) -> Self {
        let (peer, ratio) = (Some(peer.into()), Some(value / peer_value));
        Self { peer, peer_value: Some(peer_value), ratio, ..Self::alone(name, value, unit) }
    }
}

/// Where results and what the peers need are kept: `target/bench`.
pub(crate) fn scratch() -> Result<PathBuf, Failure> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    let folder = workspace.ok_or("the benchmark is in no workspace")?.join("target/bench");
    std::fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?)
}

/// Writes `target/bench/NAME.json`, and the same as a table to standard output.
#[expect(clippy::print_stdout, reason = "a benchmark prints its table")]
pub(crate) fn write(name: &str, rows: &[Row]) -> Result<(), Failure> {
    std::fs::write(scratch()?.join(format!("{name}.json")), serde_json::to_vec_pretty(rows)?)?;
    for row in rows {
        let against = row.peer.as_ref().zip(row.ratio).map_or(String::new(), |(peer, x)| format!("{x:.3} of {peer}"));
        println!("{:<58} {:>14.3} {:<34} {against}", row.name, row.value, row.unit);
    }
    Ok(())
}

/// The value in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
