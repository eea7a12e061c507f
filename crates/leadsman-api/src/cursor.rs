//! The cursor of a list: opaque text that says where the next page starts and which filter it belongs to.
//!
//! The check value is no secret: it tells a mangled cursor, or one of another filter, from a good one. A
//! forged cursor would only show what the filter shows anyway.

use leadsman_domain::FindingQuery;

const CHECK_LEN: usize = 8;

/// The text for "below this commit sequence".
pub(crate) fn seal(before: i64, query: &FindingQuery) -> String {
    let mut text = format!("{before:016x}");
    for byte in check(before, query) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The commit sequence in a cursor; `None` when it is mangled or belongs to another filter.
pub(crate) fn open(text: &str, query: &FindingQuery) -> Option<i64> {
    let digits = text.get(..16)?;
    let before = i64::from_str_radix(digits, 16).ok()?;
    (seal(before, query) == text).then_some(before)
}

fn check(before: i64, query: &FindingQuery) -> [u8; CHECK_LEN] {
    // `limit` and `before` may change from page to page; the rest selects the list.
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
    let selected = (min_severity, min_score, (entity, text, cluster), (kind, technique, incident), from, to);
    let filter = format!("{before} {selected:?}");
    let mut out = [0; CHECK_LEN];
    let digest = blake3::derive_key("leadsman 2026 findings cursor v2", filter.as_bytes());
    out.copy_from_slice(&digest[..CHECK_LEN]);
    out
}
