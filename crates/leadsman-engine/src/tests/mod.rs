//! The engine over a small cluster of its own.

mod audit_ids;
mod broken;
mod counterfactuals;
mod detectors;
mod incidents;
mod poisoning;
mod requests;
mod rollouts;
mod rules;
mod sight;
mod world;

use leadsman_detect::{DetectError, FittedModel};

/// Features could not tell times in longer windows apart, and shorter ones have nothing in them.
#[test]
fn a_model_of_windows_that_cannot_be_is_refused() {
    let of = |window_seconds| FittedModel { window_seconds, ..FittedModel::clone(world::model()) };
    for (seconds, fits) in [(0, false), (59, false), (60, true), (3_600, true), (3_601, false), (u64::MAX, false)] {
        let read = FittedModel::from_bytes(&of(seconds).to_bytes().unwrap());
        assert_eq!(read.is_ok(), fits, "{seconds}");
        assert!(read.is_ok() || matches!(read, Err(DetectError::Damaged(_))));
    }
}
