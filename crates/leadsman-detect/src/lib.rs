//! Detectors, calibration and explanation. Pure and seeded: the same model and events give the same bits.
//!
//! - [`novelty`]: how surprising one event is against the actor's own history, its peers and the cluster.
//! - [`peers`]: which actors are alike (k-means over what they do).
//! - [`sight`]: what could be seen in training, so that blindness is noticed.
//! - [`strangeness`]: isolation forests over windows, one per stratum.
//! - [`usage`]: resource usage of a workload against its own habit.
//! - [`calibration`]: raw scores to expected benign recurrences per day.
//! - [`detectors`]: which detectors are on.
//! - [`evidence`]: detectors and rules to one number, the alert line and the 0–100 score.
//! - [`attack`]: techniques by id.
//! - [`rules`]: the rule floor and decoys, in Sigma form.
//! - [`explain`]: the sentence and the contributions.
//! - [`model`]: all fitted parts as one versioned, checked file.

pub mod action;
pub mod attack;
pub mod calibration;
pub mod detectors;
mod error;
pub mod evidence;
pub mod explain;
pub mod model;
pub mod novelty;
pub mod peers;
pub mod rules;
pub mod sight;
pub mod strangeness;
pub mod usage;

pub use detectors::Detectors;
pub use error::DetectError;
pub use model::FittedModel;
