//! A seeded Kubernetes cluster: benign traffic and labelled attacks.
//!
//! [`Simulation`] is an iterator over what a real cluster would log: audit events, byte for byte as kube-apiserver
//! writes them, and samples of container metrics. The people, machines and programs of the [`Cluster`] have habits
//! that depend on the seed alone, so a detector can learn from some weeks and be tried on others. Records that belong
//! to an attack carry the index of their [`Stage`]; nothing in their bytes tells them apart.
//!
//! ```
//! use leadsman_sim::{SimConfig, Simulation};
//!
//! let config = SimConfig { seed: 7, from_day: 1, days: 1, ..SimConfig::default() };
//! let first = Simulation::new(&config)?.next().expect("a day has records");
//! assert!(first.time >= config.start && first.stage.is_none());
//! # Ok::<(), leadsman_sim::SimError>(())
//! ```

mod agents;
mod api;
mod attack;
mod backup;
mod bodies;
mod change;
mod ci;
mod cluster;
mod command;
mod config;
mod controllers;
mod day;
mod dice;
mod estate;
mod identity;
mod json;
mod kubectl;
mod log;
mod machines;
mod metrics;
mod people;
mod record;
mod simulation;
mod token_theft;
mod wire;
mod workload;

pub use attack::{Attack, IdentityKind, Technique, Terrain, Trial, Victim, attack, inject, inject_within};
pub use change::{Change, ChangeKind};
pub use cluster::Cluster;
pub use config::{AttackPlan, Scenario, SimConfig, SimError, Style};
pub use estate::ClusterSize;
pub use metrics::SAMPLE_SECONDS;
pub use record::{Payload, Signal, SimRecord, Stage};
pub use simulation::Simulation;
pub use workload::Workload;
