use linfa::ParamGuard;
use proptest::prelude::*;

use crate::exp2::exp2;
use crate::grid::{Grid, cell, middle};
use crate::grow::even_threshold;
use crate::path_length::average_path_length;
use crate::tree::Shape;
use crate::{ForestError, IsolationForest, IsolationForestParams, MAX_SUBSAMPLE_SIZE, MAX_TREES};

#[test]
fn average_path_length_matches_hand_computed_values() {
    // H(2) = 3/2, H(3) = 11/6, H(4) = 25/12, H(9) = 7129/2520
    let exact = [
        (0, 0.0),
        (1, 0.0),
        (2, 1.0),
        (3, 5.0 / 3.0),
        (4, 13.0 / 6.0),
        (5, 77.0 / 30.0),
        (10, 2.0 * 7129.0 / 2520.0 - 1.8),
    ];
    for (n, expected) in exact {
        assert!((average_path_length(n) - expected).abs() < 1e-14, "c({n}) = {}", average_path_length(n));
    }
    // H(255) = ln 255 + γ + 1/510 - 1/780300
    assert!((average_path_length(256) - 10.248_691_0).abs() < 1e-5, "{}", average_path_length(256));
}

#[test]
fn average_path_length_has_no_step_where_the_series_takes_over() {
    // c(n+1) - c(n) = 2/n - 2/(n(n+1)), which both sides of the change must respect
    for n in 250_u32..265 {
        let step = average_path_length(n + 1) - average_path_length(n);
        let n = f64::from(n);
        assert!((step - 2.0 / (n + 1.0)).abs() < 1e-13, "n = {n}: {step}");
    }
}

#[test]
fn depth_cap_is_the_rounded_up_logarithm_and_at_most_eight() {
    for (n_samples, cap) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (255, 8), (256, 8), (257, 8), (1 << 16, 8)] {
        assert_eq!(Shape { n_columns: 1, n_samples }.depth_cap(), cap, "{n_samples} rows");
    }
}

#[test]
fn cells_are_monotone_and_their_middles_lie_in_them() {
    assert!((1..255_u8).map(middle).is_sorted_by(|a, b| a < b));
    for bin in 1..255_u8 {
        assert_eq!(cell(middle(bin) as f32), bin);
    }
    assert_eq!((cell(f32::MIN), cell(f32::NEG_INFINITY), cell(f32::MAX), cell(f32::INFINITY)), (1, 1, 254, 254));
    assert_eq!((cell(0.0), cell(-0.0), cell(f32::MIN_POSITIVE), cell(-f32::MIN_POSITIVE)), (128, 127, 128, 127));
}

#[test]
fn a_grid_resolves_tiny_and_huge_spreads() {
    for unit in [1e-300, 1e-9, 1.0, 1e9, 1e300] {
        let grid = Grid::of_sample(&mut [-2.0 * unit, -unit, 0.0, unit, 2.0 * unit]);
        let bins: Vec<u8> = [-2.0, -1.0, 0.0, 1.0, 2.0].map(|times| grid.bin(times * unit)).to_vec();
        assert!(bins.is_sorted_by(|a, b| a < b), "{unit}: {bins:?}");
    }
    // most values equal: the others decide
    let grid = Grid::of_sample(&mut [5.0, 5.0, 5.0, 5.0, 6.0, 9.0]);
    assert!(grid.bin(5.0) < grid.bin(6.0) && grid.bin(6.0) < grid.bin(9.0));
    assert_eq!(Grid::of_sample(&mut []), Grid::of_sample(&mut [0.0, 0.0]));
}

#[test]
fn powers_of_two_are_those_of_the_library() {
    let exponents: Vec<f64> = (0..100_003).map(|step| -f64::from(step) / 2000.0).collect();
    let mut powers = exponents.clone();
    exp2(&mut powers);
    for (x, own) in exponents.iter().zip(&powers) {
        assert!((own - x.exp2()).abs() <= 2.0 * f64::EPSILON * own, "2^{x}: {own} and {}", x.exp2());
    }
    assert!(powers.is_sorted_by(|a, b| a > b));
    let mut exact = [0.0, -1.0, -900.0, f64::NEG_INFINITY];
    exp2(&mut exact);
    assert_eq!(exact.map(f64::to_bits), [1.0, 0.5, (-900.0_f64).exp2(), (-1000.0_f64).exp2()].map(f64::to_bits));
}

proptest! {
    #[test]
    fn bins_are_monotone(mut sample in prop::collection::vec(super::any_finite(), 1..40), a in super::any_finite(), b in super::any_finite()) {
        let grid = Grid::of_sample(&mut sample);
        prop_assert!(grid.bin(a.min(b)) <= grid.bin(a.max(b)));
        prop_assert!((1..u8::MAX).contains(&grid.bin(b)));
    }

    #[test]
    fn a_threshold_leaves_neither_side_empty(a in 1_u8..255, b in 1_u8..255, share in 0.0..1.0_f64) {
        prop_assume!(a != b);
        for share in [share, 0.0, 1.0 - f64::EPSILON / 2.0] {
            let threshold = even_threshold(a.min(b), a.max(b), middle, share);
            prop_assert!(a.min(b) < threshold && threshold <= a.max(b));
        }
    }
}

#[test]
fn parameters_have_the_documented_defaults() {
    let params = IsolationForest::params().check().unwrap();
    assert_eq!((params.n_trees(), params.subsample_size(), params.seed()), (200, 256, 0));
    assert_eq!(IsolationForestParams::default(), IsolationForest::params());
}

#[test]
fn parameters_are_checked_at_their_bounds() {
    let n_trees = |n| IsolationForest::params().n_trees(n).check();
    let subsample_size = |n| IsolationForest::params().subsample_size(n).check();
    for n in [1, MAX_TREES] {
        assert!(n_trees(n).is_ok());
    }
    for n in [0, MAX_TREES + 1, usize::MAX] {
        assert!(matches!(n_trees(n), Err(ForestError::NumberOfTrees { n_trees }) if n_trees == n));
    }
    for n in [2, MAX_SUBSAMPLE_SIZE] {
        assert!(subsample_size(n).is_ok());
    }
    for n in [0, 1, MAX_SUBSAMPLE_SIZE + 1, usize::MAX] {
        assert!(matches!(subsample_size(n), Err(ForestError::SubsampleSize { subsample_size }) if subsample_size == n));
    }
}

#[test]
fn public_types_are_plain_values() {
    fn plain<T: Send + Sync + Sized + Unpin>() {}
    plain::<ForestError>();
    plain::<IsolationForest>();
    plain::<IsolationForestParams>();
}
