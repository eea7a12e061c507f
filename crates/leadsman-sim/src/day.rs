//! One day of audit log: everybody does what they do, then the records are put in order.

use leadsman_domain::Timestamp;

use crate::api::Call;
use crate::cluster::Cluster;
use crate::controllers::Controller;
use crate::dice::Dice;
use crate::log::{Log, later};
use crate::record::SimRecord;
use crate::{agents, backup, change, ci, controllers, machines, people};

pub(crate) const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A day in the making. `number` counts from 1970, so that habits do not depend on where a period starts.
pub(crate) struct Day<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) number: i64,
    pub(crate) log: Log,
}

/// All audit records of requests received on day `number`, by time. Long-running requests may end a day later.
pub(crate) fn audit(cluster: &Cluster, number: i64) -> Vec<SimRecord> {
    let mut day = Day { cluster, number, log: Log::new(cluster.seed) };
    machines::run(&mut day);
    controllers::run(&mut day);
    agents::run(&mut day);
    backup::run(&mut day);
    ci::run(&mut day);
    people::run(&mut day);
    change::run(&mut day);
    let mut records = day.log.records;
    records.sort_by_key(|r| r.time);
    records
}

/// 0 is Monday. 1970-01-01 was a Thursday.
pub(crate) fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7)
}

pub(crate) fn is_weekend(day: i64) -> bool {
    weekday(day) >= 5
}

/// Weeks since 1970, from Monday.
pub(crate) fn week(day: i64) -> i64 {
    (day + 3).div_euclid(7)
}

impl<'a> Day<'a> {
    pub(crate) fn midnight(&self) -> Timestamp {
        Timestamp::from_micros(self.number * MICROS_PER_DAY)
    }

    /// The time `hours` after midnight.
    pub(crate) fn hour(&self, hours: f64) -> Timestamp {
        later(self.midnight(), hours * 3_600.0)
    }

    /// Who carries the pager this week.
    pub(crate) fn on_call(&self) -> &'static str {
        let rota = self.cluster.estate.rota;
        rota[week(self.number).rem_euclid(rota.len() as i64) as usize]
    }

    /// Randomness of one actor on this day.
    pub(crate) fn dice(&self, scope: &str, name: &str) -> Dice {
        Dice::new(self.cluster.seed, scope, name, self.number)
    }

    /// A call by a controller of the control plane.
    pub(crate) fn control(&mut self, dice: &mut Dice, controller: Controller, at: Timestamp, call: &Call) -> Timestamp {
        let cluster: &'a Cluster = self.cluster;
        self.log.call(dice, &cluster.controller(controller), at, call)
    }
}
