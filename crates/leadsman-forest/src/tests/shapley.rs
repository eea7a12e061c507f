//! Shapley values against their definition.

use ndarray::{Array2, Axis};
use proptest::prelude::*;

use super::{fit, matrix, normals, small, ties};
use crate::tree::Node;
use crate::{IsolationForest, SplitMode};

/// Expected path of a row in a tree where only `known` columns count, in edges.
fn expected(nodes: &mut std::slice::Iter<'_, Node>, bins: &[u8], known: u32, depth: f64) -> (f64, f64) {
    match *nodes.next().unwrap() {
        Node::Leaf { rows } => {
            let path = depth + (crate::path_length::average_path_length(rows) * 256.0).round() / 256.0;
            (path, f64::from(rows))
        }
        Node::Split { column, threshold, edge } => {
            let depth = depth + (f64::from(edge) + 1.0) / 256.0;
            let (left, left_rows) = expected(nodes, bins, known, depth);
            let (right, right_rows) = expected(nodes, bins, known, depth);
            let rows = left_rows + right_rows;
            let column = usize::from(column);
            let path = if known >> column & 1 == 0 {
                (left * left_rows + right * right_rows) / rows
            } else if bins[column] < threshold {
                left
            } else {
                right
            };
            (path, rows)
        }
    }
}

/// The definition: the mean over all orders of what a column adds when it becomes known.
fn brute_force(forest: &IsolationForest, row: &[f64]) -> Vec<f64> {
    let n = row.len();
    let mut bins = vec![0; n];
    forest.encoder().encode_row(ndarray::ArrayView1::from(row), &mut bins);
    let value = |known: u32| {
        let paths = forest.trees().iter().map(|tree| expected(&mut tree.nodes().iter(), &bins, known, 0.0).0);
        // a tail is a tree of one column; what is not known counts with its mean, which drops to 0
        let tails = forest.tails().into_iter().flat_map(|tails| {
            let known = bins.iter().enumerate().filter(move |(column, _)| known >> column & 1 == 1);
            known.map(|(column, bin)| -tails.drop(column, *bin) / 256.0)
        });
        (paths.sum::<f64>() + tails.sum::<f64>()) / forest.n_trees() as f64
    };
    let factorial = |k: u32| (1..=k).map(f64::from).product::<f64>();
    let share = |column: usize| {
        let others = (0..1_u32 << n).filter(|known| known >> column & 1 == 0);
        let gain = |known: u32| {
            let size = known.count_ones();
            let weight = factorial(size) * factorial(n as u32 - size - 1) / factorial(n as u32);
            weight * (value(known) - value(known | 1 << column))
        };
        others.map(gain).sum()
    };
    (0..n).map(share).collect()
}

fn check(x: &Array2<f64>, split_mode: SplitMode) {
    let forest = fit(&small().n_trees(3).split_mode(split_mode), x.view());
    let found = forest.shapley(x.view()).unwrap();
    for (row, shares) in x.rows().into_iter().zip(found.by_feature.rows()).take(5) {
        for (share, expected) in shares.iter().zip(brute_force(&forest, &row.to_vec())) {
            assert!((share - expected).abs() < 1e-9, "{share} and {expected}");
        }
    }
    for (depth, sum) in found.depth.iter().zip(found.by_feature.sum_axis(Axis(1))) {
        assert!((sum - (found.mean_root_depth - depth)).abs() < 1e-9);
    }
}

#[test]
fn shapley_values_are_those_of_the_definition() {
    check(&normals(60, 5, 3), SplitMode::Standard);
    check(&normals(60, 5, 4), SplitMode::Guided);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn shapley_values_are_those_of_the_definition_on_ties(x in matrix(ties())) {
        check(&x, SplitMode::Standard);
    }
}

#[test]
fn both_attributions_name_the_same_column() {
    let mut x = normals(500, 6, 1);
    x[[0, 4]] = 25.0;
    let forest = fit(&IsolationForest::params().n_trees(30), x.view());
    let first = x.slice(ndarray::s![..1, ..]);
    for attributions in [forest.attributions(first).unwrap(), forest.shapley(first).unwrap()] {
        let shares = attributions.by_feature.row(0).to_vec();
        assert!(shares.iter().enumerate().all(|(column, share)| column == 4 || *share < shares[4]), "{shares:?}");
    }
}
