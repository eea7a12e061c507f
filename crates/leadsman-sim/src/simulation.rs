use std::collections::VecDeque;

use leadsman_domain::{ActorRules, Timestamp};

use crate::change::{Change, Planned};
use crate::cluster::Cluster;
use crate::config::{AttackPlan, Scenario, SimConfig, SimError};
use crate::day::{self, MICROS_PER_DAY};
use crate::metrics::Meters;
use crate::record::{SimRecord, Stage};
use crate::token_theft::{self, Attack};

/// Days since the epoch of 2000-01-01 and 3000-01-01.
const YEARS: std::ops::Range<i64> = 10_957..376_200;

/// The stream of a cluster's telemetry, one day at a time: an iterator over records in the order they are logged.
///
/// A record is a function of the seed and its day, so any period can be generated on its own and equals the same
/// days of a longer one. Benign records do not depend on the attack, except that a miner's counters stay raised
/// until its pod restarts.
pub struct Simulation {
    cluster: Cluster,
    meters: Meters,
    attack: Option<Attack>,
    /// The next day to generate, and the day after the last.
    next: i64,
    end: i64,
    /// Records of the current day, in order.
    ready: VecDeque<SimRecord>,
    /// Records of past days that are logged later.
    pending: Vec<SimRecord>,
}

impl Simulation {
    /// A simulation of the configured days.
    ///
    /// Errors: [`SimError`] when the period is empty, out of range or does not hold the whole attack.
    pub fn new(config: &SimConfig) -> Result<Self, SimError> {
        let start = config.start.as_micros();
        if start.rem_euclid(MICROS_PER_DAY) != 0 {
            return Err(SimError::StartNotMidnight);
        }
        if config.days == 0 {
            return Err(SimError::EmptyPeriod);
        }
        let next = start.div_euclid(MICROS_PER_DAY) + i64::from(config.from_day);
        let end = next + i64::from(config.days);
        if !YEARS.contains(&next) || !YEARS.contains(&end) {
            return Err(SimError::PeriodOutOfRange);
        }
        let dated = |c: &Change| Planned { kind: c.kind, day: start.div_euclid(MICROS_PER_DAY) + i64::from(c.day) };
        let changes = config.changes.iter().map(dated).collect();
        let cluster = Cluster::sized(config.seed, config.size).with_changes(changes);
        let attack = config.attack.map(|plan| planned(&cluster, plan, next, end)).transpose()?;
        let meters = Meters::at(&cluster, next, attack.as_ref().map(|a| a.miner));
        // What was begun the day before may end on the first day.
        let pending = day::audit(&cluster, next - 1);
        Ok(Self { cluster, meters, attack, next, end, ready: VecDeque::new(), pending })
    }

    /// The cluster that emits the stream.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The cluster's declared CI principals and controllers.
    #[must_use]
    pub fn actor_rules(&self) -> ActorRules {
        self.cluster.actor_rules()
    }

    /// The stages of the attack, in order; none without an attack.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        self.attack.as_ref().map_or(&[], |a| &a.stages)
    }

    fn generate(&mut self) {
        let begins = midnight(self.next);
        let ends = midnight(self.next + 1);
        let mut records = std::mem::take(&mut self.pending);
        records.retain(|r| r.time >= begins);
        records.extend(day::audit(&self.cluster, self.next));
        if let Some(attack) = &self.attack {
            records.extend(attack.records.iter().filter(|r| begins <= r.time && r.time < ends).cloned());
        }
        records.extend(self.meters.day(&self.cluster, self.next));
        records.sort_by_key(|r| r.time);
        self.pending = records.split_off(records.partition_point(|r| r.time < ends));
        self.ready = records.into();
        self.next += 1;
    }
}

impl Iterator for Simulation {
    type Item = SimRecord;

    fn next(&mut self) -> Option<SimRecord> {
        while self.ready.is_empty() && self.next < self.end {
            self.generate();
        }
        self.ready.pop_front()
    }
}

fn planned(cluster: &Cluster, plan: AttackPlan, next: i64, end: i64) -> Result<Attack, SimError> {
    let attack = match plan.scenario {
        Scenario::TokenTheft => token_theft::plan(cluster, plan.at, plan.style),
    };
    let ends = attack.stages.iter().map(|s| s.ends).max().unwrap_or(plan.at);
    if plan.at < midnight(next) || ends >= midnight(end) {
        return Err(SimError::AttackOutsidePeriod { begins: plan.at, ends });
    }
    Ok(attack)
}

fn midnight(day: i64) -> Timestamp {
    Timestamp::from_micros(day * MICROS_PER_DAY)
}

#[cfg(test)]
mod tests;
