#![doc = include_str!("../README.md")]
//!
//! ## Guarantees
//!
//! * One seed and one matrix give one forest, byte for byte: the generator of each tree depends on
//!   the seed and the index of the tree alone.
//! * Scores are sums of whole numbers and one power of two that is computed here, so that every kernel and every platform
//!   gives the same bits. Rows do not affect each other: a matrix may be cut and scored on any number of threads.
//! * A forest that was read is either sound or an error. It can neither index out of bounds nor loop, whatever the
//!   bytes were.
//! * NaN and infinite values are typed errors, or, where [`Missing`] allows it, NaN stands for the typical value. Nothing
//!   panics.

mod algorithm;
mod attribution;
mod bytes;
mod category;
mod encode;
mod error;
mod exp2;
mod fit;
mod grid;
mod grow;
mod hyperparams;
mod kernel;
mod path_length;
mod profile;
mod sample;
mod score;
mod shapley;
mod tails;
mod tree;

#[cfg(test)]
mod tests;

pub use algorithm::IsolationForest;
pub use attribution::Attributions;
pub use error::{ForestError, MAX_FEATURES, TreeDefect};
pub use hyperparams::{
    IsolationForestParams, IsolationForestValidParams, MAX_SUBSAMPLE_SIZE, MAX_TREES, Missing, SplitMode,
};
pub use kernel::Kernel;
