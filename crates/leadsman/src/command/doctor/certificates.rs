//! How long the certificates hold that we show to brokers and judge them by.

use std::collections::BTreeMap;
use std::path::Path;

use leadsman_domain::Timestamp;
use leadsman_kafka::certificate_ends;

use super::{Check, Verdict, check};
use crate::inspection::length;

/// Time to have one renewed, in seconds.
const SOON: f64 = 14.0 * 86_400.0;

/// Each file that the settings name. Of a chain our own certificate comes first and counts; of a bundle of authorities
/// one that has ended does no harm, so the last one to end counts.
pub(super) fn checks(properties: &BTreeMap<String, String>, now: Timestamp) -> Vec<Check> {
    let of = |key: &str, pick: fn(Vec<Timestamp>) -> Option<Timestamp>| {
        let path = properties.get(key)?;
        Some(match certificate_ends(Path::new(path)) {
            Ok(ends) => judge(key, path, pick(ends)?, now),
            Err(e) => check("tls", Verdict::Fail, format!("`{key}`: {path} {e}: correct the path or the file")),
        })
    };
    [
        of("ssl.certificate.location", |ends| ends.into_iter().next()),
        of("ssl.ca.location", |ends| ends.into_iter().max()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

pub(super) fn judge(key: &str, path: &str, end: Timestamp, now: Timestamp) -> Check {
    let left = end.seconds_since(now);
    let (verdict, detail) = if left <= 0.0 {
        (Verdict::Fail, format!("{path} ended at {end}: renew it; a running service takes it up by itself"))
    } else if left < SOON {
        (Verdict::Warn, format!("{path} ends in {}, at {end}: renew it", length(left)))
    } else {
        (Verdict::Ok, format!("{path} holds until {end}"))
    };
    check("tls", verdict, format!("`{key}`: {detail}"))
}
