//! Between domain values and those of a database: integers are checked, nothing is clamped.

use leadsman_domain::{Finding, RejectReason, Severity, StoreError};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, StrDeserializer};

/// The integers of both engines are signed: an offset of 2^63 or more is refused rather than wrapped.
pub(crate) fn to_db(value: u64, what: &str) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt(format!("{what} {value} is beyond what the store can hold")))
}

pub(crate) fn from_db(value: i64, what: &str) -> Result<u64, StoreError> {
    u64::try_from(value)
        .map_err(|_| StoreError::Corrupt(format!("{what} is {value}, but cannot be negative: restore a backup")))
}

/// A row limit. No table has more rows than 64 bits count, so the largest stands for all above it.
pub(crate) fn row_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The order of the bands as stored; written out because the numbers are a file format.
pub(crate) fn severity_rank(severity: Severity) -> i64 {
    match severity {
        Severity::Info => 0,
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    }
}

pub(crate) fn reject_reason(name: &str) -> Result<RejectReason, StoreError> {
    let name: StrDeserializer<'_, ValueError> = name.into_deserializer();
    RejectReason::deserialize(name).map_err(|error| StoreError::Corrupt(format!("a dead letter's reason: {error}")))
}

pub(crate) fn finding_from_json(id: &str, body: &str) -> Result<Finding, StoreError> {
    serde_json::from_str(body).map_err(|error| StoreError::Corrupt(format!("finding {id}: {error}; restore a backup")))
}

/// The stored form of a finding.
///
/// Errors: `Corrupt` when it would read back as something else. JSON has no NaN: one such row would later
/// fail every page it stands on, so it is refused while the caller can still be told which it is.
pub(crate) fn finding_to_json(finding: &Finding) -> Result<String, StoreError> {
    let refuse = |why: String| StoreError::Corrupt(format!("finding {} cannot be stored: {why}", finding.id));
    let body = serde_json::to_string(finding).map_err(|error| refuse(error.to_string()))?;
    let back: Finding = serde_json::from_str(&body).map_err(|error| refuse(error.to_string()))?;
    if back == *finding { Ok(body) } else { Err(refuse("it reads back differently".to_owned())) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_reject_reason_reads_back() {
        use leadsman_domain::RejectReason::*;
        let all = [
            MalformedJson,
            InvalidUtf8,
            TooLarge,
            TooDeep,
            UnknownShape,
            UnknownApiVersion,
            MissingField,
            InvalidField,
            Decompression,
            MalformedProtobuf,
            FutureEventTime,
            MalformedBase64,
            TooNested,
        ];
        for reason in all {
            assert_eq!(super::reject_reason(reason.as_str()).unwrap(), reason);
        }
        assert!(super::reject_reason("bad_mood").is_err());
    }
}
