//! Values of a body that was parsed in full: what is looked for in them is found without parsing them again.

use std::borrow::Cow;

use serde_json::value::RawValue;

use leadsman_domain::RejectReason;

use crate::envelope::Kernel;
use crate::json;
use crate::refusal::Refusal;

/// A value in JSON that is known to be well formed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// `json` as one value.
    ///
    /// Errors: a refusal when it is none.
    pub(crate) fn parse(json: &'a str) -> Result<Self, Refusal> {
        if Kernel::best().is_whole(json) {
            return Ok(Self(json));
        }
        match serde_json::from_str::<&RawValue>(json) {
            Ok(value) => Ok(Self(value.get())),
            Err(_) => Err(Refusal::new(RejectReason::MalformedJson, "a body is not JSON")),
        }
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    pub(crate) fn is_array(self) -> bool {
        self.0.starts_with('[')
    }

    /// Whether it is written as `json`, a number or a literal.
    pub(crate) fn is(self, json: &str) -> bool {
        self.0 == json
    }

    pub(crate) fn json(self) -> &'a str {
        self.0
    }

    /// The text of a string; `None` when it is anything else.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        json::text_of(self.0)
    }

    /// The values of `keys` in an object; `null` counts as absent, the last of equal keys wins. What is no object has
    /// no fields.
    pub(crate) fn fields<const N: usize>(self, keys: &[&str; N]) -> [Option<Self>; N] {
        let mut found = [None; N];
        let mut members = Tokens::inside(self, b'{');
        while let Some(key) = members.next() {
            let Some(value) = members.next() else { break };
            let name = key.text();
            if let Some(slot) = keys.iter().position(|k| name.as_deref() == Some(*k)).and_then(|i| found.get_mut(i)) {
                *slot = Some(value).filter(|value| value.0 != "null");
            }
        }
        found
    }

    /// The elements of an array; what is no array has none.
    pub(crate) fn elements(self) -> impl Iterator<Item = Self> {
        Tokens::inside(self, b'[')
    }
}

/// As [`Value::fields`], of a value that may be absent.
pub(crate) fn fields<'a, const N: usize>(value: Option<Value<'a>>, keys: &[&str; N]) -> [Option<Value<'a>>; N] {
    value.map_or([None; N], |value| value.fields(keys))
}

/// As [`Value::elements`], of a value that may be absent.
pub(crate) fn elements(value: Option<Value<'_>>) -> impl Iterator<Item = Value<'_>> {
    value.into_iter().flat_map(Value::elements)
}

/// The values directly inside an array, or the keys and values of an object in turn.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
    kernel: Kernel,
}

impl<'a> Tokens<'a> {
    /// Nothing when `value` does not begin with `bracket`.
    fn inside(value: Value<'a>, bracket: u8) -> Self {
        let text = if value.0.as_bytes().first() == Some(&bracket) { value.0 } else { "" };
        Self { text, at: 1, kernel: Kernel::best() }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let bytes = self.text.as_bytes();
        let between = |b: &u8| b.is_ascii_whitespace() || matches!(b, b',' | b':');
        let from = self.at + bytes.get(self.at..)?.iter().take_while(|b| between(b)).count();
        self.at = match bytes.get(from)? {
            b'}' | b']' => return None,
            b'{' | b'[' => self.kernel.container_end(self.text, from)?,
            b'"' => json::string_end(bytes, from + 1)?,
            _ => {
                let ends = |b: &u8| between(b) || matches!(b, b'}' | b']');
                from + bytes.get(from..)?.iter().take_while(|b| !ends(b)).count()
            }
        };
        self.text.get(from..self.at).map(Value)
    }
}
