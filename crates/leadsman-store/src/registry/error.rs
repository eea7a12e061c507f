use std::io;
use std::path::PathBuf;

use leadsman_domain::{ErrorKind, ModelAlias, Untrusted};

/// Why a model could not be stored or loaded.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such model, version or directory.
    #[error("model {model}: there is none; list the models to see which exist")]
    NotFound {
        /// `name`, `name/version` or a directory.
        model: String,
    },
    /// The model exists, but nothing carries the alias.
    #[error("model {name} has no {alias}: set the alias to one of its versions")]
    NoAlias {
        /// Model name.
        name: String,
        /// The alias asked for.
        alias: ModelAlias,
    },
    /// Not a model name.
    #[error("{0} is not a model name: use 1 to 63 of a-z, 0-9 and -, beginning with a letter or digit")]
    BadName(Untrusted),
    /// Versions begin at 1 and are 64 bits wide.
    #[error("model {name}: {version} is not a version that can be written; name one from 1 on")]
    BadVersion {
        /// Model name.
        name: String,
        /// The version asked for.
        version: u64,
    },
    /// The place is taken; models are never overwritten.
    #[error("model {model} exists already: name another directory, or remove it first")]
    Exists {
        /// `name/version` or a directory.
        model: String,
    },
    /// Something else than a model that this release can read.
    #[error("model {model}: {file} {fault}; name a model that this release of leadsman wrote, or retrain")]
    Foreign {
        /// `name/version` or a directory.
        model: String,
        /// File name.
        file: &'static str,
        /// What it is instead.
        fault: Fault,
    },
    /// A model that is not what training wrote.
    #[error("model {model}: {file} {fault}; restore it or retrain")]
    Corrupt {
        /// `name/version` or a directory.
        model: String,
        /// File name.
        file: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A model that cannot be written because it could not be read back.
    #[error("model {model}: {file} {fault}; train a model within the limits")]
    Unwritable {
        /// `name/version` or a directory.
        model: String,
        /// File name.
        file: &'static str,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {source}; check the disk and its permissions", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// What is wrong with one file of a model. Reads as the end of a sentence that begins with its name.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It does not exist.
    #[error("is missing")]
    Missing,
    /// It is a symbolic link; none is followed.
    #[error("is a symbolic link, which is not followed")]
    SymbolicLink,
    /// It is a directory where a file should be, a file where a directory should be, a pipe, a device.
    #[error("is of the wrong type: a model is a directory of regular files")]
    WrongType,
    /// It became another file while it was read.
    #[error("was replaced while it was read")]
    Replaced,
    /// It is larger than any model of ours.
    #[error("has {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// Its size.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// It is shorter or longer than its manifest says.
    #[error("has {found} bytes where the manifest says {expected}: it was cut off or changed after training")]
    Size {
        /// Its size.
        found: u64,
        /// The size by the manifest.
        expected: u64,
    },
    /// Its content changed.
    #[error("does not match its digest: it was changed after training")]
    Digest,
    /// It does not begin with the magic bytes of our weights.
    #[error("does not begin with LDSMODEL: it holds no leadsman weights")]
    Magic,
    /// It follows another schema.
    #[error("has schema {0}, this release knows leadsman.model/v1")]
    Schema(Untrusted),
    /// It does not say which schema it follows.
    #[error("names no schema")]
    NoSchema,
    /// It is not JSON, or JSON of another shape.
    #[error("cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// It is not UTF-8.
    #[error("is not UTF-8 text")]
    NotText,
    /// It describes another model than the one whose place it stands in.
    #[error("describes {0}: the directory was moved or renamed")]
    Misplaced(String),
    /// It names version 0 or something else than a model name.
    #[error("names no valid model and version")]
    Identity,
}

impl RegistryError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoAlias { .. } => ErrorKind::NotFound,
            Self::BadName(_) | Self::BadVersion { .. } => ErrorKind::InvalidInput,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::Io { .. } => ErrorKind::Unavailable,
            Self::Foreign { .. } | Self::Corrupt { .. } | Self::Unwritable { .. } => ErrorKind::Internal,
        }
    }

    /// Sorts a fault: another thing than a model of ours, or a model of ours that changed.
    pub(super) fn of(model: &str, file: &'static str, fault: Fault) -> Self {
        let model = model.to_owned();
        match fault {
            Fault::Magic | Fault::Schema(_) | Fault::NoSchema => Self::Foreign { model, file, fault },
            Fault::Missing
            | Fault::SymbolicLink
            | Fault::WrongType
            | Fault::Replaced
            | Fault::TooLarge { .. }
            | Fault::Size { .. }
            | Fault::Digest
            | Fault::Json(_)
            | Fault::NotText
            | Fault::Misplaced(_)
            | Fault::Identity => Self::Corrupt { model, file, fault },
        }
    }
}
