use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, in microseconds since 1970-01-01T00:00:00Z: the resolution of Kubernetes' `MicroTime`.
///
/// Text form is RFC 3339 in UTC; binary formats hold the integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 timestamp.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an RFC 3339 timestamp with a zone")]
pub struct TimeError;

const MICROS_PER_HOUR: i64 = 3_600_000_000;
/// 1970-01-01 was a Thursday; weeks here start on Monday.
const EPOCH_TO_MONDAY_HOURS: i64 = 3 * 24;

impl Timestamp {
    /// From microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// From milliseconds since the epoch (Prometheus, Kafka).
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Parses RFC 3339, any zone, up to microseconds.
    ///
    /// Errors: [`TimeError`] when `text` is anything else.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        text.parse::<jiff::Timestamp>().map(|t| Self(t.as_microsecond())).map_err(|_| TimeError)
    }

    /// This time moved by `delta`, saturating at the ends of the range.
    #[must_use]
    pub fn plus(self, delta: Duration) -> Self {
        Self(self.0.saturating_add(micros(delta)))
    }

    /// This time moved back by `delta`, saturating at the ends of the range.
    #[must_use]
    pub fn minus(self, delta: Duration) -> Self {
        Self(self.0.saturating_sub(micros(delta)))
    }

    /// Seconds from `earlier` to this time; negative when `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0.saturating_sub(earlier.0)) as f64 / 1e6
    }

    /// The tumbling half-open window of `length` that holds this time.
    #[must_use]
    pub fn window(self, length: Duration) -> Window {
        let length = micros(length).max(1);
        let start = self.0.div_euclid(length).saturating_mul(length);
        Window { start: Self(start), end: Self(start.saturating_add(length)) }
    }

    /// Days since the epoch, UTC.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(24 * MICROS_PER_HOUR)
    }

    /// Hours since the epoch.
    #[must_use]
    pub fn hour(self) -> i64 {
        self.0.div_euclid(MICROS_PER_HOUR)
    }

    /// Hour of the week, UTC: 0 is Monday 00:00, 167 is Sunday 23:00.
    #[must_use]
    pub fn hour_of_week(self) -> u8 {
        (self.hour() + EPOCH_TO_MONDAY_HOURS).rem_euclid(168) as u8
    }

    /// RFC 3339 with exactly six decimals, as the API server writes `MicroTime`.
    #[must_use]
    pub fn to_micro_time(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S%.6fZ")
    }

    fn format(self, pattern: &str) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => t.strftime(pattern).to_string(),
            Err(_) => format!("{}us", self.0),
        }
    }
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// RFC 3339 in UTC with milliseconds, the form of the REST API.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if s.is_human_readable() { s.collect_str(&self.to_micro_time()) } else { s.serialize_i64(self.0) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        if d.is_human_readable() {
            let text = std::borrow::Cow::<str>::deserialize(d)?;
            Self::parse(&text).map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(d).map(Self)
        }
    }
}

/// A half-open interval `[start, end)` of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Window {
    /// First instant inside.
    pub start: Timestamp,
    /// First instant outside.
    pub end: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints_what_the_api_server_writes() {
        let t = Timestamp::parse("2023-01-27T18:28:08.127428Z").unwrap();
        assert_eq!(t.to_micro_time(), "2023-01-27T18:28:08.127428Z");
        assert_eq!(t.to_string(), "2023-01-27T18:28:08.127Z");
        assert_eq!(Timestamp::parse("2023-01-27T20:28:08.127428+02:00").unwrap(), t);
        assert_eq!(Timestamp::parse("yesterday"), Err(TimeError));
    }

    #[test]
    fn weeks_start_on_monday() {
        assert_eq!(Timestamp::parse("2026-03-02T00:30:00Z").unwrap().hour_of_week(), 0);
        assert_eq!(Timestamp::parse("2026-03-08T23:59:59Z").unwrap().hour_of_week(), 167);
        assert_eq!(Timestamp::parse("1969-12-31T23:00:00Z").unwrap().hour_of_week(), 2 * 24 + 23);
    }

    #[test]
    fn windows_are_half_open_and_aligned_before_the_epoch_too() {
        let five = Duration::from_secs(300);
        for s in ["2026-03-02T00:05:00Z", "2026-03-02T00:09:59.999999Z", "1969-12-31T23:59:59Z"] {
            let t = Timestamp::parse(s).unwrap();
            let w = t.window(five);
            assert!(w.start <= t && t < w.end, "{s}");
            assert_eq!(w.start.as_micros().rem_euclid(300_000_000), 0);
        }
    }
}
