use std::borrow::Cow;
use std::io;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::ser::Formatter;

/// A JSON value whose object keys keep their order, as Go structs do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Int(i64),
    Text(Cow<'static, str>),
    List(Vec<Json>),
    Object(Vec<(Cow<'static, str>, Json)>),
}

pub(crate) fn object<const N: usize>(fields: [(&'static str, Json); N]) -> Json {
    Json::Object(fields.into_iter().map(|(k, v)| (Cow::Borrowed(k), v)).collect())
}

pub(crate) fn list<const N: usize>(items: [Json; N]) -> Json {
    Json::List(items.into())
}

impl From<&'static str> for Json {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<&String> for Json {
    fn from(text: &String) -> Self {
        Self::Text(Cow::Owned(text.clone()))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => s.serialize_unit(),
            Self::Bool(b) => s.serialize_bool(*b),
            Self::Int(i) => s.serialize_i64(*i),
            Self::Text(t) => s.serialize_str(t),
            Self::List(items) => {
                let mut seq = s.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Object(fields) => {
                let mut map = s.serialize_map(Some(fields.len()))?;
                for (k, v) in fields {
                    map.serialize_entry(k, v)?;
                }
                map.end()
            }
        }
    }
}

/// `value` as Go's `encoding/json` would write it, on one line.
///
/// Serialisation of our own plain structs into memory cannot fail; if it ever did, the line would be empty.
pub(crate) fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    match value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, GoStrings)) {
        Ok(()) => out,
        Err(_) => Vec::new(),
    }
}

/// Escapes what Go escapes on top of JSON's own rules: `<`, `>`, `&`, U+2028 and U+2029.
/// Source: Go, `encoding/json`, `Encoder.SetEscapeHTML`.
struct GoStrings;

impl Formatter for GoStrings {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, c) in fragment.char_indices() {
            let escaped: &[u8] = match c {
                '<' => b"\\u003c",
                '>' => b"\\u003e",
                '&' => b"\\u0026",
                '\u{2028}' => b"\\u2028",
                '\u{2029}' => b"\\u2029",
                _ => continue,
            };
            writer.write_all(&fragment.as_bytes()[written..at])?;
            writer.write_all(escaped)?;
            written = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[written..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_as_go_does() {
        let check = |text: &'static str, want: &str| {
            assert_eq!(String::from_utf8(to_line(&Json::from(text))).unwrap(), want);
        };
        check("a<b>&c", r#""a\u003cb\u003e\u0026c""#);
        check("quote \" back \\ tab \t nul \0", r#""quote \" back \\ tab \t nul \u0000""#);
        check("line\u{2028}para\u{2029}é", r#""line\u2028para\u2029é""#);
    }

    #[test]
    fn keys_keep_their_order() {
        let body = object([("kind", "Pod".into()), ("apiVersion", "v1".into()), ("n", Json::List(vec![1.into()]))]);
        assert_eq!(to_line(&body), br#"{"kind":"Pod","apiVersion":"v1","n":[1]}"#);
    }
}
