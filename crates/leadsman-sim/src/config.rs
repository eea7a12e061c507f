use std::fmt;
use std::str::FromStr;

use leadsman_domain::Timestamp;

use crate::change::Change;
use crate::estate::ClusterSize;

/// What to simulate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimConfig {
    /// Decides the cluster, its habits and all noise.
    pub seed: u64,
    /// How big the cluster is, and how people work in it.
    pub size: ClusterSize,
    /// Midnight UTC of day 0.
    pub start: Timestamp,
    /// First day to generate, counted from `start`.
    pub from_day: u32,
    /// How many days to generate.
    pub days: u32,
    /// An attack to mix in, if any.
    pub attack: Option<AttackPlan>,
    /// Benign changes that look like attacks, each from its day on.
    pub changes: Vec<Change>,
}

/// Five weeks from Monday 2026-03-02 of a medium-sized cluster, no attack, seed 1.
impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            size: ClusterSize::default(),
            start: Timestamp::from_micros(1_772_409_600_000_000),
            from_day: 0,
            days: 35,
            attack: None,
            changes: Vec::new(),
        }
    }
}

/// An attack and the time of its first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttackPlan {
    /// What the attacker does.
    pub scenario: Scenario,
    /// How the attacker goes about it.
    pub style: Style,
    /// When it begins.
    pub at: Timestamp,
}

/// The attacks this crate knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// A workload's token is stolen and used from outside, up to a privileged pod and a miner.
    TokenTheft,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 1] = [Self::TokenTheft];

    /// The name on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TokenTheft => "token-theft",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(SimError::UnknownScenario)
    }
}

/// How an attacker goes about a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Style {
    /// All steps within minutes, with a tool and from an address of the attacker's own.
    Noisy,
    /// The same, but a quarter to two thirds of an hour between two steps.
    #[default]
    Paced,
    /// As paced, with the program and from the address that the stolen identity always uses.
    Mimicry,
}

impl Style {
    /// Every style, the easiest to see first.
    pub const ALL: [Self; 3] = [Self::Noisy, Self::Paced, Self::Mimicry];

    /// The name on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Noisy => "noisy",
            Self::Paced => "paced",
            Self::Mimicry => "mimicry",
        }
    }
}

impl fmt::Display for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Style {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(SimError::UnknownStyle)
    }
}

/// Why a simulation cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SimError {
    /// Days are UTC days.
    #[error("the start is not midnight UTC; give the start of a day")]
    StartNotMidnight,
    /// Nothing to generate.
    #[error("the period has no days; ask for at least one")]
    EmptyPeriod,
    /// The period leaves the years that timestamps are written for.
    #[error("the period lies outside the years 2000 to 2999; choose another start")]
    PeriodOutOfRange,
    /// The attack would be cut off.
    #[error("the attack from {begins} to {ends} does not fit the simulated period; move it or add days")]
    AttackOutsidePeriod {
        /// First request of the attack.
        begins: Timestamp,
        /// Its last record.
        ends: Timestamp,
    },
    /// No such scenario.
    #[error("unknown scenario; known is token-theft")]
    UnknownScenario,
    /// No such technique.
    #[error("unknown technique; docs/simulator.md names them, such as list-secrets")]
    UnknownTechnique,
    /// No such size.
    #[error("unknown cluster size; known are small, medium and large")]
    UnknownSize,
    /// No such change.
    #[error("unknown change; docs/simulator.md names them, such as release-day")]
    UnknownChange,
    /// No such kind of identity.
    #[error("unknown kind of identity; known are human, ci and workload")]
    UnknownIdentity,
    /// No such style.
    #[error("unknown style; known are noisy, paced and mimicry")]
    UnknownStyle,
}
