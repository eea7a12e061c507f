//! What the simulator knows of its attack and the detectors must not: which events belong to which stage.

use std::collections::BTreeMap;

use leadsman_domain::{AuditEvent, EntityType, EventId, Finding};
use leadsman_sim::{Signal, Stage};

/// The ground truth of one simulated attack.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// Its stages; none when nothing was staged.
    pub stages: Vec<Stage>,
    of_event: BTreeMap<EventId, usize>,
}

impl Labels {
    /// Notes that `events` belong to stage `stage`.
    pub fn note(&mut self, events: &[AuditEvent], stage: usize) {
        self.of_event.extend(events.iter().map(|e| (e.id, stage)));
    }

    /// Whether `finding` points at stage `index`: one of its evidence events belongs to it, or it is about the
    /// stage's workload while the stage lasted.
    #[must_use]
    pub fn shows(&self, index: usize, finding: &Finding) -> bool {
        let Some(stage) = self.stages.get(index) else { return false };
        match stage.signal {
            Signal::Audit => finding.evidence.event_ids.iter().any(|id| self.of_event.get(id) == Some(&index)),
            Signal::Metrics => {
                finding.entity.kind == EntityType::Workload
                    && finding.entity.id == stage.entity
                    && finding.window.to > stage.begins
                    && finding.window.from < stage.ends
            }
        }
    }

    /// Whether `finding` points at any stage.
    #[must_use]
    pub fn shows_any(&self, finding: &Finding) -> bool {
        (0..self.stages.len()).any(|index| self.shows(index, finding))
    }
}
