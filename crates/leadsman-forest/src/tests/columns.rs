//! Missing values and categories.

use ndarray::{Array2, Axis, array, concatenate};

use super::{bits, fit, normals, scores, small, try_fit};
use crate::{ForestError, IsolationForest, Missing};

#[test]
fn a_missing_value_is_taken_for_the_median() {
    let mut x = normals(301, 3, 1);
    let forest = fit(&small().missing(Missing::Typical), x.view());
    let mut column = x.column(1).to_vec();
    column.sort_by(f64::total_cmp);
    let median = column[150];
    x[[0, 1]] = f64::NAN;
    let with_gap = scores(&forest, x.view());
    x[[0, 1]] = median;
    assert_eq!(bits(&with_gap), bits(&scores(&forest, x.view())));
}

#[test]
fn gaps_in_the_training_data_are_no_reason_to_be_strange() {
    let mut x = normals(500, 3, 1);
    for row in 0..250 {
        x[[row, 2]] = f64::NAN;
    }
    x.row_mut(499).fill(9.0);
    let forest = fit(&IsolationForest::params().missing(Missing::Typical), x.view());
    let scores = scores(&forest, x.view());
    let mean = |rows: std::ops::Range<usize>| scores.slice(ndarray::s![rows]).mean().unwrap();
    assert!(mean(0..250) < mean(250..499));
    assert!(scores.iter().take(499).all(|score| *score < scores[499]));
}

#[test]
fn infinite_values_are_refused_even_where_missing_ones_are_not() {
    let params = small().missing(Missing::Typical);
    let mut x = normals(40, 2, 1);
    let forest = fit(&params, x.view());
    x[[33, 1]] = f64::INFINITY;
    assert!(matches!(forest.score(x.view()), Err(ForestError::NotFinite { row: 33, column: 1 })));
    assert!(matches!(
        try_fit(&params.subsample_size(40), x.view()),
        Err(ForestError::NotFinite { row: 33, column: 1 })
    ));
}

#[test]
fn a_column_of_gaps_only_is_constant() {
    let mut x = normals(40, 2, 1);
    x.column_mut(0).fill(f64::NAN);
    let forest = fit(&small().missing(Missing::Typical), x.view());
    assert!(forest.attributions(x.view()).unwrap().by_feature.column(0).iter().all(|share| share.abs() < 1e-12));
}

/// Codes 0, 10, 20 … whose middle one is rare: by value it is the most ordinary of all.
fn codes() -> Array2<f64> {
    Array2::from_shape_fn((400, 1), |(row, _)| if row == 0 { 50.0 } else { [0.0, 10.0, 90.0, 100.0][row % 4] })
}

#[test]
fn a_rare_category_between_common_ones_is_strange() {
    let x = concatenate![Axis(1), codes(), normals(400, 1, 2) * 0.01];
    let forest = fit(&IsolationForest::params().categorical([0]), x.view());
    let scores = scores(&forest, x.view());
    let higher = scores.iter().filter(|score| **score >= scores[0]).count();
    assert!(higher <= 8, "{higher} of 400 rows are at least as strange");
    let shares = forest.attributions(x.slice(ndarray::s![..1, ..])).unwrap().by_feature;
    assert!(shares[[0, 0]] > shares[[0, 1]], "{shares}");
}

#[test]
fn renaming_categories_changes_nothing_but_names() {
    // an order-keeping renaming: the same ranks, the same random orders
    let x = codes();
    let renamed = x.mapv(|code| code * 7.0 - 1000.0);
    let params = IsolationForest::params().categorical([0]);
    let (plain, other) = (fit(&params, x.view()), fit(&params, renamed.view()));
    assert_eq!(bits(&scores(&plain, x.view())), bits(&scores(&other, renamed.view())));
}

#[test]
fn an_unknown_category_scores_without_an_error() {
    let forest = fit(&IsolationForest::params().categorical([0]), codes().view());
    let scores = scores(&forest, array![[0.0], [12345.0], [-1.0]].view());
    assert!(scores.iter().all(|score| 0.0 < *score && *score < 1.0));
    assert_eq!(scores[1].to_bits(), scores[2].to_bits());
}

#[test]
fn more_categories_than_bins_are_fitted() {
    let x = Array2::from_shape_fn((2000, 1), |(row, _)| row as f64);
    let forest = fit(&IsolationForest::params().categorical([0]), x.view());
    assert!(scores(&forest, x.view()).iter().all(|score| score.is_finite()));
}

#[test]
fn a_categorical_column_that_does_not_exist_is_a_typed_error() {
    let result = try_fit(&small().categorical([1, 5]), normals(20, 3, 1).view());
    assert!(matches!(result, Err(ForestError::NoSuchColumn { column: 5, columns: 3 })));
}
