use std::collections::BTreeSet;

use ndarray::{Array2, Axis, array, concatenate};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::{any_finite, bytes, fit, matrix, normals, scores, small, ties, try_fit};
use crate::sample::Sampler;
use crate::tree::Node;
use crate::{ForestError, IsolationForest};

/// The columns that the nodes of a forest split on.
fn splits(forest: &IsolationForest) -> Vec<u16> {
    let column = |node: &Node| match *node {
        Node::Split { column, .. } => Some(column),
        Node::Leaf { .. } => None,
    };
    forest.trees().iter().flat_map(|tree| tree.nodes()).filter_map(column).collect()
}

#[test]
fn invalid_parameters_never_reach_fit() {
    let x = array![[1.0], [2.0]];
    assert!(matches!(try_fit(&small().n_trees(0), x.view()), Err(ForestError::NumberOfTrees { n_trees: 0 })));
}

#[test]
fn no_data_is_a_typed_error() {
    for (rows, columns) in [(0, 0), (0, 3), (3, 0)] {
        let result = try_fit(&small(), Array2::zeros((rows, columns)).view());
        assert!(matches!(result, Err(ForestError::NoData { rows: r, columns: c }) if (r, c) == (rows, columns)));
    }
}

#[test]
fn values_that_are_not_finite_are_a_typed_error() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let mut x = normals(10, 3, 1);
        x[[7, 2]] = value;
        x[[8, 0]] = value;
        assert!(matches!(try_fit(&small(), x.view()), Err(ForestError::NotFinite { row: 7, column: 2 })));
        let forest = fit(&small(), normals(10, 3, 1).view());
        assert!(matches!(forest.score(x.view()), Err(ForestError::NotFinite { row: 7, column: 2 })));
        assert!(matches!(forest.attributions(x.view()), Err(ForestError::NotFinite { row: 7, column: 2 })));
    }
}

#[test]
fn one_row_scores_a_half_everywhere() {
    let forest = fit(&small(), array![[3.0, 4.0]].view());
    assert_eq!(forest.subsample_size(), 1);
    assert_eq!(scores(&forest, array![[3.0, 4.0], [1e300, -7.0]].view()), array![0.5, 0.5]);
}

#[test]
fn equal_rows_score_a_half_everywhere() {
    let forest = fit(&small(), Array2::from_elem((40, 2), 1.5).view());
    assert!(splits(&forest).is_empty());
    assert_eq!(scores(&forest, array![[1.5, 1.5], [9.0, 9.0]].view()), array![0.5, 0.5]);
}

#[test]
fn a_subsample_larger_than_the_data_uses_them_whole() {
    let forest = fit(&small().subsample_size(1000), normals(20, 2, 3).view());
    assert_eq!((forest.subsample_size(), forest.n_features(), forest.n_trees()), (20, 2, 12));
    assert_eq!(bytes(&forest), bytes(&fit(&small().subsample_size(20), normals(20, 2, 3).view())));
}

#[test]
fn constant_columns_are_never_split() {
    let mut x = normals(100, 4, 2);
    x.column_mut(0).fill(3.0);
    x.column_mut(2).fill(-0.0);
    x[[5, 2]] = 0.0;
    let columns = splits(&fit(&small(), x.view()));
    assert!(columns.iter().all(|column| [1, 3].contains(column)));
    assert!(columns.contains(&1) && columns.contains(&3));
}

#[test]
fn a_lone_varying_column_among_constants_is_always_found() {
    let mut x = Array2::zeros((32, 20));
    x.column_mut(13).assign(&normals(32, 1, 4).column(0));
    for tree in fit(&small(), x.view()).trees() {
        assert!(matches!(tree.nodes()[0], Node::Split { column: 13, .. }));
    }
}

#[test]
fn a_duplicate_column_keeps_the_ranking_of_an_outlier() {
    let mut x = normals(200, 2, 6);
    x.row_mut(0).fill(12.0);
    let doubled = concatenate![Axis(1), x, x];
    let scores = scores(&fit(&small(), doubled.view()), doubled.view());
    assert!(scores.iter().skip(1).all(|&other| other < scores[0]));
}

#[test]
fn sampled_rows_are_distinct_and_evenly_drawn() {
    let mut drawn = [0_u32; 50];
    for tree in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(tree);
        let rows = Sampler::Even { rows: 50 }.draw(10, &mut rng);
        assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), 10);
        rows.into_iter().for_each(|row| drawn[row] += 1);
    }
    // 400 each, standard deviation 18
    assert!(drawn.iter().all(|count| (310..490).contains(count)), "{drawn:?}");
}

#[test]
fn the_layout_of_the_matrix_does_not_matter() {
    let x = normals(80, 3, 8);
    let mut columns_first = Array2::zeros((3, 80)).reversed_axes();
    columns_first.assign(&x);
    assert_eq!(bytes(&fit(&small(), x.view())), bytes(&fit(&small(), columns_first.view())));
}

#[test]
fn more_trees_leave_the_first_ones_as_they_were() {
    let x = normals(80, 3, 8);
    let (few, many) = (fit(&small().n_trees(3), x.view()), fit(&small().n_trees(9), x.view()));
    assert_eq!(few.trees(), &many.trees()[..3]);
    assert_ne!(many.trees()[0], many.trees()[1]);
}

proptest! {
    #[test]
    fn same_seed_gives_the_same_bytes(x in matrix(ties()), seed: u64) {
        let params = small().seed(seed);
        prop_assert_eq!(bytes(&fit(&params, x.view())), bytes(&fit(&params, x.view())));
    }

    #[test]
    fn the_order_of_rows_that_all_trees_see_does_not_matter(
        (x, order) in matrix(any_finite()).prop_flat_map(|x| {
            let order = Just((0..x.nrows()).collect::<Vec<_>>()).prop_shuffle();
            (Just(x), order)
        })
    ) {
        let params = small().subsample_size(64);
        let shuffled = x.select(Axis(0), &order);
        prop_assert_eq!(bytes(&fit(&params, x.view())), bytes(&fit(&params, shuffled.view())));
    }

    #[test]
    fn another_seed_gives_another_forest(seed: u64, other: u64) {
        prop_assume!(seed != other);
        let x = normals(64, 3, 9);
        prop_assert_ne!(bytes(&fit(&small().seed(seed), x.view())), bytes(&fit(&small().seed(other), x.view())));
    }

    #[test]
    fn any_finite_values_fit_with_scores_inside_the_bounds(x in matrix(any_finite())) {
        let forest = fit(&small(), x.view());
        prop_assert!(scores(&forest, x.view()).iter().all(|&score| 0.0 < score && score < 1.0));
    }

    #[test]
    fn every_leaf_holds_rows_and_together_they_hold_all(x in matrix(any_finite())) {
        let forest = fit(&small().subsample_size(64), x.view());
        for tree in forest.trees() {
            let held: Vec<u32> = tree.nodes().iter().filter_map(|node| match *node {
                Node::Leaf { rows } => Some(rows),
                Node::Split { .. } => None,
            }).collect();
            prop_assert!(held.iter().all(|&rows| rows > 0));
            prop_assert_eq!(held.iter().sum::<u32>() as usize, x.nrows());
        }
    }
}
