//! Names of the files of a lake: `events/cluster=c/date=2026-03-02/hour=10/part-source-0-100-200.parquet`.
//!
//! A name says all there is to know without opening the file, and nothing in it is taken over from outside unescaped.

use std::fmt;

use leadsman_domain::{ContentHash, Timestamp};

/// Longest text in a name; with the numbers around it a name stays below the 255 bytes of most file systems.
const MAX_TEXT: usize = 120;
/// How much of a longer text is kept in front of its hash.
const KEPT: usize = 80;
/// Parts a kept text from its hash; in no escaped text.
const CUT: char = '!';
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// What the rows of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Audit events.
    Events,
    /// Metric samples.
    Samples,
}

impl Kind {
    /// Every kind, in the order in which a roll is written.
    pub const ALL: [Self; 2] = [Self::Events, Self::Samples];

    /// The name of its directory.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Samples => "samples",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An hour of event time, UTC, of the years 1970 to 9999; other times count to the first or the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(i64);

impl Hour {
    const LAST: i64 = 253_402_300_800 / 3_600 - 1;

    /// The hour that holds `time`.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        Self(time.hour().clamp(0, Self::LAST))
    }

    /// Its first instant.
    #[must_use]
    pub fn start(self) -> Timestamp {
        Timestamp::from_micros(self.0 * MICROS_PER_HOUR)
    }

    /// The first instant after it.
    #[must_use]
    pub fn end(self) -> Timestamp {
        Timestamp::from_micros((self.0 + 1) * MICROS_PER_HOUR)
    }

    /// Its day, as `2026-03-02`.
    #[must_use]
    pub fn date(self) -> String {
        self.start().to_micro_time().chars().take(10).collect()
    }

    fn parse(date: &str, hour: &str) -> Option<Self> {
        let time = Timestamp::parse(&format!("{date}T{hour}:00:00.000000Z")).ok()?;
        let parsed = Self::of(time);
        // What would be written otherwise is not ours.
        (parsed.start() == time && parsed.date() == date && hour.len() == 2).then_some(parsed)
    }
}

/// Text that is safe in a name of a directory and of a file: what is no letter, digit, dot, underscore or hyphen is
/// escaped by percent signs, and a long text is cut and told apart by its hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeText(String);

impl SafeText {
    /// Escapes `text`; different texts stay different.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let mut escaped = String::with_capacity(text.len());
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        }
        if escaped.len() > MAX_TEXT {
            let hash = ContentHash::new("leadsman lake name v1").field(text).finish();
            escaped.truncate(KEPT);
            escaped.push_str(&format!("{CUT}{hash:032x}"));
        }
        Self(escaped)
    }

    /// A text as it stands in a name, if it could have been written.
    fn parse(written: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-%".contains(&b) || char::from(b) == CUT;
        (written.len() <= MAX_TEXT && written.bytes().all(plain)).then(|| Self(written.to_owned()))
    }

    /// As it stands in names.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text that was escaped, as far as the name has it.
    #[must_use]
    pub fn unescaped(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_str();
        while let Some(first) = rest.chars().next() {
            let hex = rest.get(1..3).filter(|_| first == '%').and_then(|hex| u8::from_str_radix(hex, 16).ok());
            if let Some(byte) = hex {
                bytes.push(byte);
                rest = &rest[3..];
            } else {
                bytes.extend(first.to_string().bytes());
                rest = &rest[first.len_utf8()..];
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A range `[first, next)` of offsets of one partition of one source. The order is that of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The source.
    pub source: SafeText,
    /// Its partition.
    pub partition: u32,
    /// First offset.
    pub first: u64,
    /// One past the last offset.
    pub next: u64,
}

impl Range {
    /// Whether both are of the same log.
    #[must_use]
    pub fn same_log(&self, other: &Self) -> bool {
        (&self.source, self.partition) == (&other.source, other.partition)
    }

    /// Whether every offset of `other` is in this range.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        self.same_log(other) && self.first <= other.first && other.next <= self.next
    }
}

/// The name of a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName {
    /// What it holds.
    pub kind: Kind,
    /// Of which cluster.
    pub cluster: SafeText,
    /// Of which hour.
    pub hour: Hour,
    /// Of which offsets.
    pub range: Range,
}

impl FileName {
    /// The directory of this and the other files of its hour, with a slash at the end.
    #[must_use]
    pub fn directory(&self) -> String {
        let Self { kind, cluster, hour, .. } = self;
        let time = hour.start().to_micro_time();
        format!(
            "{kind}/cluster={}/date={}/hour={}/",
            cluster.as_str(),
            hour.date(),
            time.get(11..13).unwrap_or_default()
        )
    }

    /// Reads the path of a file within the lake; `None` when it is not one of ours.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let kind = parts.next()?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
        let cluster = SafeText::parse(parts.next()?.strip_prefix("cluster=")?)?;
        let hour = Hour::parse(parts.next()?.strip_prefix("date=")?, parts.next()?.strip_prefix("hour=")?)?;
        let name = parts.next().filter(|_| parts.next().is_none())?;
        // A source may hold hyphens, the numbers do not.
        let mut fields = name.strip_prefix("part-")?.strip_suffix(".parquet")?.rsplitn(4, '-');
        let (next, first, partition) = (number(fields.next()?)?, number(fields.next()?)?, number(fields.next()?)?);
        let (partition, source) = (u32::try_from(partition).ok()?, SafeText::parse(fields.next()?)?);
        (first < next).then_some(Self { kind, cluster, hour, range: Range { source, partition, first, next } })
    }
}

/// A number as it is written here: no sign, no zeros in front.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

/// The path within the lake.
impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { source, partition, first, next } = &self.range;
        write!(f, "{}part-{}-{partition}-{first}-{next}.parquet", self.directory(), source.as_str())
    }
}

#[cfg(test)]
mod tests;
