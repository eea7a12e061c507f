//! The clock.

use leadsman_domain::Timestamp;

use super::{Check, Verdict, check};
use crate::inspection::length;

/// Clocks of a data centre differ by less; events further ahead than two minutes are refused.
const TOLERATED: f64 = 30.0;

/// Compares our clock with what was written down by others.
///
/// It finds a clock that is **behind**: behind the newest record of a topic, or behind the days that the model was
/// trained on. It cannot find a clock that is ahead, because a record that looks old may just be old: a topic may be
/// quiet. Nor can it tell whose clock is wrong. Brokers tell their clock only to those who write.
pub(super) fn check_clock(now: Timestamp, trained_to: Option<Timestamp>, newest: &[(String, Timestamp)]) -> Check {
    let ahead = |time: &Timestamp| time.seconds_since(now);
    if let Some(trained_to) = trained_to.filter(|time| ahead(time) > TOLERATED) {
        let behind = length(ahead(&trained_to));
        return check(
            "clock",
            Verdict::Fail,
            format!("{now} is {behind} before the end of what the model was trained on: set the clock, by NTP"),
        );
    }
    let furthest = newest.iter().max_by_key(|(_, time)| *time).filter(|(_, time)| ahead(time) > TOLERATED);
    match furthest {
        Some((topic, time)) => check(
            "clock",
            Verdict::Warn,
            format!(
                "the newest record of `{topic}` is {} ahead of this clock ({now}): one of the two is wrong; set both by NTP, or its events are refused as being from the future",
                length(ahead(time))
            ),
        ),
        None if newest.is_empty() => {
            check("clock", Verdict::Ok, format!("{now}; there is no record that it could be compared with"))
        }
        None => check("clock", Verdict::Ok, format!("{now}, not behind the newest records")),
    }
}
