//! The query string of `GET /v1/findings`.

use axum::extract::Query;
use axum::http::Uri;
use leadsman_domain::{FindingKind, FindingQuery, Severity, Timestamp};

use crate::{ApiError, cursor};

const MAX_LIMIT: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;
/// Most bytes of a text.
const MAX_TEXT: usize = 512;

/// Reads the filter. Every problem is listed, not the first.
///
/// Errors: invalid input that names each parameter which is unknown, repeated or out of range.
pub(crate) fn findings(uri: &Uri) -> Result<FindingQuery, ApiError> {
    let Ok(Query(pairs)) = Query::<Vec<(String, String)>>::try_from_uri(uri) else {
        return Err(refused().at("/", "the query string is not properly percent-encoded"));
    };
    let mut query = FindingQuery { limit: DEFAULT_LIMIT, ..FindingQuery::default() };
    let mut error = refused();
    let mut cursor = None;
    for (i, (name, value)) in pairs.iter().enumerate() {
        if pairs[..i].iter().any(|(earlier, _)| earlier == name) {
            error = error.at(parameter(name), "is given twice");
        } else if let Err(message) = set(&mut query, &mut cursor, name, value) {
            error = error.at(parameter(name), message);
        }
    }
    if let (Some(from), Some(to)) = (query.from, query.to)
        && from >= to
    {
        error = error.at("/from", "must be before `to`");
    }
    // Last, because a cursor belongs to a filter.
    if let Some(text) = cursor {
        query.before = cursor::open(&text, &query);
        if query.before.is_none() {
            error = error.at("/cursor", "is not a cursor of this list: start without one");
        }
    }
    if error.fields.is_empty() { Ok(query) } else { Err(error) }
}

fn refused() -> ApiError {
    ApiError::invalid("the query string is not what this address takes: see errors")
}

/// A client chose the name, so only what can be a name is repeated.
fn parameter(name: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || "_-.".contains(*c);
    format!("/{}", name.chars().take(64).filter(safe).collect::<String>())
}

fn set(query: &mut FindingQuery, cursor: &mut Option<String>, name: &str, value: &str) -> Result<(), &'static str> {
    match name {
        "limit" => {
            query.limit = value
                .parse()
                .ok()
                .filter(|n| (1..=MAX_LIMIT).contains(n))
                .ok_or("must be an integer from 1 to 1000")?;
        }
        "min_score" => {
            let score = value.parse().ok().filter(|n| *n <= 100).ok_or("must be an integer from 0 to 100")?;
            query.min_score = Some(score);
        }
        "severity" => query.min_severity = Some(severity(value)?),
        "entity" => query.entity = Some(text(value)?),
        "text" => query.text = Some(text(value)?),
        "cluster" => query.cluster = Some(text(value)?),
        "kind" => {
            let kind = FindingKind::named(value).ok_or("must be a kind of finding, such as secrets_access")?;
            query.kind = Some(kind);
        }
        "technique" => query.technique = Some(technique(value)?),
        "incident" => {
            let id = value.parse().map_err(|_| "must be inc_ and 32 hexadecimal digits")?;
            query.incident = Some(id);
        }
        "from" => query.from = Some(time(value)?),
        "to" => query.to = Some(time(value)?),
        "cursor" => *cursor = Some(value.to_owned()),
        _ => {
            return Err("is unknown: this address takes limit, cursor, text, min_score, severity, entity, cluster, \
                        kind, technique, incident, from and to");
        }
    }
    Ok(())
}

fn text(value: &str) -> Result<String, &'static str> {
    if (1..=MAX_TEXT).contains(&value.len()) { Ok(value.to_owned()) } else { Err("must have 1 to 512 bytes") }
}

/// `T1552` or `T1552.007`.
fn technique(value: &str) -> Result<String, &'static str> {
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
    let is_id = value.strip_prefix('T').is_some_and(|id| match id.split_once('.') {
        Some((whole, part)) => digits(whole, 4) && digits(part, 3),
        None => digits(id, 4),
    });
    if is_id { Ok(value.to_owned()) } else { Err("must be an ATT&CK technique, such as T1552 or T1552.007") }
}

fn severity(value: &str) -> Result<Severity, &'static str> {
    let all = [Severity::Info, Severity::Low, Severity::Medium, Severity::High, Severity::Critical];
    all.into_iter().find(|s| s.as_str() == value).ok_or("must be info, low, medium, high or critical")
}

fn time(value: &str) -> Result<Timestamp, &'static str> {
    Timestamp::parse(value).map_err(|_| "must be an RFC 3339 timestamp with a zone")
}
