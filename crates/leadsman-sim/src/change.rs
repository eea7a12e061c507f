//! Hard negatives: what changes in a cluster for honest reasons, and looks like an attack to whoever counts firsts.

mod delivery;
mod people;
mod platform;
mod work;

use std::fmt;
use std::str::FromStr;

use leadsman_domain::Timestamp;

use crate::agents::Agent;
use crate::cluster::Cluster;
use crate::config::SimError;
use crate::day::{Day, MICROS_PER_DAY};
use crate::log::later;
use crate::people::Person;

/// A change and the day it comes. Its records are benign: they carry no label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// What changes.
    pub kind: ChangeKind,
    /// The day, counted from the start of the simulation as [`crate::SimConfig::from_day`] is.
    pub day: u32,
}

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeKind {
    /// Everything is released on one day, and new services come with it.
    ReleaseDay,
    /// The pager rings at night: exec, secrets, port-forwards, a debug container, from home.
    OnCallDebugging,
    /// A new colleague: gets rights, looks at everything, is refused, asks what is allowed; stays.
    Onboarding,
    /// An operator is installed: definitions, roles, bindings, webhook; then its account starts to work.
    OperatorInstall,
    /// A second backup begins to read every secret every night.
    BackupReadsSecrets,
    /// Releases move to another account, address and program.
    CiMigration,
    /// All nodes are drained and come back with another kubelet.
    NodeUpgrade,
    /// The repository was restructured: everything is patched, much is made anew and pruned within minutes.
    GitOpsSync,
    /// A team gets a namespace, rights and two services of its own.
    NewNamespaceTeam,
}

impl ChangeKind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::ReleaseDay,
        Self::OnCallDebugging,
        Self::Onboarding,
        Self::OperatorInstall,
        Self::BackupReadsSecrets,
        Self::CiMigration,
        Self::NodeUpgrade,
        Self::GitOpsSync,
        Self::NewNamespaceTeam,
    ];

    /// The name on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReleaseDay => "release-day",
            Self::OnCallDebugging => "on-call-debugging",
            Self::Onboarding => "onboarding",
            Self::OperatorInstall => "operator-install",
            Self::BackupReadsSecrets => "backup-reads-secrets",
            Self::CiMigration => "ci-migration",
            Self::NodeUpgrade => "node-upgrade",
            Self::GitOpsSync => "gitops-sync",
            Self::NewNamespaceTeam => "new-namespace-team",
        }
    }
}

impl fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChangeKind {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or(SimError::UnknownChange)
    }
}

/// A change on a day counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) kind: ChangeKind,
    pub(crate) day: i64,
}

/// What a change brings into the cluster for good.
#[derive(Default)]
pub(crate) struct Arrivals {
    /// Colleagues and the day they start.
    pub(crate) people: Vec<(i64, Person)>,
    /// Service accounts and the time they begin to work.
    pub(crate) agents: Vec<(Timestamp, Agent)>,
}

/// Hours after midnight at which the work of a change begins.
pub(crate) const NODES_FROM: f64 = 17.0;
const OPERATOR_AT: f64 = 9.9;
const BACKUP_AT: f64 = 13.2;
pub(crate) const MIGRATION_AT: f64 = 11.0;
const TEAM_AT: f64 = 10.4;

impl Planned {
    pub(crate) fn hour(self, hours: f64) -> Timestamp {
        later(Timestamp::from_micros(self.day * MICROS_PER_DAY), hours * 3_600.0)
    }

    /// Who arrives because of it.
    pub(crate) fn arrivals(self, cluster: &Cluster, arrivals: &mut Arrivals) {
        match self.kind {
            ChangeKind::Onboarding => {
                let taken = arrivals.people.len();
                arrivals.people.push((self.day, people::newcomer(cluster, taken)));
            }
            ChangeKind::OperatorInstall => {
                arrivals.agents.push((self.hour(OPERATOR_AT + 0.1), platform::operator(cluster.seed)));
            }
            ChangeKind::BackupReadsSecrets => {
                arrivals.agents.push((self.hour(BACKUP_AT + 0.1), delivery::backup_agent(cluster.seed)));
            }
            ChangeKind::NewNamespaceTeam => {
                let team = platform::team_agents(cluster.seed).into_iter();
                arrivals.agents.extend(team.map(|agent| (self.hour(TEAM_AT + 0.5), agent)));
            }
            ChangeKind::ReleaseDay
            | ChangeKind::OnCallDebugging
            | ChangeKind::CiMigration
            | ChangeKind::NodeUpgrade
            | ChangeKind::GitOpsSync => {}
        }
    }
}

/// What the changes of the cluster add to this day.
pub(crate) fn run(day: &mut Day<'_>) {
    for index in 0..day.cluster.changes.len() {
        let change = day.cluster.changes[index];
        let age = day.number - change.day;
        if age < 0 {
            continue;
        }
        match change.kind {
            ChangeKind::ReleaseDay if age == 0 => delivery::new_services(day),
            ChangeKind::OnCallDebugging if age == 0 => people::debug_at_night(day),
            ChangeKind::Onboarding if age == 0 => people::welcome(day),
            ChangeKind::OperatorInstall if age == 0 => platform::install_operator(day, change.hour(OPERATOR_AT)),
            ChangeKind::BackupReadsSecrets => delivery::back_up(day, age, change.hour(BACKUP_AT)),
            ChangeKind::CiMigration if age == 0 => delivery::migrate_ci(day, change.hour(MIGRATION_AT)),
            ChangeKind::NodeUpgrade if age == 0 => platform::upgrade_nodes(day),
            ChangeKind::GitOpsSync if age == 0 => platform::sync_all(day),
            ChangeKind::NewNamespaceTeam if age == 0 => platform::found_team(day, change.hour(TEAM_AT)),
            // These are done on their day, and what they brought along has its own habits.
            ChangeKind::ReleaseDay
            | ChangeKind::OnCallDebugging
            | ChangeKind::Onboarding
            | ChangeKind::OperatorInstall
            | ChangeKind::CiMigration
            | ChangeKind::NodeUpgrade
            | ChangeKind::GitOpsSync
            | ChangeKind::NewNamespaceTeam => {}
        }
    }
    people::newcomers(day);
}

#[cfg(test)]
mod tests;
