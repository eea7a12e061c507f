//! Reading JSON without building it: a structural scan, and the few fields one asks for.

use std::borrow::Cow;
use std::fmt;

use leadsman_domain::RejectReason;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// What a structural scan saw. It tracks brackets and strings only, so it never recurses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Deepest nesting.
    pub(crate) depth: usize,
    /// Whether the bytes are one bracketed value, closed, with nothing but blanks after it.
    pub(crate) complete: bool,
}

/// Scans `bytes` for nesting. A parser that accepts a prefix of `bytes` nests no deeper than `depth` in it.
pub(crate) fn scan(bytes: &[u8]) -> Scan {
    let (mut depth, mut deepest, mut end) = (0usize, 0usize, None);
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        at += 1;
        match b {
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && end.is_none() {
                    end = Some(at);
                }
            }
            b'"' => match string_end(bytes, at) {
                Some(after) => at = after,
                None => return Scan { depth: deepest, complete: false },
            },
            _ => {}
        }
    }
    let complete = end.and_then(|e| bytes.get(e..)).is_some_and(is_blank);
    Scan { depth: deepest, complete }
}

/// One past the closing quote of a string that began before `at`.
pub(crate) fn string_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let found = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[found] == b'"' {
            return Some(found + 1);
        }
        at = found + 2;
    }
}

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// `bytes` as an item worth parsing: UTF-8, and not nested beyond `max_depth`.
pub(crate) fn checked(bytes: &[u8], max_depth: usize) -> Result<&str, Refusal> {
    if scan(bytes).depth > max_depth {
        return Err(Refusal::new(RejectReason::TooDeep, format!("nested deeper than {max_depth}")));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        Refusal::new(RejectReason::InvalidUtf8, format!("not UTF-8 at byte {} of the item", e.valid_up_to()))
    })
}

/// The values of `keys` in the object `json`; `null` counts as absent, the last of equal keys wins.
///
/// Everything else is skipped in place. `serde_json` skips iteratively, so depth costs no stack.
pub(crate) fn fields<'a, const N: usize>(
    json: &'a str,
    keys: &[&str; N],
) -> Result<[Option<&'a RawValue>; N], serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let found = Fields(keys).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(found)
}

/// As [`fields`], where an optional value that is no object has no fields.
pub(crate) fn fields_of<'a, const N: usize>(
    value: Option<&'a RawValue>,
    keys: &[&str; N],
) -> [Option<&'a RawValue>; N] {
    value.and_then(|v| fields(v.get(), keys).ok()).unwrap_or([None; N])
}

/// The elements of an optional array; none when it is anything else.
pub(crate) fn elements(value: Option<&RawValue>) -> Vec<&RawValue> {
    value.and_then(|v| serde_json::from_str(v.get()).ok()).unwrap_or_default()
}

/// The text of a JSON string; `None` when `value` is anything else.
pub(crate) fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    text_of(value.get())
}

/// As [`text`], of a value that is known to be well formed.
pub(crate) fn text_of(value: &str) -> Option<Cow<'_, str>> {
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(value).ok().map(Cow::Owned)
}

/// The text of an optional field; the empty string counts as absent, as Go's `omitempty` has it.
pub(crate) fn optional_text<'a>(
    value: Option<&'a RawValue>,
    field: &'static str,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let text = text(value).ok_or_else(|| Refusal::invalid(field, "a string"))?;
    Ok(Some(text).filter(|t| !t.is_empty()))
}

struct Fields<'k, const N: usize>(&'k [&'k str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Fields<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(index) = map.next_key_seed(Key(self.0))? {
            match index.and_then(|i| found.get_mut(i)) {
                Some(slot) => *slot = Some(map.next_value::<&RawValue>()?).filter(|v| v.get() != "null"),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

struct Key<'k>(&'k [&'k str]);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Self::Value, D::Error> {
        d.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|k| *k == key))
    }
}
