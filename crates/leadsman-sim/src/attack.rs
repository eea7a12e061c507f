//! Attacks one at a time, each on its own identity, for measuring detectors.
//!
//! [`attack`] stages a [`Technique`] in the simulated cluster, [`inject`] in a log of somebody's own. Either returns
//! audit records only and mixes them into nothing: merge them into the stream by time.

mod bodies;
mod consequences;
mod culprit;
mod intruder;
mod plays;
mod technique;
mod terrain;

use std::fmt;
use std::str::FromStr;

use leadsman_domain::{Level, Timestamp};

use crate::cluster::Cluster;
use crate::config::{SimError, Style};
use crate::record::SimRecord;
use culprit::Culprit;
use intruder::{Intruder, Scene};
pub use technique::Technique;
pub use terrain::{Terrain, Victim};

/// Whose credential is stolen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// A person with a kubeconfig.
    Human,
    /// An account of continuous integration.
    Ci,
    /// The service account of a workload.
    Workload,
}

impl IdentityKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Human, Self::Ci, Self::Workload];

    /// The name on command lines and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Ci => "ci",
            Self::Workload => "workload",
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IdentityKind {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|k| k.as_str() == text).ok_or(SimError::UnknownIdentity)
    }
}

/// One attack to stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Trial {
    /// What is done.
    pub technique: Technique,
    /// With whose credential. [`Technique::AnonymousAccess`] has none and only keeps the slot.
    pub identity: IdentityKind,
    /// How the attacker goes about it.
    pub style: Style,
    /// Time of the first request.
    pub at: Timestamp,
    /// Another number is another victim with other names and other dice.
    pub repeat: u64,
}

/// A staged attack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attack {
    /// What was asked for.
    pub trial: Trial,
    /// User name of the identity that acts: the stolen one, or `system:anonymous`.
    pub actor: String,
    /// Audit records by time, each with stage 0: the attacker's requests and what the control plane does because
    /// of them.
    pub records: Vec<SimRecord>,
    /// Indices into `records`, ascending: the first record of each request without which there is no attack.
    pub decisive: Vec<usize>,
    /// Time of the first request.
    pub begins: Timestamp,
    /// Time of the last record.
    pub ends: Timestamp,
}

/// Stages `trial` in `cluster`: the victim is somebody of the cluster, and its machines do as they are told.
#[must_use]
pub fn attack(cluster: &Cluster, trial: &Trial) -> Attack {
    let terrain = cluster.terrain(trial.at);
    let culprit = Culprit::of_cluster(cluster, trial);
    let scene = Scene { seed: terrain.seed, terrain: &terrain, cluster: Some(cluster), cap: Level::RequestResponse };
    stage(&scene, culprit, trial)
}

/// Stages `trial` against `victim` in a cluster that only `terrain` describes.
///
/// What schedulers, controllers and kubelets do because of it is left out: the terrain does not say what they are
/// called there, and invented ones would be found instead of the attack.
#[must_use]
pub fn inject(terrain: &Terrain, victim: &Victim, trial: &Trial) -> Attack {
    inject_within(terrain, victim, trial, Level::RequestResponse)
}

/// As [`inject`], under an audit policy that logs nothing above `cap`: a log without bodies gets attacks without bodies.
#[must_use]
pub fn inject_within(terrain: &Terrain, victim: &Victim, trial: &Trial, cap: Level) -> Attack {
    let culprit = Culprit::of_victim(terrain, victim, trial);
    stage(&Scene { seed: terrain.seed, terrain, cluster: None, cap }, culprit, trial)
}

fn stage(scene: &Scene<'_>, culprit: Culprit, trial: &Trial) -> Attack {
    let mut intruder = Intruder::new(scene, culprit, trial);
    plays::run(trial.technique, &mut intruder);
    let (actor, records, decisive) = intruder.finish();
    let ends = records.last().map_or(trial.at, |r| r.time);
    Attack { trial: *trial, actor, records, decisive, begins: trial.at, ends }
}

#[cfg(test)]
mod tests;
