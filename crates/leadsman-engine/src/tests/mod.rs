//! The engine over a small cluster of its own.

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
