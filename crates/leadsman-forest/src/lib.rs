//! Isolation forest behind linfa's traits: seeded, serialisable, explained.
//!
//! An isolation forest asks how few random cuts it takes to set a row apart from a sample of the
//! others. Strange rows stand alone after a few cuts, ordinary ones need many. No distance and no
//! density is computed, so columns need no common unit.
//!
//! ## Parameters
//!
//! [`IsolationForest::params`] starts a builder whose values are checked before
//! [`Fit::fit`](linfa::traits::Fit::fit) runs; see [`IsolationForestParams`].
//!
//! ## Results
//!
//! * [`IsolationForest::score`]: how strange each row is, with typed errors for unusable input.
//! * [`Predict::predict`](linfa::traits::Predict::predict): the same numbers without the errors.
//! * [`IsolationForest::attributions`]: which columns made a row strange, as exact shares.
//!
//! ## Guarantees
//!
//! * One seed and one matrix give one forest, byte for byte: the generator of each tree depends on
//!   the seed and the index of the tree alone.
//! * A forest read through serde is either sound or an error. It can neither index out of bounds
//!   nor loop, whatever the bytes were.
//!
//! ## Example
//!
//! ```
//! use leadsman_forest::IsolationForest;
//! use linfa::DatasetBase;
//! use linfa::traits::{Fit, Predict};
//! use ndarray::{Array2, array};
//!
//! // 400 rows between 0 and 1 in both columns, and one that is strange in the second
//! let mut x = Array2::from_shape_fn((401, 2), |(row, column)| ((row * (7 + 6 * column)) % 101) as f64 / 100.0);
//! x.row_mut(400).assign(&array![0.5, 9.0]);
//!
//! let dataset = DatasetBase::from(x.view());
//! let forest = IsolationForest::params().n_trees(50).seed(7).fit(&dataset)?;
//! let scores = forest.predict(&x);
//! assert!(scores[400] > 0.6);
//! assert!(scores.iter().take(400).all(|&score| score < scores[400]));
//!
//! // the second column is the reason
//! let attributions = forest.attributions(x.view())?;
//! assert!(attributions.by_feature[[400, 1]] > attributions.by_feature[[400, 0]]);
//! # Ok::<(), leadsman_forest::ForestError>(())
//! ```
//!
//! Source: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008.

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
