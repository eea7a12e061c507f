use std::fmt;
use std::str::FromStr;

use leadsman_domain::{ModelRef, Timestamp};
use uuid::Uuid;

/// A text that is not a name or an id of the expected form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("must be {expected}")]
pub struct NameError {
    expected: &'static str,
}

/// Identity of a job: `job_` and a UUIDv7 in 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u128);

impl JobId {
    /// From its 128 bits.
    #[must_use]
    pub const fn new(id: u128) -> Self {
        Self(id)
    }

    /// A fresh id; later ids sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    /// Its 128 bits.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job_{:032x}", self.0)
    }
}

impl FromStr for JobId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let id = text.strip_prefix("job_").and_then(|d| u128::from_str_radix(d, 16).ok()).map(Self);
        // One spelling only: two texts must not name one job.
        id.filter(|id| id.to_string() == text).ok_or(NameError { expected: "job_ and 32 hexadecimal digits" })
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $name:ident, $extra:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text, $extra) { Ok(Self(text.to_owned())) } else { Err(NameError { expected: $expected }) }
            }
        }
    };
}

/// `extra` may stand anywhere but in the first place, besides lower-case letters and digits.
fn is_name(text: &str, extra: &[u8]) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().all(|b| alphanumeric(b) || extra.contains(&b))
}

checked_name!(
    /// Name of a registered dataset, matching `[a-z0-9][a-z0-9._-]{0,62}`: never a path, never a URL.
    DatasetId,
    b"._-",
    "a name: 1 to 63 characters of a-z, 0-9, dot, underscore and hyphen, the first a letter or digit"
);
checked_name!(
    /// Name of a model in the registry, matching `[a-z0-9][a-z0-9-]{0,62}`.
    ModelName,
    b"-",
    "a name: 1 to 63 characters of a-z, 0-9 and hyphen, the first a letter or digit"
);

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSpec {
    /// Trains a model version.
    Train(TrainSpec),
}

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainSpec {
    /// The data.
    pub dataset: DatasetId,
    /// The model to add a version to; `None` is the default model.
    pub name: Option<ModelName>,
    /// The seed; `None` is 1.
    pub seed: Option<u64>,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Waits for its turn.
    Queued,
    /// Runs.
    Running,
    /// Ended with a result.
    Succeeded,
    /// Ended without one.
    Failed,
}

impl JobState {
    /// Whether it changes no more.
    #[must_use]
    pub fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Succeeded | Self::Failed => true,
        }
    }
}

/// A unit of work that outlives its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Identity.
    pub id: JobId,
    /// What it does.
    pub spec: JobSpec,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// Where it stands.
    pub progress: JobProgress,
    /// The model it made.
    pub result: Option<ModelRef>,
    /// Why it failed, in words for the client.
    pub error: Option<String>,
}

/// How far a job has come.
#[derive(Debug, Clone, PartialEq)]
pub struct JobProgress {
    /// Which job.
    pub id: JobId,
    /// Where it stands.
    pub state: JobState,
    /// What it is doing, one word or two.
    pub step: String,
    /// Share of the work that is done, in [0, 1].
    pub fraction: f64,
}
