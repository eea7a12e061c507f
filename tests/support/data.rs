//! The data sets, which are not part of the tree.

use std::path::PathBuf;

use super::{environment, workspace};

/// A data set's folder, or `None` where it is not installed.
pub(crate) fn dataset(name: &str) -> Option<PathBuf> {
    Some(root().join(name)).filter(|path| path.is_dir())
}

/// The folder of all of them, which may not be there.
pub(crate) fn root() -> PathBuf {
    environment("LEADSMAN_DATASETS").map_or_else(|| workspace().join("../shared/datasets"), PathBuf::from)
}

/// Why a data set cannot be used here.
pub(crate) fn unavailable(name: &str) -> Option<String> {
    match dataset(name) {
        Some(_) => None,
        None => Some(format!("needs the data set {name}: set LEADSMAN_DATASETS to the folder that holds it")),
    }
}
