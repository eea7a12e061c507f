//! Which findings a query means, as conditions that both engines understand.

use leadsman_domain::{Finding, FindingPage, FindingQuery};

use crate::convert::severity_rank;
use crate::words;

/// A value that a condition compares with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
    /// A search expression of the engine.
    Words(String),
}

/// How an engine says what they say differently.
pub(crate) struct Dialect {
    /// The condition that a finding has all words of an expression.
    pub(crate) text: &'static str,
    /// The expression for words, each of them a beginning.
    pub(crate) expression: fn(&[String]) -> String,
    /// The condition that a finding matches a technique.
    pub(crate) technique: &'static str,
}

/// The filters in SQL with `?` for each value; text of the query only ever travels as a value.
///
/// The cursor is not among them: it does not change the total.
pub(crate) fn conditions(query: &FindingQuery, dialect: &Dialect) -> (String, Vec<Value>) {
    let FindingQuery {
        limit: _,
        before: _,
        min_severity,
        min_score,
        entity,
        text,
        cluster,
        kind,
        technique,
        incident,
        from,
        to,
    } = query;
    let words = text.as_deref().map(words::of_query);
    // Techniques are stored with spaces between them.
    let is_odd = |id: &str| id.is_empty() || id.contains(char::is_whitespace);
    let nothing = words.as_ref().is_some_and(Vec::is_empty) || technique.as_ref().is_some_and(|id| is_odd(id));
    let as_text = |text: &Option<String>| text.clone().map(Value::Text);
    let parts = [
        ("severity >= ?", min_severity.map(|s| Value::Number(severity_rank(s)))),
        ("score >= ?", min_score.map(|s| Value::Number(s.into()))),
        ("entity = ?", as_text(entity)),
        ("cluster = ?", as_text(cluster)),
        ("kind = ?", kind.map(|kind| Value::Text(kind.as_str().to_owned()))),
        ("incident = ?", incident.map(|id| Value::Text(id.to_string()))),
        (dialect.technique, as_text(technique)),
        (dialect.text, words.map(|words| Value::Words((dialect.expression)(&words)))),
        ("last_seen >= ?", from.map(|t| Value::Number(t.as_micros()))),
        ("last_seen < ?", to.map(|t| Value::Number(t.as_micros()))),
    ];
    if nothing {
        return ("FALSE".to_owned(), Vec::new());
    }
    let mut filter = "TRUE".to_owned();
    let mut values = Vec::new();
    for (condition, value) in parts {
        if let Some(value) = value {
            filter.push_str(" AND ");
            filter.push_str(condition);
            values.push(value);
        }
    }
    (filter, values)
}

/// Makes a page of the rows that were found, one more of which than `limit` tells that there is a next page.
pub(crate) fn page(mut items: Vec<(i64, Finding)>, limit: usize, total: u64) -> FindingPage {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|(seq, _)| *seq) } else { None };
    FindingPage { items, next, total }
}
