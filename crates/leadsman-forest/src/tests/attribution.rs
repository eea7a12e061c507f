use ndarray::{Array1, Axis, array};
use proptest::prelude::*;

use super::{any_finite, fit, matrix, normals, scores, small, ties};
use crate::path_length::average_path_length;
use crate::{Attributions, IsolationForest, SplitMode};

fn check_sums(Attributions { mean_root_depth, depth, by_feature }: &Attributions) {
    for (row, (&depth, sum)) in depth.iter().zip(by_feature.sum_axis(Axis(1))).enumerate() {
        assert!((sum - (mean_root_depth - depth)).abs() < 1e-9, "row {row}: {sum} and {mean_root_depth} - {depth}");
    }
}

#[test]
fn the_column_of_an_outlier_is_named() {
    let mut x = normals(500, 6, 1);
    x[[0, 4]] = 25.0;
    x[[1, 2]] = -25.0;
    let forest = fit(&IsolationForest::params().seed(2), x.view());
    let attributions = forest.attributions(x.view()).unwrap();
    for (row, column) in [(0, 4), (1, 2)] {
        let shares = attributions.by_feature.row(row);
        assert!(shares[column] > 1.0, "row {row}: {shares}");
        let others = shares.iter().enumerate().filter(|(other, _)| *other != column);
        assert!(others.into_iter().all(|(_, &share)| share < shares[column] * 0.75), "row {row}: {shares}");
    }
}

#[test]
fn a_constant_column_has_no_share() {
    let mut x = normals(100, 3, 1);
    x.column_mut(1).fill(4.0);
    let attributions = fit(&small(), x.view()).attributions(x.view()).unwrap();
    assert_eq!(attributions.by_feature.column(1), Array1::<f64>::zeros(100));
}

#[test]
fn a_tree_of_one_leaf_has_shares_of_zero() {
    let forest = fit(&small(), array![[1.0], [1.0], [1.0]].view());
    let attributions = forest.attributions(array![[1.0], [8.0]].view()).unwrap();
    assert!((attributions.mean_root_depth - average_path_length(3)).abs() < 0.5 / 256.0);
    assert_eq!(attributions.by_feature, array![[0.0], [0.0]]);
}

#[test]
fn the_root_depth_is_the_mean_over_the_sample() {
    // every tree sees all rows, so that the mean depth of the rows is that of the roots; rounded at each level
    let x = normals(24, 3, 1);
    let attributions = fit(&small(), x.view()).attributions(x.view()).unwrap();
    assert!((attributions.depth.mean().unwrap() - attributions.mean_root_depth).abs() < 8.0 * 0.5 / 256.0);
}

proptest! {
    #[test]
    fn shares_of_a_row_add_up(x in matrix(ties())) {
        check_sums(&fit(&small(), x.view()).attributions(x.view()).unwrap());
    }

    #[test]
    fn shares_add_up_on_rows_the_forest_never_saw(x in matrix(any_finite())) {
        check_sums(&fit(&small(), normals(50, x.ncols(), 2).view()).attributions(x.view()).unwrap());
    }

    #[test]
    fn depths_are_those_behind_the_score(x in matrix(ties()), guided: bool) {
        prop_assume!(x.nrows() > 1);
        let split_mode = if guided { SplitMode::Guided } else { SplitMode::Standard };
        let forest = fit(&small().split_mode(split_mode), x.view());
        let Attributions { mean_root_depth, depth, .. } = forest.attributions(x.view()).unwrap();
        // c(ψ), rounded to steps, or the mean over the training data
        let average = (average_path_length(u32::try_from(forest.subsample_size()).unwrap()) * 256.0).round() / 256.0;
        let unit = if guided { mean_root_depth } else { average };
        for (score, depth) in scores(&forest, x.view()).iter().zip(depth) {
            prop_assert!((score - (-depth / unit).exp2()).abs() < 1e-12);
        }
    }
}
