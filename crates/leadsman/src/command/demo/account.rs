//! What was found of what was staged.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use leadsman_domain::{Finding, IncidentId};
use leadsman_sim::Stage;
use serde::Serialize;

use super::feed::Fed;
use crate::labels::Labels;

/// The demo's result.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    schema: &'static str,
    /// Each stage of the attack.
    pub(super) stages: Vec<StageAccount>,
    /// Stages that a finding points at.
    pub(super) detected: usize,
    /// Stages staged.
    pub(super) total: usize,
    /// Incidents without anything of the attack in them.
    pub(super) false_incidents: usize,
    false_findings: Vec<String>,
    incidents: usize,
    findings: usize,
    events: u64,
    samples: u64,
    events_per_second: f64,
    seconds: f64,
}

/// One stage.
#[derive(Debug, Serialize)]
pub(super) struct StageAccount {
    name: String,
    technique: String,
    detected: bool,
    /// Event time from the stage's begin until its finding crossed the alert line.
    seconds_to_finding: Option<f64>,
    score: Option<u8>,
    explanation: Option<String>,
    finding: Option<String>,
}

impl Account {
    /// Compares findings with labels.
    #[must_use]
    pub(super) fn new(fed: &Fed, findings: &[Finding], took: Duration) -> Self {
        let labels = &fed.labels;
        let stages: Vec<StageAccount> =
            labels.stages.iter().enumerate().map(|(i, s)| stage(labels, i, s, findings)).collect();
        let mut incidents: BTreeSet<IncidentId> = findings.iter().map(|f| f.incident_id).collect();
        let all = incidents.len();
        for f in findings.iter().filter(|f| labels.shows_any(f)) {
            incidents.remove(&f.incident_id);
        }
        let false_alarms = findings.iter().filter(|f| incidents.contains(&f.incident_id));
        let seconds = took.as_secs_f64();
        Self {
            schema: "leadsman.demo/v1",
            detected: stages.iter().filter(|s| s.detected).count(),
            total: stages.len(),
            stages,
            false_incidents: incidents.len(),
            false_findings: false_alarms
                .map(|f| format!("{} {}: {}", f.score, f.window.from, f.explanation.sentence))
                .collect(),
            incidents: all,
            findings: findings.len(),
            events: fed.events,
            samples: fed.samples,
            events_per_second: (fed.events as f64 / seconds.max(1e-9)).round(),
            seconds: (seconds * 10.0).round() / 10.0,
        }
    }
}

fn stage(labels: &Labels, index: usize, stage: &Stage, findings: &[Finding]) -> StageAccount {
    let first = findings
        .iter()
        .filter(|f| labels.shows(index, f))
        .min_by_key(|f| (f.detected_at, std::cmp::Reverse(f.score), f.id));
    StageAccount {
        name: stage.name.clone(),
        technique: stage.technique.clone(),
        detected: first.is_some(),
        seconds_to_finding: first.map(|f| f.detected_at.seconds_since(stage.begins).max(0.0)),
        score: first.map(|f| f.score),
        explanation: first.map(|f| f.explanation.sentence.clone()),
        finding: first.map(|f| f.id.to_string()),
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for s in &self.stages {
            match (&s.explanation, s.score, s.seconds_to_finding) {
                (Some(why), Some(score), Some(after)) => {
                    writeln!(
                        f,
                        "FOUND  {:<10} {:<16} score {score:>3}, after {after:.0} s\n       {why}",
                        s.technique, s.name
                    )?;
                }
                _ => writeln!(f, "MISSED {:<10} {:<16}", s.technique, s.name)?,
            }
        }
        for alarm in &self.false_findings {
            writeln!(f, "FALSE  {alarm}")?;
        }
        write!(
            f,
            "\n{} of {} stages found, {} false incidents, in a week of {} events and {} samples; {} events/s.",
            self.detected, self.total, self.false_incidents, self.events, self.samples, self.events_per_second
        )
    }
}
