//! What a cluster of some size holds: the lists that everything else walks.

mod large;
mod medium;
mod small;

use std::fmt;
use std::str::FromStr;

use crate::config::SimError;
use crate::people::Role;
use crate::workload::{Schedule, Workload};

/// How big the simulated cluster is, and with that how people work in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ClusterSize {
    /// Three people, three nodes, one product; everything by hand, no GitOps, no backup in the cluster; leases are logged.
    Small,
    /// Nine people in four teams, six nodes, GitOps.
    #[default]
    Medium,
    /// Forty people in ten teams, twenty-five nodes, GitOps, little by hand.
    Large,
}

impl ClusterSize {
    /// Every size, from small to large.
    pub const ALL: [Self; 3] = [Self::Small, Self::Medium, Self::Large];

    /// The name on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Medium => "medium",
            Self::Large => "large",
        }
    }

    pub(crate) fn estate(self) -> &'static Estate {
        match self {
            Self::Small => &small::ESTATE,
            Self::Medium => &medium::ESTATE,
            Self::Large => &large::ESTATE,
        }
    }
}

impl fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClusterSize {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or(SimError::UnknownSize)
    }
}

/// Everything in a cluster that does not depend on the seed.
pub(crate) struct Estate {
    pub(crate) nodes: usize,
    /// The application workloads. The first is the victim of the scenario `token-theft`.
    pub(crate) workloads: &'static [Workload],
    pub(crate) schedules: &'static [Schedule],
    pub(crate) staff: &'static [Post],
    /// Who carries the pager, week by week.
    pub(crate) rota: &'static [&'static str],
    /// Namespaces that hold applications.
    pub(crate) app_namespaces: &'static [&'static str],
    /// Every namespace.
    pub(crate) namespaces: &'static [&'static str],
    /// Names of the workloads that scale by load.
    pub(crate) autoscaled: &'static [&'static str],
    /// The namespace whose releases come from outside the cluster, by a bot; empty when there is none.
    pub(crate) released_from_outside: &'static str,
    /// Whether Argo CD keeps the applications as a repository says.
    pub(crate) gitops: bool,
    /// Whether Velero backs the cluster up every night.
    pub(crate) backup: bool,
    /// Factor on how often people change things themselves.
    pub(crate) by_hand: f64,
    /// How often people ask for something that is not there.
    pub(crate) typos: f64,
    /// Whether the audit policy keeps the leases that kubelets renew every ten seconds.
    pub(crate) logs_leases: bool,
}

/// A person's place in the company.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Post {
    pub(crate) name: &'static str,
    pub(crate) role: Role,
    /// Namespaces of the person's team, most used first.
    pub(crate) home: &'static [&'static str],
    /// A namespace next door that the person may look into.
    pub(crate) neighbour: &'static str,
    /// Hour of the day, UTC.
    pub(crate) starts: f64,
}

const fn post(
    name: &'static str,
    role: Role,
    home: &'static [&'static str],
    neighbour: &'static str,
    starts: f64,
) -> Post {
    Post { name, role, home, neighbour, starts }
}
