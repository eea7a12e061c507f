use ndarray::{Array1, Axis, array};
use proptest::prelude::*;

use super::{any_finite, bits, fit, matrix, normals, small, ties};
use crate::path_length::average_path_length;
use crate::{Attributions, IsolationForest};

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
        assert!(others.into_iter().all(|(_, &share)| share < shares[column] / 2.0), "row {row}: {shares}");
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
    assert!((attributions.mean_root_depth - average_path_length(3)).abs() < 1e-12);
    assert_eq!(attributions.by_feature, array![[0.0], [0.0]]);
}

#[test]
fn the_root_depth_is_the_mean_over_the_sample() {
    // every tree sees all rows, so that the mean depth of the rows is that of the roots
    let x = normals(24, 3, 1);
    let attributions = fit(&small(), x.view()).attributions(x.view()).unwrap();
    assert!((attributions.depth.mean().unwrap() - attributions.mean_root_depth).abs() < 1e-12);
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
    fn depths_are_those_behind_the_score(x in matrix(ties())) {
        prop_assume!(x.nrows() > 1);
        let forest = fit(&small(), x.view());
        let depth = forest.attributions(x.view()).unwrap().depth;
        let average = average_path_length(u32::try_from(forest.subsample_size()).unwrap());
        let expected = depth.mapv(|depth| (-depth / average).exp2());
        prop_assert_eq!(bits(&forest.score(x.view()).unwrap()), bits(&expected));
    }
}
