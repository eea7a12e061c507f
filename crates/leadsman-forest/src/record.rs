//! What is stored of a forest.

use serde::{Deserialize, Serialize};

use crate::tree::{PreorderNode, Shape, Tree};
use crate::{ForestError, IsolationForest, MAX_SUBSAMPLE_SIZE, MAX_TREES};

const VERSION: u16 = 1;

/// A forest without anything that can be computed: depths follow from the row counts of the
/// leaves, so that stored and computed values cannot contradict each other.
///
/// The version comes first because compact formats such as postcard do not name their fields.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForestRecord {
    version: u16,
    n_features: u32,
    n_samples: u32,
    trees: Vec<Vec<PreorderNode>>,
}

impl From<IsolationForest> for ForestRecord {
    fn from(forest: IsolationForest) -> Self {
        let Shape { n_features, n_samples } = forest.shape();
        let trees = forest.trees().iter().map(|tree| tree.preorder().collect()).collect();
        Self { version: VERSION, n_features, n_samples, trees }
    }
}

impl TryFrom<ForestRecord> for IsolationForest {
    type Error = ForestError;

    fn try_from(record: ForestRecord) -> Result<Self, ForestError> {
        let ForestRecord { version, n_features, n_samples, trees } = record;
        if version != VERSION {
            return Err(ForestError::UnknownVersion { version });
        }
        let (rows, columns) = (n_samples as usize, n_features as usize);
        if rows == 0 || columns == 0 {
            return Err(ForestError::NoData { rows, columns });
        }
        if rows > MAX_SUBSAMPLE_SIZE {
            return Err(ForestError::SubsampleSize { subsample_size: rows });
        }
        if !(1..=MAX_TREES).contains(&trees.len()) {
            return Err(ForestError::NumberOfTrees { n_trees: trees.len() });
        }
        let shape = Shape { n_features, n_samples };
        let link = |(index, nodes): (usize, Vec<PreorderNode>)| {
            Tree::link(&nodes, shape).map_err(|defect| ForestError::Malformed { tree: index, defect })
        };
        Ok(Self::new(shape, trees.into_iter().enumerate().map(link).collect::<Result<_, _>>()?))
    }
}
