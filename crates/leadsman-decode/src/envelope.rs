//! The envelope of an audit event: what is read of every event, borrowed from its bytes.
//!
//! Two readers fill it. [`fast`] knows the compact JSON that the API server writes and goes over it once; whatever
//! it does not know, it leaves to [`plain`], which lets `serde_json` scan the item. Where both accept, they agree.
//!
//! What is checked of an item:
//!
//! | | `plain` | `fast` |
//! |---|---|---|
//! | UTF-8 | whole item | whole item |
//! | no raw control character | inside strings | whole item |
//! | nesting | whole item | whole item |
//! | keys, colons, commas and types outside skipped values | yes | yes |
//! | escapes of taken strings and of keys | yes | yes |
//! | skipped values, bodies among them: strings closed, brackets in balance | yes | yes |
//! | skipped values: kinds of brackets, commas, colons, numbers, literals, escapes | yes | no |
//!
//! So `fast` may accept an event with a body that is no JSON. Nothing is concluded from such a body: a body that a
//! rule reads is parsed in full first, and a malformed one refuses the event.

mod fast;
mod plain;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::Limits;
use crate::refusal::Refusal;

pub(crate) use plain::read as read_plain;

/// What an audit event says of itself, borrowed. Of equal keys the last counts, and `null` counts as absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `kind`.
    pub kind: Value<'a>,
    /// `apiVersion`.
    pub api_version: Value<'a>,
    /// `auditID`.
    pub audit_id: Value<'a>,
    /// `stage`.
    pub stage: Value<'a>,
    /// `level`.
    pub level: Value<'a>,
    /// `verb`.
    pub verb: Value<'a>,
    /// `user`.
    pub user: Part,
    /// `user.username`.
    pub username: Value<'a>,
    /// `user.uid`.
    pub uid: Value<'a>,
    /// How many `user.groups` there are; none when it is no array.
    pub groups: usize,
    /// `impersonatedUser`.
    pub impersonated_user: Part,
    /// `impersonatedUser.username`.
    pub impersonated: Value<'a>,
    /// The last of `sourceIPs`; [`Value::Other`] when that is no array of strings.
    pub source_ip: Value<'a>,
    /// How many `sourceIPs` there are; none when it is no array.
    pub source_ips: usize,
    /// `userAgent`.
    pub user_agent: Value<'a>,
    /// `requestURI`.
    pub request_uri: Value<'a>,
    /// `objectRef`.
    pub object_ref: Part,
    /// `objectRef.apiGroup`.
    pub api_group: Value<'a>,
    /// `objectRef.resource`.
    pub resource: Value<'a>,
    /// `objectRef.subresource`.
    pub subresource: Value<'a>,
    /// `objectRef.namespace`.
    pub namespace: Value<'a>,
    /// `objectRef.name`.
    pub name: Value<'a>,
    /// `responseStatus`.
    pub response_status: Part,
    /// `responseStatus.code`.
    pub code: Value<'a>,
    /// `annotations`.
    pub annotations: Part,
    /// `annotations["authorization.k8s.io/decision"]`.
    pub decision: Value<'a>,
    /// `annotations["authorization.k8s.io/reason"]`.
    pub reason: Value<'a>,
    /// `requestReceivedTimestamp`.
    pub received: Value<'a>,
    /// `timestamp`, of v1alpha1 and v1beta1.
    pub timestamp: Value<'a>,
    /// `metadata`.
    pub metadata: Part,
    /// `metadata.creationTimestamp`, of v1alpha1.
    pub created: Value<'a>,
    /// `stageTimestamp`.
    pub stage_time: Value<'a>,
    /// `requestObject`, as it stands in the item. Not checked.
    pub request_object: Option<&'a str>,
    /// `responseObject`, as it stands in the item. Not checked.
    pub response_object: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    /// Reads one event in the API server's own compact form; `None` when it is anything else, which says nothing
    /// about whether it is an event. Takes no memory.
    #[must_use]
    pub fn read(item: &'a [u8], limits: &Limits) -> Option<Self> {
        fast::read(item, limits.max_depth)
    }
}

/// One value of an envelope.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Value<'a> {
    /// There is none, or it is `null`.
    #[default]
    Absent,
    /// A string without escapes: its content.
    Text(&'a str),
    /// A string with escapes, in its quotes.
    Escaped(&'a str),
    /// Anything else, as it stands.
    Other(&'a str),
}

impl<'a> Value<'a> {
    /// The text of a string; `None` when there is none, and when it holds half a surrogate pair.
    #[must_use]
    pub fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Escaped(quoted) => unescaped(quoted).or_else(|| serde_json::from_str(quoted).ok()).map(Cow::Owned),
            Self::Absent | Self::Other(_) => None,
        }
    }

    pub(crate) fn of(raw: Option<&'a RawValue>) -> Self {
        let Some(raw) = raw.map(RawValue::get) else { return Self::Absent };
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(content) if memchr::memchr(b'\\', content.as_bytes()).is_none() => Self::Text(content),
            Some(_) => Self::Escaped(raw),
            None => Self::Other(raw),
        }
    }

    /// The text of an optional field.
    pub(crate) fn checked(self, field: &'static str, expected: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self {
            Self::Absent => Ok(None),
            Self::Text(_) | Self::Escaped(_) | Self::Other(_) => {
                self.text().map(Some).ok_or_else(|| Refusal::invalid(field, expected))
            }
        }
    }

    /// The text of an optional field; the empty string counts as absent, as Go's `omitempty` has it.
    pub(crate) fn optional(self, field: &'static str) -> Result<Option<Cow<'a, str>>, Refusal> {
        Ok(self.checked(field, "a string")?.filter(|text| !text.is_empty()))
    }
}

/// The text of a string with escapes, in its quotes; `None` when it has another escape than the common ones.
fn unescaped(quoted: &str) -> Option<String> {
    let mut rest = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(rest.len());
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        text.push_str(rest.get(..at)?);
        text.push(match rest.as_bytes().get(at + 1)? {
            b'"' => '"',
            b'\\' => '\\',
            b'n' => '\n',
            b't' => '\t',
            _ => return None,
        });
        rest = rest.get(at + 2..)?;
    }
    text.push_str(rest);
    Some(text)
}

/// Whether a part of the event is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// There is none, or it is `null`.
    #[default]
    Absent,
    /// An object.
    Object,
    /// Anything else.
    Other,
}

impl Part {
    /// Whether it is there; refused when it is no object.
    pub(crate) fn present(self, field: &'static str) -> Result<bool, Refusal> {
        match self {
            Self::Absent => Ok(false),
            Self::Object => Ok(true),
            Self::Other => Err(Refusal::invalid(field, "an object")),
        }
    }
}
