use serde::{Deserialize, Serialize};

/// How much a hit of a rule means, in Sigma's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleLevel {
    /// Context.
    Informational,
    /// Context.
    Low,
    /// Evidence, as far as the action is new for its actor.
    Medium,
    /// Always reported.
    High,
    /// Always reported.
    Critical,
}

impl RuleLevel {
    /// Every level, ascending.
    pub const ALL: [Self; 5] = [Self::Informational, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The name in rule files and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "informational",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The level of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|l| l.as_str() == name)
    }

    /// Whether a hit is reported whatever else is known.
    #[must_use]
    pub fn always_reports(self) -> bool {
        self >= Self::High
    }
}

/// A rule that matched an event of a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHit {
    /// Its UUID, in lower case.
    pub id: String,
    /// What it finds.
    pub title: String,
    /// How much a hit means.
    pub level: RuleLevel,
}
