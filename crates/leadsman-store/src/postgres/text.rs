//! PostgreSQL's text cannot hold the character NUL, and its indexes hold short values only. Telemetry may bring both.

use std::borrow::Cow;

/// What fits into an index entry besides a number or two, and into the API's parameters.
const INDEXED_BYTES: usize = 512;

/// The form in which a value is stored and looked up in an index: the value itself, or a digest of it.
pub(super) fn indexed(value: &str) -> Cow<'_, str> {
    if value.len() <= INDEXED_BYTES && !value.contains('\0') {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("blake3:{}", blake3::hash(value.as_bytes()).to_hex()))
    }
}

/// Text for people, with the replacement character where PostgreSQL cannot hold it.
pub(super) fn readable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// A statement with `$1`, `$2`, … for its question marks.
pub(super) fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 16);
    for (i, part) in sql.split('?').enumerate() {
        if i > 0 {
            out.push('$');
            out.push_str(&i.to_string());
        }
        out.push_str(part);
    }
    out
}
