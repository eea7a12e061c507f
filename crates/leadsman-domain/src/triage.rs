use serde::{Deserialize, Serialize};

use crate::{ErrorKind, FindingId, StoreError};

/// What people have made of a finding. It is kept apart from the finding, so that a replay cannot reset it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Triage {
    /// How often it was set; 0 where nobody has yet.
    pub version: u64,
    /// How far people are with it.
    pub status: TriageStatus,
    /// Who looks into it.
    pub assignee: Option<String>,
    /// What they found.
    pub note: String,
}

impl Triage {
    /// Counts up from the version that the caller saw, if that is still the stored one. Without this check
    /// `triage_is_compared_before_it_is_set` fails.
    pub fn follow(&mut self, id: FindingId, stored: &Self) -> Result<(), TriageError> {
        if self.version != stored.version {
            return Err(TriageError::Outdated { id, found: stored.version });
        }
        self.version += 1;
        Ok(())
    }
}

/// How far people are with a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriageStatus {
    /// Nobody has looked.
    #[default]
    New,
    /// Somebody is on it.
    InProgress,
    /// Done.
    Resolved,
    /// Not worth a look, now and again.
    Suppressed,
}

impl TriageStatus {
    /// Every status.
    pub const ALL: [Self; 4] = [Self::New, Self::InProgress, Self::Resolved, Self::Suppressed];

    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::InProgress => "in_progress",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
        }
    }

    /// The status of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// Why triage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum TriageError {
    /// There is no such finding.
    #[error("there is no finding {0}")]
    Missing(FindingId),
    /// Somebody else was faster.
    #[error("{id} was changed in the meantime: read version {found} and decide again")]
    Outdated {
        /// The finding.
        id: FindingId,
        /// The version that is stored.
        found: u64,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl TriageError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing(_) => ErrorKind::NotFound,
            Self::Outdated { .. } => ErrorKind::Conflict,
            Self::Store(error) => error.kind(),
        }
    }
}
