//! The engine over a small cluster of its own.

mod detectors;
mod incidents;
mod world;
