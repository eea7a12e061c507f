use ndarray::{Array2, array};
use proptest::prelude::*;

use super::{any_finite, bits, bytes, fit, matrix, normals, scores, small, ties};
use crate::tree::{Node, Shape, Tree, WHOLE_EDGE, paths};
use crate::{ForestError, IsolationForest, Missing, SplitMode, TreeDefect};

const SHAPE: Shape = Shape { n_columns: 2, n_samples: 4 };

fn leaf(rows: u32) -> Node {
    Node::Leaf { rows }
}

fn split(column: u16, threshold: u8) -> Node {
    Node::Split { column, threshold, edge: WHOLE_EDGE }
}

fn check_defect(nodes: &[Node], expected: TreeDefect) {
    for keep_columns in [true, false] {
        assert_eq!(Tree::link(nodes.to_vec(), SHAPE, keep_columns).unwrap_err(), expected);
    }
}

#[test]
fn a_sound_tree_links() {
    let nodes = vec![split(0, 10), leaf(1), split(1, 20), leaf(1), leaf(2)];
    for keep_columns in [true, false] {
        let tree = Tree::link(nodes.clone(), SHAPE, keep_columns).unwrap();
        // h: 1, 2, and 2 + c(2), in steps of 1/256 edge
        for (bins, path) in [([0, 90], 256), ([10, 10], 512), ([10, 20], 768)] {
            assert_eq!(paths(std::array::from_ref(&tree), &bins), [path]);
        }
        // (1·1 + 1·2 + 2·3) / 4
        assert_eq!(tree.root_path(), 576);
    }
}

#[test]
fn damaged_trees_are_refused() {
    check_defect(&[], TreeDefect::Truncated);
    check_defect(&[split(0, 1)], TreeDefect::Truncated);
    check_defect(&[split(0, 1), leaf(4)], TreeDefect::Truncated);
    check_defect(&[leaf(4), leaf(4)], TreeDefect::TrailingNodes);
    check_defect(&[split(2, 1), leaf(2), leaf(2)], TreeDefect::ColumnOutOfRange { column: 2 });
    check_defect(&[leaf(0)], TreeDefect::EmptyLeaf);
    check_defect(&[split(0, 1), leaf(1), leaf(1)], TreeDefect::RowCount { found: 2, expected: 4 });
    let many = u32::MAX;
    let found = 2 * u64::from(many);
    check_defect(&[split(0, 1), leaf(many), leaf(many)], TreeDefect::RowCount { found, expected: 4 });
    for threshold in [0, 255] {
        check_defect(&[split(0, threshold), leaf(2), leaf(2)], TreeDefect::IdleThreshold { threshold });
    }
    check_defect(
        &[split(0, 1), split(0, 1), split(0, 1), leaf(1), leaf(1), leaf(1), leaf(1)],
        TreeDefect::TooDeep { cap: 2 },
    );
}

fn sample() -> IsolationForest {
    fit(&small().n_trees(2).split_mode(SplitMode::Standard), array![[0.0, 5.0], [1.0, 4.0], [2.0, 9.0]].view())
}

/// The bytes of a forest, changed by `damage` and with the checksum that belongs to them.
fn damaged(damage: impl Fn(&mut Vec<u8>)) -> Result<IsolationForest, ForestError> {
    let mut stored = bytes(&sample());
    stored.truncate(stored.len() - 4);
    damage(&mut stored);
    stored.extend(crc32c::crc32c(&stored).to_le_bytes());
    IsolationForest::from_bytes(&stored)
}

#[test]
fn hostile_bytes_are_refused_by_name() {
    let refused = |damage: &dyn Fn(&mut Vec<u8>), expected: &str| {
        let error = damaged(damage).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    assert!(damaged(|_| {}).is_ok());
    refused(&|b| b[0] = b'X', "not a stored forest");
    refused(&|b| b[8] = 2, "format 2 is unknown");
    // counts: columns, rows per tree, trees, categories
    refused(&|b| b[10] = 0, "no training data");
    refused(&|b| b[14] = 0, "no training data");
    refused(&|b| b[17] = 200, "subsample_size");
    refused(&|b| b[14] = 7, "tree 0 is damaged: its leaves hold 3 rows instead of 7");
    refused(&|b| b[18] = 0, "n_trees is 0");
    refused(&|b| b[20] = 1, "n_trees is 65538");
    refused(&|b| b[18] = 3, "it ends early");
    refused(&|b| b[18] = 1, "bytes follow after the last tree");
    refused(&|b| b[12] = 1, "too many");
    refused(&|b| b[22] = 3, "too many");
    refused(&|b| b[26] = 7, "missing values");
    // the grid of the first column
    refused(&|b| b[27..35].copy_from_slice(&f64::NAN.to_le_bytes()), "grid of a column");
    refused(&|b| b[35..43].copy_from_slice(&(-1.0_f64).to_le_bytes()), "grid of a column");
    refused(&|b| b[35..43].copy_from_slice(&f64::INFINITY.to_le_bytes()), "grid of a column");
    // behind two grids
    refused(&|b| b[59] = 2, "grown in a way");
    refused(&|b| b[59] = 1, "it ends early");
    refused(&|b| b[61] = 2, "column 2, which does not exist");
    refused(&|b| b[60] = 255, "threshold 255");
    refused(&|b| b.truncate(61), "it ends early");
    refused(&|b| b.truncate(60), "it ends early");
}

#[test]
fn a_changed_or_missing_byte_is_found() {
    let stored = bytes(&sample());
    for at in 10..stored.len() {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        assert!(matches!(IsolationForest::from_bytes(&changed), Err(ForestError::Damaged { .. })), "byte {at}");
        assert!(IsolationForest::from_bytes(&stored[..at]).is_err());
    }
}

#[test]
fn a_forest_of_the_usual_size_takes_at_most_100_kib() {
    for split_mode in [SplitMode::Standard, SplitMode::Guided] {
        let forest = fit(&IsolationForest::params().n_trees(100).split_mode(split_mode), normals(9000, 16, 1).view());
        assert!(bytes(&forest).len() <= 100 << 10, "{split_mode:?}: {} bytes", bytes(&forest).len());
    }
}

#[test]
fn impossible_tails_are_refused() {
    let mut stored = bytes(&fit(&small().n_trees(2), normals(40, 2, 1).view()));
    let refused = |stored: &mut Vec<u8>, expected: &str| {
        stored.truncate(stored.len() - 4);
        stored.extend(crc32c::crc32c(stored).to_le_bytes());
        let error = IsolationForest::from_bytes(stored).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    for weight in [f64::NAN, f64::INFINITY, -1.0] {
        stored[60..68].copy_from_slice(&weight.to_le_bytes());
        refused(&mut stored, "impossible weight");
    }
    stored[68..72].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    refused(&mut stored, "too many rows");
}

/// A forest that a release wrote, and the scores it gave: both must stay for ever.
#[test]
fn an_old_forest_scores_as_it_did() {
    if std::env::var_os("LEADSMAN_GOLDEN").is_some_and(|value| value == "rewrite") {
        rewrite_golden_files();
    }
    let stored = include_bytes!("golden/forest-v1.bin");
    let scored = include_str!("golden/forest-v1.scores");
    let forest = IsolationForest::from_bytes(stored).unwrap();
    assert_eq!(bytes(&forest), stored);
    let expected: Vec<f64> = scored.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(bits(&scores(&forest, golden_rows().view())), bits(&expected.into()));
}

/// What the golden forest was fitted on and scored: numbers that need no generator.
fn golden_rows() -> Array2<f64> {
    Array2::from_shape_fn((200, 5), |(row, column)| match column {
        4 => (row % 7) as f64,
        _ if row == 150 && column == 2 => f64::NAN,
        _ => {
            ((row * (11 + 6 * column) + column) % 97) as f64 / (1.0 + column as f64)
                + if row == 199 { 1e4 } else { 0.0 }
        }
    })
}

/// `LEADSMAN_GOLDEN=rewrite` writes the files of a new format; those of an old one must never change.
fn rewrite_golden_files() {
    let params = IsolationForest::params().n_trees(20).seed(3).missing(Missing::Typical).categorical([4]);
    let forest = fit(&params, golden_rows().view());
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden");
    std::fs::write(folder.join("forest-v1.bin"), bytes(&forest)).unwrap();
    let lines: Vec<String> = scores(&forest, golden_rows().view()).iter().map(|score| format!("{score:?}\n")).collect();
    std::fs::write(folder.join("forest-v1.scores"), lines.concat()).unwrap();
}

proptest! {
    #[test]
    fn save_and_load_keeps_scores(x in matrix(any_finite())) {
        let forest = fit(&small(), x.view());
        let from_postcard: IsolationForest = postcard::from_bytes(&postcard::to_stdvec(&forest).unwrap()).unwrap();
        let from_json: IsolationForest = serde_json::from_str(&serde_json::to_string(&forest).unwrap()).unwrap();
        for loaded in [from_postcard, from_json, IsolationForest::from_bytes(&bytes(&forest)).unwrap()] {
            prop_assert_eq!(&loaded, &forest);
            prop_assert_eq!(bits(&scores(&loaded, x.view())), bits(&scores(&forest, x.view())));
            prop_assert_eq!(bytes(&loaded), bytes(&forest));
        }
    }

    #[test]
    fn categories_and_gaps_are_kept(x in matrix(prop_oneof![ties(), Just(f64::NAN)])) {
        let forest = fit(&small().categorical([0]).missing(Missing::Typical), x.view());
        let loaded = IsolationForest::from_bytes(&bytes(&forest)).unwrap();
        prop_assert_eq!(bits(&scores(&loaded, x.view())), bits(&scores(&forest, x.view())));
        prop_assert_eq!(loaded, forest);
    }

    #[test]
    fn damaged_bytes_with_a_good_checksum_are_refused_or_still_a_forest(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let result = damaged(|stored| for (at, value) in &changes {
            let at = at.index(stored.len());
            stored[at] = *value;
        });
        if let Ok(forest) = result {
            let x = Array2::from_elem((9, forest.n_features()), 0.5);
            prop_assert!(scores(&forest, x.view()).iter().all(|&score| 0.0 < score && score <= 1.0));
            prop_assert!(forest.attributions(x.view()).unwrap().by_feature.iter().all(|share| share.is_finite()));
            prop_assert!(forest.shapley(x.view()).unwrap().by_feature.iter().all(|share| share.is_finite()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        let with_magic = [b"ISOFORST\x01\0".as_slice(), &stored].concat();
        for stored in [stored, with_magic] {
            prop_assert!(IsolationForest::from_bytes(&stored).is_err());
        }
    }
}
