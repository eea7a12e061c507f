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
        if let Some(time) = micro_time(text) {
            return Ok(time);
        }
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

/// A time in the one form that the API server writes (`2026-03-02T10:00:00.000001Z`), of which a log holds two an event;
/// `None` says nothing.
fn micro_time(text: &str) -> Option<Timestamp> {
    let b: &[u8; 27] = text.as_bytes().try_into().ok()?;
    if [b[4], b[7], b[10], b[13], b[16], b[19], b[26]] != *b"--T::.Z" {
        return None;
    }
    let number =
        |digits: &[u8]| digits.iter().try_fold(0i64, |n, d| d.is_ascii_digit().then(|| 10 * n + i64::from(d - b'0')));
    let (year, month, day) = (number(&b[..4])?, number(&b[5..7])?, number(&b[8..10])?);
    let (hour, minute, second) = (number(&b[11..13])?, number(&b[14..16])?, number(&b[17..19])?);
    // The ends of months and leap seconds are left to the library.
    if !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since the epoch, in years that begin in March. Source: Howard Hinnant, "chrono-compatible low-level date
    // algorithms", `days_from_civil`.
    let year = year - i64::from(month <= 2);
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + 365 * of_era + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp(seconds * 1_000_000 + number(&b[20..26])?))
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
    fn the_short_way_gives_what_the_library_gives() {
        let library = |text: &str| text.parse::<jiff::Timestamp>().map(|t| Timestamp(t.as_microsecond())).ok();
        let mut taken = 0;
        for year in [0, 1, 1600, 1899, 1900, 1969, 1970, 1999, 2000, 2024, 2025, 2026, 2100, 9999] {
            for month in 0..=13 {
                for day in 0..=32 {
                    let text = format!(
                        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
                        day % 25,
                        day,
                        60 - day,
                        day * 31_249
                    );
                    if let Some(time) = micro_time(&text) {
                        assert_eq!(Some(time), library(&text), "{text}");
                        taken += 1;
                    }
                    assert_eq!(Timestamp::parse(&text).ok(), library(&text), "{text}");
                }
            }
        }
        assert!(taken > 4_000, "{taken}");
        for text in ["2026-03-02T10:00:00.00000+Z", "2026-03-02T10:00:00,000001Z", "2026-03-0 T10:00:00.000001Z"] {
            assert_eq!(micro_time(text), None, "{text}");
        }
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
