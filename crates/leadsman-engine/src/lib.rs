//! Plain state machines over the detectors. No I/O, no clock, no runtime: a log of events and a model give
//! the same findings, bit for bit, however the log is cut into batches.
//!
//! [`Engine`] turns events and closed windows into findings; [`ShardState`] is everything it remembers of
//! one partition; [`Trainer`] is the same machinery pointed at a training period.

mod audit_ids;
mod blindness;
mod budget;
mod counterfactual;
mod engine;
mod error;
mod hits;
mod in_order;
mod incidents;
mod links;
mod observer;
mod report;
mod requests;
mod rollouts;
mod shard;
mod sight;
mod summary;
mod train;
mod windows;

#[cfg(test)]
mod tests;

pub use blindness::{Gap, Unit};
pub use engine::{Engine, EngineSettings, Polarity, ScoredWindow};
pub use error::EngineError;
pub use requests::Admission;
pub use shard::{ObserveCounts, ShardState};
pub use summary::DataSummary;
pub use train::{TrainReport, TrainSpec, Trainer};

use std::time::Duration;

/// How long a window stays open for events that arrive out of order.
pub const ALLOWED_LATENESS: Duration = Duration::from_secs(300);
