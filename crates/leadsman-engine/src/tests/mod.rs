//! The engine over a small cluster of its own.

mod counterfactuals;
mod detectors;
mod incidents;
mod sight;
mod world;
