use linfa::ParamGuard;
use proptest::prelude::*;

use crate::grow::threshold;
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
fn depth_cap_is_the_rounded_up_logarithm() {
    for (n_samples, cap) in [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (255, 8), (256, 8), (257, 9), (1 << 20, 20)] {
        assert_eq!(Shape { n_features: 1, n_samples }.depth_cap(), cap, "{n_samples} rows");
    }
}

proptest! {
    #[test]
    fn threshold_lies_above_low_and_up_to_high(a in super::any_finite(), b in super::any_finite(), share in 0.0..1.0_f64) {
        let (low, high) = (a.min(b), a.max(b));
        prop_assume!(low < high);
        for share in [share, 0.0, 1.0 - f64::EPSILON / 2.0] {
            let threshold = threshold(low, high, share);
            prop_assert!(low < threshold && threshold <= high);
        }
        prop_assert_eq!(threshold(low, low.next_up(), share).to_bits(), low.next_up().to_bits());
    }
}

#[test]
fn parameters_have_the_documented_defaults() {
    let params = IsolationForest::params().check().unwrap();
    assert_eq!((params.n_trees(), params.subsample_size(), params.seed()), (100, 256, 0));
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
