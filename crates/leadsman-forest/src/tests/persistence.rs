use ndarray::{Array2, array};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{any_finite, bits, bytes, fit, matrix, normals, scores, small};
use crate::tree::{PreorderNode, Shape, Tree};
use crate::{IsolationForest, MAX_TREES, TreeDefect};

const SHAPE: Shape = Shape { n_features: 2, n_samples: 4 };

fn leaf(rows: u32) -> PreorderNode {
    PreorderNode::Leaf { rows }
}

fn split(feature: u32, threshold: f64) -> PreorderNode {
    PreorderNode::Split { feature, threshold }
}

fn check_defect(nodes: &[PreorderNode], expected: TreeDefect) {
    assert_eq!(Tree::link(nodes, SHAPE).unwrap_err(), expected);
}

#[test]
fn a_sound_tree_links() {
    let tree = Tree::link(&[split(0, 1.0), leaf(1), split(1, 2.0), leaf(1), leaf(2)], SHAPE).unwrap();
    // h: 1, 2, and 2 + c(2)
    for (row, depth) in [([0.0, 9.0], 1.0), ([1.0, 1.0], 2.0), ([1.0, 2.0], 3.0)] {
        assert_eq!(tree.depth(array![row[0], row[1]].view()).to_bits(), f64::to_bits(depth));
    }
    // (1·1 + 1·2 + 2·3) / 4
    assert_eq!(tree.root_depth().to_bits(), 2.25_f64.to_bits());
}

#[test]
fn damaged_trees_are_refused() {
    check_defect(&[], TreeDefect::Truncated);
    check_defect(&[split(0, 1.0)], TreeDefect::Truncated);
    check_defect(&[split(0, 1.0), leaf(4)], TreeDefect::Truncated);
    check_defect(&[leaf(4), leaf(4)], TreeDefect::TrailingNodes);
    check_defect(&[split(2, 1.0), leaf(2), leaf(2)], TreeDefect::FeatureOutOfRange { feature: 2 });
    check_defect(&[leaf(0)], TreeDefect::EmptyLeaf);
    check_defect(&[split(0, 1.0), leaf(1), leaf(1)], TreeDefect::RowCount { found: 2, expected: 4 });
    let many = u32::MAX;
    let found = 2 * u64::from(many);
    check_defect(&[split(0, 1.0), leaf(many), leaf(many)], TreeDefect::RowCount { found, expected: 4 });
    for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        check_defect(&[split(0, threshold), leaf(2), leaf(2)], TreeDefect::ThresholdNotFinite);
    }
    check_defect(
        &[split(0, 1.0), split(0, 1.0), split(0, 1.0), leaf(1), leaf(1), leaf(1), leaf(1)],
        TreeDefect::TooDeep { cap: 2 },
    );
}

/// A forest of two trees as JSON, and its change by `damage`; reading that must fail with `message`.
fn check_refused(damage: impl Fn(&mut Value), message: &str) {
    let forest = fit(&small().n_trees(2), array![[0.0, 5.0], [1.0, 4.0], [2.0, 9.0]].view());
    let mut stored = serde_json::to_value(&forest).unwrap();
    assert!(serde_json::from_value::<IsolationForest>(stored.clone()).is_ok());
    damage(&mut stored);
    let error = serde_json::from_value::<IsolationForest>(stored).unwrap_err().to_string();
    assert!(error.contains(message), "{error}");
}

#[test]
fn hostile_json_is_refused() {
    check_refused(|forest| forest["version"] = json!(2), "forest format 2 is unknown");
    check_refused(|forest| forest["n_features"] = json!(0), "no training data");
    check_refused(|forest| forest["n_features"] = json!(-1), "invalid value");
    check_refused(|forest| forest["n_samples"] = json!(0), "no training data");
    check_refused(|forest| forest["n_samples"] = json!(4_000_000_000_u32), "subsample_size");
    check_refused(|forest| forest["n_samples"] = json!(7), "tree 0 is damaged: its leaves hold 3 rows instead of 7");
    check_refused(|forest| forest["trees"] = json!([]), "n_trees is 0");
    check_refused(|forest| forest["trees"] = json!(vec![json!([]); MAX_TREES + 1]), "n_trees is 10001");
    check_refused(|forest| forest["trees"][1] = json!([]), "tree 1 is damaged: nodes are missing");
    check_refused(|forest| forest["extra"] = json!(1), "unknown field");
    check_refused(|forest| forest["trees"][0][0] = json!({"split": {"feature": 2, "threshold": 1.0}}), "column 2");
    // NaN has no JSON form: serde_json writes null
    check_refused(|forest| forest["trees"][0][0] = json!({"split": {"feature": 0, "threshold": null}}), "invalid type");
    check_refused(|forest| forest["trees"][0][0] = json!({"leaf": {"rows": 0}}), "a leaf holds no row");
    check_refused(|forest| forest["trees"][0][0] = json!({"leaf": {"rows": 3}}), "nodes follow after its end");
    let push = |forest: &mut Value, node: Value| forest["trees"][1].as_array_mut().unwrap().push(node);
    check_refused(|forest| push(forest, json!({"leaf": {"rows": 1}})), "tree 1 is damaged: nodes follow");
    check_refused(
        |forest| {
            let nodes = forest["trees"][1].as_array_mut().unwrap();
            nodes.pop();
        },
        "tree 1 is damaged: nodes are missing",
    );
    // a node cannot point anywhere, least of all back
    let cycle = json!({"split": {"feature": 0, "threshold": 1.0, "left": 0, "right": 0}});
    check_refused(|forest| forest["trees"][0][0] = cycle.clone(), "unknown field `left`");
}

#[test]
fn a_nan_threshold_in_bytes_is_refused() {
    let forest = fit(&small().n_trees(1), array![[0.0], [1.0]].view());
    let PreorderNode::Split { threshold, .. } = forest.trees()[0].preorder().next().unwrap() else {
        panic!("two different rows must be split");
    };
    let stored = bytes(&forest);
    let at = stored.windows(8).position(|window| window == threshold.to_le_bytes()).unwrap();
    for value in [f64::NAN, f64::INFINITY] {
        let mut damaged = stored.clone();
        damaged[at..at + 8].copy_from_slice(&value.to_le_bytes());
        assert!(postcard::from_bytes::<IsolationForest>(&damaged).is_err());
    }
}

#[test]
fn a_long_chain_of_splits_is_refused_at_the_cap() {
    let chain = vec![json!({"split": {"feature": 0, "threshold": 0.0}}); 100_000];
    check_refused(|forest| forest["trees"][0] = json!(chain), "a node lies deeper than 2");
}

proptest! {
    #[test]
    fn save_and_load_keeps_scores(x in matrix(any_finite())) {
        let forest = fit(&small(), x.view());
        let from_postcard: IsolationForest = postcard::from_bytes(&bytes(&forest)).unwrap();
        let from_json: IsolationForest = serde_json::from_str(&serde_json::to_string(&forest).unwrap()).unwrap();
        for loaded in [from_postcard, from_json] {
            prop_assert_eq!(&loaded, &forest);
            prop_assert_eq!(bits(&scores(&loaded, x.view())), bits(&scores(&forest, x.view())));
            prop_assert_eq!(bytes(&loaded), bytes(&forest));
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_still_a_forest(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut stored = bytes(&fit(&small().n_trees(3), normals(20, 2, 1).view()));
        for (at, value) in changes {
            let at = at.index(stored.len());
            stored[at] = value;
        }
        if let Ok(forest) = postcard::from_bytes::<IsolationForest>(&stored) {
            let x = Array2::from_elem((3, forest.n_features().min(1000)), 0.5);
            if x.ncols() == forest.n_features() {
                prop_assert!(scores(&forest, x.view()).iter().all(|&score| 0.0 < score && score <= 1.0));
                prop_assert!(forest.attributions(x.view()).unwrap().by_feature.iter().all(|share| share.is_finite()));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(forest) = postcard::from_bytes::<IsolationForest>(&stored) {
            prop_assert!(forest.n_trees() > 0 && forest.n_features() > 0 && forest.subsample_size() > 0);
        }
    }
}
