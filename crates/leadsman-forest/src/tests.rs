use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, ArrayView2};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{ForestError, IsolationForest, IsolationForestParams};

mod attribution;
mod columns;
mod fit;
mod kernels;
mod persistence;
mod pieces;
mod score;
mod shapley;
mod weights;

/// Few trees keep property tests in milliseconds.
fn small() -> IsolationForestParams {
    IsolationForest::params().n_trees(12).subsample_size(32).seed(5)
}

fn try_fit(params: &IsolationForestParams, x: ArrayView2<'_, f64>) -> Result<IsolationForest, ForestError> {
    params.fit(&DatasetBase::from(x))
}

fn fit(params: &IsolationForestParams, x: ArrayView2<'_, f64>) -> IsolationForest {
    try_fit(params, x).unwrap()
}

fn scores(forest: &IsolationForest, x: ArrayView2<'_, f64>) -> Array1<f64> {
    forest.score(x).unwrap()
}

fn bytes(forest: &IsolationForest) -> Vec<u8> {
    forest.to_bytes()
}

fn bits(values: &Array1<f64>) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Roughly normal values, mean 0 and variance 1: sums of twelve uniform ones.
fn normals(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((rows, columns), || (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0)
}

/// Matrices of up to 60 × 4 drawn from `values`.
fn matrix(values: impl Strategy<Value = f64> + Clone) -> impl Strategy<Value = Array2<f64>> {
    (1_usize..60, 1_usize..5).prop_flat_map(move |(rows, columns)| {
        prop::collection::vec(values.clone(), rows * columns)
            .prop_map(move |values| Array2::from_shape_vec((rows, columns), values).unwrap())
    })
}

/// Whole numbers in a small range, so that ties and constant columns are common.
fn ties() -> impl Strategy<Value = f64> + Clone {
    (-20_i32..20).prop_map(f64::from)
}

/// Every finite number, the extreme ones often.
fn any_finite() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![
        (-1e3..1e3_f64),
        prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        Just(f64::MAX),
        Just(f64::MIN),
        Just(1e300),
        Just(-1e300),
    ]
}
