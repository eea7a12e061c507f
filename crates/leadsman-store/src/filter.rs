//! Which findings a query means, as conditions that both engines understand.

use leadsman_domain::{Finding, FindingPage, FindingQuery};

use crate::convert::severity_rank;

/// A value that a condition compares with.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(i64),
    Text(String),
}

/// The filters in SQL with `?` for each value; text of the query only ever travels as a value.
///
/// The cursor is not among them: it does not change the total.
pub(crate) fn conditions(query: &FindingQuery) -> (String, Vec<Value>) {
    let FindingQuery { limit: _, before: _, min_severity, min_score, entity, from, to } = query;
    let text = |text: &Option<String>| text.clone().map(Value::Text);
    let parts = [
        ("severity >= ?", min_severity.map(|s| Value::Number(severity_rank(s)))),
        ("score >= ?", min_score.map(|s| Value::Number(s.into()))),
        ("entity = ?", text(entity)),
        ("last_seen >= ?", from.map(|t| Value::Number(t.as_micros()))),
        ("last_seen < ?", to.map(|t| Value::Number(t.as_micros()))),
    ];
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
