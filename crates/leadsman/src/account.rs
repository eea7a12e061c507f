//! How many items of input there were and what became of them: nothing vanishes uncounted.

use leadsman_domain::{Decoded, Format, RejectReason, SkipReason, Tally};

/// Items by what they were decoded to, or why they were not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// Audit events.
    pub events: u64,
    /// Metric samples.
    pub samples: u64,
    /// Events of runtime-security tools. They are decoded, and no detector reads them yet.
    pub runtime: u64,
    /// Network flows. They are decoded, and no detector reads them yet.
    pub flows: u64,
    /// Refused items by reason.
    pub rejected: Tally<RejectReason>,
    /// Items that were valid and no telemetry, by reason.
    pub skipped: Tally<SkipReason>,
    /// Formats found, wrappings included.
    pub formats: Tally<Format>,
}

impl Account {
    /// Counts what `decoded` holds.
    pub fn add(&mut self, decoded: &Decoded) {
        self.events += decoded.events.len() as u64;
        self.samples += decoded.samples.len() as u64;
        self.runtime += decoded.runtime.len() as u64;
        self.flows += decoded.flows.len() as u64;
        for reject in &decoded.rejects {
            self.rejected.add(reject.reason, 1);
        }
        self.skipped.merge(&decoded.skipped);
        self.formats.merge(&decoded.formats);
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.samples += other.samples;
        self.runtime += other.runtime;
        self.flows += other.flows;
        self.rejected.merge(&other.rejected);
        self.skipped.merge(&other.skipped);
        self.formats.merge(&other.formats);
    }

    /// Items that were decoded, of every kind.
    #[must_use]
    pub fn decoded(&self) -> u64 {
        self.events + self.samples + self.runtime + self.flows
    }

    /// For people: what was decoded or passed over and reaches no detector; empty when there is none.
    #[must_use]
    pub fn unscored(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        if self.runtime + self.flows > 0 {
            sentences.push(format!(
                "{} runtime events and {} flows were decoded; no detector reads them yet.",
                self.runtime, self.flows
            ));
        }
        if !self.skipped.is_empty() {
            let reasons: Vec<String> = self.skipped.iter().map(|(reason, n)| format!("{reason} {n}")).collect();
            sentences.push(format!("{} items are no telemetry: {}.", self.skipped.total(), reasons.join(", ")));
        }
        sentences
    }
}

#[cfg(test)]
mod tests;
