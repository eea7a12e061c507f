//! Every kernel must give the bits of the plain walk.

use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;

use super::{any_finite, bits, fit, matrix, normals, ties};
use crate::kernel::{Block, ROWS, Sums, portable};
use crate::{ForestError, IsolationForest, Kernel, Missing, SplitMode};

fn check(forest: &IsolationForest, x: ArrayView2<'_, f64>) {
    let single = x.mapv(|value| value as f32);
    let expected = forest.score_by(Kernel::Portable, x).unwrap();
    let expected_single = forest.score_by(Kernel::Portable, single.view());
    for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
        assert_eq!(bits(&forest.score_by(kernel, x).unwrap()), bits(&expected), "{kernel}");
        match (&expected_single, forest.score_by(kernel, single.view())) {
            (Ok(expected), Ok(scores)) => assert_eq!(bits(&scores), bits(expected), "{kernel}"),
            // a number may be finite as f64 only
            (Err(_), Err(_)) => {}
            (expected, found) => panic!("{kernel}: {expected:?} and {found:?}"),
        }
    }
    // one row at a time takes another way, and must give the same
    for (row, score) in x.rows().into_iter().zip(&expected) {
        let alone = forest.score(row.insert_axis(ndarray::Axis(0))).unwrap();
        assert_eq!(alone[0].to_bits(), score.to_bits());
    }
}

#[test]
fn kernels_agree_for_every_width_and_number_of_trees() {
    for columns in [1, 2, 15, 16, 17, 31, 32, 33, 64, 65, 300] {
        for n_trees in [1, 2, 7, 8, 9, 37] {
            let x = normals(130, columns, 3);
            let params = IsolationForest::params().n_trees(n_trees).seed(columns as u64);
            check(&fit(&params, x.view()), x.view());
        }
    }
}

#[test]
fn kernels_agree_over_many_blocks() {
    for columns in [16, 20, 50] {
        let x = normals(1_100, columns, 4);
        check(&fit(&IsolationForest::params().n_trees(20), x.view()), x.view());
    }
}

#[test]
fn the_plain_walk_gives_the_same_by_row_and_by_column() {
    // by row it is what stands in where a processor lacks AVX-512
    let x = normals(ROWS, 20, 6);
    let forest = fit(&IsolationForest::params().n_trees(3), x.view());
    let rows: Vec<usize> = (0..ROWS).collect();
    let mut block = Block::new(Kernel::Avx512Vbmi, 32, true);
    assert!(forest.encoder().encode_block(Kernel::Portable, x.view(), &rows, &mut block));
    let (mut by_row, mut by_column): ([Sums; 1], [Sums; 1]) = ([[0; ROWS]], [[0; ROWS]]);
    portable::add_paths_by_row(forest.trees(), std::slice::from_ref(&block), &mut by_row);
    portable::add_paths(forest.trees(), block.columns(), &mut by_column[0]);
    assert_eq!(by_row, by_column);
    assert!(by_row[0].iter().all(|sum| *sum > 0));
}

#[test]
fn kernels_agree_on_a_few_rows() {
    // small enough for an interpreter that checks memory: a full block and a part of one, rows in place and copied
    for (columns, n_trees) in [(16, 9), (17, 1)] {
        let x = normals(66, columns, 5);
        let params = IsolationForest::params().n_trees(n_trees).subsample_size(8).split_mode(SplitMode::Standard);
        check(&fit(&params, x.view()), x.view());
    }
}

#[test]
fn kernels_agree_where_sums_are_largest() {
    // equal rows make paths of c(ψ) edges: the largest that an 8-tree sum of 16 bits must hold
    let mut x = Array2::zeros((1 << 16, 1));
    x[[0, 0]] = 1.0;
    let params = IsolationForest::params().n_trees(64).subsample_size(1 << 16).split_mode(SplitMode::Standard);
    check(&fit(&params, x.view()), x.slice(ndarray::s![..200, ..]));
}

#[test]
fn a_processor_without_a_kernel_says_so() {
    let forest = fit(&IsolationForest::params().n_trees(2), normals(20, 2, 1).view());
    for kernel in Kernel::ALL {
        match forest.score_by(kernel, normals(3, 2, 1).view()) {
            Ok(_) => assert!(kernel.is_available()),
            Err(error) => assert!(
                !kernel.is_available() && matches!(error, ForestError::KernelUnavailable { kernel: k } if k == kernel)
            ),
        }
    }
    assert!(Kernel::best().is_available() && Kernel::Portable.is_available());
}

proptest! {
    #[test]
    fn kernels_agree_on_any_values(x in matrix(any_finite()), guided: bool) {
        let split_mode = if guided { SplitMode::Guided } else { SplitMode::Standard };
        let params = IsolationForest::params().n_trees(21).subsample_size(32).split_mode(split_mode);
        check(&fit(&params, x.view()), x.view());
    }

    #[test]
    fn kernels_agree_on_missing_values(x in matrix(prop_oneof![ties(), Just(f64::NAN)])) {
        let params = IsolationForest::params().n_trees(9).subsample_size(32).missing(Missing::Typical);
        check(&fit(&params, x.view()), x.view());
    }

    #[test]
    fn kernels_refuse_the_same_value(x in matrix(ties()), row: prop::sample::Index, column: prop::sample::Index, infinite: bool) {
        let forest = fit(&IsolationForest::params().n_trees(9).subsample_size(32), x.view());
        let mut x = x;
        let at = (row.index(x.nrows()), column.index(x.ncols()));
        x[at] = if infinite { f64::INFINITY } else { f64::NAN };
        for kernel in Kernel::ALL.into_iter().filter(|kernel| kernel.is_available()) {
            let error = forest.score_by(kernel, x.view()).unwrap_err();
            let named = matches!(error, ForestError::NotFinite { row, column } if (row, column) == at);
            prop_assert!(named, "{}: {:?}", kernel, error);
        }
    }
}
