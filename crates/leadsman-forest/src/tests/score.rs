use linfa::DatasetBase;
use linfa::traits::{Predict, PredictInplace};
use ndarray::{Array1, Array2, Axis, array, concatenate};
use proptest::prelude::*;

use super::{any_finite, bits, fit, matrix, normals, scores, small, ties};
use crate::{ForestError, IsolationForest, SplitMode};

#[test]
fn planted_outliers_rank_above_normal_rows() {
    for (seed, split_mode) in (0..5).flat_map(|seed| [(seed, SplitMode::Standard), (seed, SplitMode::Guided)]) {
        let train = normals(1000, 5, seed);
        let planted = normals(20, 5, seed + 100) + 8.0;
        // the cluster is part of the training data, as in practice
        let x = concatenate![Axis(0), train, planted];
        let scores = scores(&fit(&IsolationForest::params().seed(seed).split_mode(split_mode), x.view()), x.view());
        let mut normal = scores.iter().take(1000).copied().collect::<Vec<_>>();
        normal.sort_by(f64::total_cmp);
        let mean = scores.iter().skip(1000).sum::<f64>() / 20.0;
        assert!(mean > normal[990], "seed {seed}: planted {mean}, 99th percentile {}", normal[990]);
        // the paper's 0.5 is the depth of a random tree, that of a guided forest the mean of its own
        assert!(
            normal[500] < if split_mode == SplitMode::Standard { 0.5 } else { 0.51 },
            "seed {seed}: a common row scores {}",
            normal[500]
        );
    }
}

#[test]
fn a_farther_outlier_scores_at_least_as_high() {
    for seed in 0..20 {
        let x = concatenate![Axis(0), normals(200, 1, seed), array![[10.0], [100.0]]];
        let forest = fit(&IsolationForest::params().seed(seed), x.view());
        let scores = scores(&forest, array![[0.0], [10.0], [100.0], [1e6]].view());
        assert!(scores.windows(2).into_iter().all(|pair| pair[0] <= pair[1]), "seed {seed}: {scores}");
    }
}

#[test]
fn the_score_of_a_known_tree_is_the_formula() {
    // two rows: every tree is one split with two leaves at depth 1 = c(2)
    let forest = fit(&small(), array![[0.0], [1.0]].view());
    assert_eq!(scores(&forest, array![[0.0], [1.0], [-5.0]].view()), array![0.5, 0.5, 0.5]);
}

#[test]
fn another_width_is_a_typed_error() {
    let forest = fit(&small(), normals(30, 3, 1).view());
    for width in [0, 2, 4] {
        let x = Array2::<f64>::zeros((2, width));
        let wrong = |error| matches!(error, ForestError::WrongWidth { expected: 3, found } if found == width);
        assert!(wrong(forest.score(x.view()).unwrap_err()));
        assert!(wrong(forest.attributions(x.view()).unwrap_err()));
        assert!(forest.predict(&x).iter().all(|score| score.is_nan()));
    }
}

#[test]
fn no_rows_give_no_scores() {
    let forest = fit(&small(), normals(30, 3, 1).view());
    assert_eq!(scores(&forest, Array2::zeros((0, 3)).view()).len(), 0);
    assert_eq!(forest.predict(&Array2::<f64>::zeros((0, 3))).len(), 0);
}

#[test]
fn predict_equals_score() {
    let x = normals(30, 3, 1);
    let forest = fit(&small(), x.view());
    let expected = bits(&scores(&forest, x.view()));
    assert_eq!(bits(&forest.predict(&x)), expected);
    assert_eq!(bits(&forest.predict(x.view()).targets), expected);
    let dataset: DatasetBase<_, Array1<f64>> = forest.predict(DatasetBase::from(x));
    assert_eq!(bits(&dataset.targets), expected);
}

#[test]
fn predict_gives_nan_only_where_score_would_fail() {
    let mut x = normals(4, 2, 1);
    let forest = fit(&small(), x.view());
    let expected = scores(&forest, x.view());
    x[[1, 0]] = f64::NAN;
    x[[3, 1]] = f64::INFINITY;
    let predicted = forest.predict(&x);
    assert!(predicted[1].is_nan() && predicted[3].is_nan());
    assert_eq!((predicted[0], predicted[2]), (expected[0], expected[2]));
}

#[test]
fn predict_replaces_a_target_of_another_length() {
    let x = normals(4, 2, 1);
    let forest = fit(&small(), x.view());
    for length in [0, 3, 4, 9] {
        let mut target = Array1::from_elem(length, 7.0);
        forest.predict_inplace(&x, &mut target);
        assert_eq!(target, scores(&forest, x.view()));
    }
}

proptest! {
    #[test]
    fn scores_lie_between_zero_and_one(x in matrix(ties()), scored in any_finite()) {
        let forest = fit(&small(), x.view());
        let other = Array2::from_elem((1, x.ncols()), scored);
        for score in scores(&forest, x.view()).iter().chain(&scores(&forest, other.view())) {
            prop_assert!(0.0 < *score && *score < 1.0);
        }
    }

    #[test]
    fn permuting_rows_permutes_scores(
        (x, order) in matrix(ties()).prop_flat_map(|x| {
            let order = Just((0..x.nrows()).collect::<Vec<_>>()).prop_shuffle();
            (Just(x), order)
        })
    ) {
        let forest = fit(&small(), normals(50, x.ncols(), 2).view());
        let permuted = scores(&forest, x.select(Axis(0), &order).view());
        prop_assert_eq!(bits(&permuted), bits(&scores(&forest, x.view()).select(Axis(0), &order)));
    }

    #[test]
    fn positive_affine_rescaling_before_fit_changes_nothing(
        x in matrix(ties()), scale in prop::collection::vec(0.01..100.0_f64, 4), shift in prop::collection::vec(-50.0..50.0_f64, 4)
    ) {
        let mut rescaled = x.clone();
        for ((_, column), value) in rescaled.indexed_iter_mut() {
            *value = *value * scale[column] + shift[column];
        }
        let (plain, other) = (fit(&small(), x.view()), fit(&small(), rescaled.view()));
        let (plain, other) = (scores(&plain, x.view()), scores(&other, rescaled.view()));
        for (a, b) in plain.iter().zip(&other) {
            prop_assert!((a - b).abs() < 1e-9, "{a} and {b}");
        }
    }

    #[test]
    fn beyond_the_fitted_range_scores_do_not_fall(x in matrix(ties()), near in 0.0..10.0_f64, far in 0.0..1e9_f64) {
        let column = x.column(0).insert_axis(Axis(1));
        let forest = fit(&small(), column);
        let high = column.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let low = column.iter().copied().fold(f64::INFINITY, f64::min);
        let points = array![[high], [high + near], [high + near + far], [low], [low - near], [low - near - far]];
        let scores = scores(&forest, points.view());
        for (a, b) in [(0, 1), (1, 2), (3, 4), (4, 5)] {
            prop_assert!(scores[a] <= scores[b]);
        }
    }
}

#[test]
fn every_number_type_and_layout_scores_the_same() {
    for columns in [3, 16, 17, 40, 70] {
        let single = normals(150, columns, 4).mapv(|value| value as f32);
        let double = single.mapv(f64::from);
        let forest = fit(&small(), double.view());
        let expected = bits(&scores(&forest, double.view()));
        assert_eq!(bits(&forest.score(single.view()).unwrap()), expected);
        let mut columns_first = Array2::zeros((columns, 150)).reversed_axes();
        columns_first.assign(&double);
        assert_eq!(bits(&scores(&forest, columns_first.view())), expected);
    }
}
