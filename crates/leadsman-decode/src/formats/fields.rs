//! Fields of other tools' documents: typed, and absent rather than wrong where they are optional.

use std::borrow::Cow;

use leadsman_domain::Timestamp;

use super::{Raw, list};
use crate::json::{self, optional_text};
use crate::refusal::Refusal;

/// Falco writes this where it has no value.
const NOT_AVAILABLE: &str = "<NA>";

/// A text or a number as text; `None` for anything else, for the empty text and for Falco's `<NA>`.
pub(crate) fn word(value: Raw<'_>) -> Option<Cow<'_, str>> {
    let value = value?;
    let word = match json::text(value) {
        Some(text) => text,
        None if value.get().starts_with(|c: char| c.is_ascii_digit() || c == '-') => Cow::Borrowed(value.get()),
        None => return None,
    };
    Some(word).filter(|w| !w.is_empty() && w != NOT_AVAILABLE)
}

/// A number, also as text: protobuf writes 64-bit numbers so.
pub(crate) fn number<T: std::str::FromStr>(value: Raw<'_>) -> Option<T> {
    word(value)?.parse().ok()
}

/// A required text.
pub(crate) fn required<'a>(value: Raw<'a>, field: &'static str) -> Result<Cow<'a, str>, Refusal> {
    optional_text(value, field)?.ok_or_else(|| Refusal::missing(field))
}

/// A required RFC 3339 time.
pub(crate) fn time(value: Raw<'_>, field: &'static str) -> Result<Timestamp, Refusal> {
    let text = required(value, field)?;
    let time = Timestamp::parse(&text).map_err(|_| Refusal::invalid(field, "an RFC 3339 time"))?;
    if time < Timestamp::default() {
        return Err(Refusal::invalid(field, "after 1970"));
    }
    Ok(time)
}

/// The first `max` words of an optional array.
pub(crate) fn words(value: Raw<'_>, max: usize) -> Vec<Cow<'_, str>> {
    let mut words = Vec::new();
    if let Some(value) = value {
        let all = list::each(value, "", |element| {
            if words.len() < max {
                words.extend(word(Some(element)));
            }
        });
        // An optional list that is none has no words.
        if all.is_err() {
            words.clear();
        }
    }
    words
}
