//! Whether a topic is the one that was read: rdkafka shows no topic id.

use std::fmt;

use leadsman_domain::{ContentHash, RawBatch, RawRecord, SourceError};
use leadsman_kafka::{StartOffset, recreated};

/// The last record that was committed, by which a topic is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    offset: u64,
    digest: String,
}

/// Compares the record that is expected with the one in its place, once it comes.
///
/// Errors: [`SourceError::Gap`] when it is another one.
pub fn recognise(expected: &mut Option<Tail>, batch: &RawBatch) -> Result<(), SourceError> {
    match expected.take_if(|tail| batch.span.to > tail.offset) {
        Some(tail) if !tail.is_in(batch) => {
            let (number, offset) = (batch.span.partition, tail.offset);
            let detail = format!("partition {number}: the record at offset {offset} is not the one that was read");
            Err(recreated(batch.span.source.clone(), &detail))
        }
        Some(_) | None => Ok(()),
    }
}

impl Tail {
    /// That of a batch; `None` for one without records.
    #[must_use]
    pub fn of(batch: &RawBatch) -> Option<Self> {
        batch.records.last().map(Self::of_record)
    }

    fn of_record(record: &RawRecord) -> Self {
        let hash = ContentHash::new("leadsman last record of a partition");
        let digest = hash.field(record.received_at.as_micros().to_le_bytes()).field(&record.bytes).finish();
        Self { offset: record.offset, digest: format!("{digest:032x}") }
    }

    /// Reads what [`fmt::Display`] writes; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (offset, digest) = text.split_once(':')?;
        Some(Self { offset: offset.parse().ok()?, digest: digest.to_owned() })
    }

    /// Where reading begins that needs the records from `needed` on and has stored those below `known`: one record more
    /// than needed tells whether this is the log that was read.
    #[must_use]
    pub fn start(tail: Option<&Self>, needed: u64, known: u64) -> StartOffset {
        let first = tail.map_or(needed, |tail| needed.min(tail.offset));
        // Offset 0 may be gone from a log that was never read; its first record is then further on.
        if first == 0 { StartOffset::Earliest } else { StartOffset::At { first, needed, known } }
    }

    /// Whether the batch holds this record, or none at its offset: a compacted record proves nothing.
    fn is_in(&self, batch: &RawBatch) -> bool {
        batch.records.iter().find(|r| r.offset == self.offset).is_none_or(|r| Self::of_record(r) == *self)
    }
}

impl fmt::Display for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.offset, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use leadsman_domain::{PayloadKind, SourceId, Span, Timestamp};

    use super::*;

    fn batch(from: u64, bodies: &[&str]) -> RawBatch {
        let received_at = Timestamp::from_millis(1);
        let record = |(n, body): (u64, &&str)| {
            let bytes = body.as_bytes().to_vec();
            RawRecord { offset: from + n, received_at, kind: PayloadKind::K8sAudit, bytes: bytes.into() }
        };
        let records: Vec<RawRecord> = (0..).zip(bodies).map(record).collect();
        let span = Span { source: SourceId::new("kafka:t"), partition: 0, from, to: from + records.len() as u64 };
        RawBatch { span, records }
    }

    #[test]
    fn another_record_in_the_place_of_the_last_one_is_noticed_once_it_comes() {
        let read = Tail::of(&batch(3, &["a", "b"])).unwrap();
        assert_eq!(Tail::parse(&read.to_string()), Some(read.clone()));
        let mut expected = Some(read.clone());
        recognise(&mut expected, &batch(2, &["x", "y"])).unwrap();
        assert!(expected.is_some(), "its place has not come yet");
        recognise(&mut expected, &batch(4, &["b", "c"])).unwrap();
        assert_eq!(expected, None);
        let error = recognise(&mut Some(read.clone()), &batch(4, &["B", "c"])).unwrap_err();
        assert!(error.to_string().contains("offset 4"), "{error}");
        // Compaction may have removed it: that proves nothing.
        recognise(&mut Some(read), &batch(5, &["c"])).unwrap();
    }

    #[test]
    fn one_record_more_than_needed_is_read() {
        let tail = Tail::of(&batch(9, &["a"])).unwrap();
        assert_eq!(Tail::start(Some(&tail), 10, 10), StartOffset::At { first: 9, needed: 10, known: 10 });
        assert_eq!(Tail::start(Some(&tail), 4, 10), StartOffset::At { first: 4, needed: 4, known: 10 });
        assert_eq!(Tail::start(None, 4, 10), StartOffset::At { first: 4, needed: 4, known: 10 });
        assert_eq!(Tail::start(None, 0, 0), StartOffset::Earliest);
    }
}
