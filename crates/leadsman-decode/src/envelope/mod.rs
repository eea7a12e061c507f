//! The fields of an audit event that are read, borrowed from its bytes, and the two ways to find them.
//!
//! [`Envelope::plain`] parses with `serde_json` and decides. [`Envelope::fast`] reads what the API server itself
//! writes and gives up on everything else. Where both give an envelope the two are equal.
//!
//! # What the fast way checks
//!
//! - Of the whole event: UTF-8, no control character (so no line breaks between tokens either), every string closed,
//!   every escape well formed, as many closing as opening brackets, nesting within the bound, nothing behind the end.
//! - Of everything outside skipped arrays and objects: the full grammar. What is taken has its proper type.
//! - Inside skipped arrays and objects (bodies, `extra`, unknown keys) it checks **neither commas, colons, numbers and
//!   literals nor that a bracket is closed by its own kind**. A body is parsed in full before a rule reads it.
//!
//! It gives up on white space between tokens, equal keys in one object, escapes in keys, `null` and other unexpected
//! types, `metadata` and `timestamp`, which only the versions before v1 write, and `items`, which makes it a list.

mod cursor;
mod fast;
mod plain;
mod room;
mod simd;
mod unescape;

use std::borrow::Cow;

pub(crate) use room::Room;
pub use simd::Kernel;
use unescape::{is_text, room_for, unescape};

/// What stands in the place of an optional value. `null` is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// Nothing.
    #[default]
    Absent,
    /// A value of the expected type.
    Given(T),
    /// A value of another type.
    Wrong,
}

/// A JSON string as it stands in the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    quoted: &'a str,
    escaped: bool,
}

/// An authenticated or impersonated user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct User<'a> {
    /// `username`.
    pub name: Field<Text<'a>>,
    /// `uid`.
    pub uid: Field<Text<'a>>,
    /// How many `groups` there are.
    pub groups: usize,
}

/// `objectRef`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields bear the names of the format")]
pub struct Object<'a> {
    pub api_group: Field<Text<'a>>,
    pub resource: Field<Text<'a>>,
    pub subresource: Field<Text<'a>>,
    pub namespace: Field<Text<'a>>,
    pub name: Field<Text<'a>>,
}

/// `sourceIPs`: client-written but for the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Addresses<'a> {
    /// The last address, which the API server wrote.
    pub last: Option<Text<'a>>,
    /// How many there are.
    pub count: usize,
}

/// What one audit event says, without its bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "most fields bear the names of the format")]
pub struct Envelope<'a> {
    pub kind: Field<Text<'a>>,
    pub api_version: Field<Text<'a>>,
    pub level: Field<Text<'a>>,
    pub audit_id: Field<Text<'a>>,
    pub stage: Field<Text<'a>>,
    pub request_uri: Field<Text<'a>>,
    pub verb: Field<Text<'a>>,
    pub user: Field<User<'a>>,
    pub impersonated_user: Field<User<'a>>,
    pub source_ips: Field<Addresses<'a>>,
    pub user_agent: Field<Text<'a>>,
    pub object_ref: Field<Object<'a>>,
    /// `responseStatus`, of which only `code` is taken.
    pub response_status: Field<Field<u16>>,
    /// The JSON of `requestObject`, parsed by nobody yet.
    pub request_object: Option<&'a str>,
    /// The JSON of `responseObject`, parsed by nobody yet.
    pub response_object: Option<&'a str>,
    pub request_received: Field<Text<'a>>,
    pub stage_time: Field<Text<'a>>,
    /// `timestamp`, before v1.
    pub timestamp: Field<Text<'a>>,
    /// `metadata.creationTimestamp`, before v1.
    pub created: Field<Text<'a>>,
    /// The annotation `authorization.k8s.io/decision`.
    pub decision: Field<Text<'a>>,
    /// The annotation `authorization.k8s.io/reason`.
    pub reason: Field<Text<'a>>,
}

impl<'a> Envelope<'a> {
    /// Reads one event of the form that the API server writes; `None` says nothing but that [`Self::plain`] decides.
    ///
    /// `max_depth` bounds nesting as in [`crate::Limits`]. Takes time linear in `item` and no heap memory.
    #[must_use]
    pub fn fast(item: &'a [u8], max_depth: usize) -> Option<Self> {
        Kernel::best().read(item, max_depth)
    }

    /// Reads any JSON object; of equal keys the last wins.
    ///
    /// Errors: those of `serde_json`, for what is no JSON or no object.
    pub fn plain(json: &'a str) -> Result<Self, serde_json::Error> {
        plain::read(json)
    }
}

/// Whether every reader that accepts `item` reads the same from it: what fuzzing looks for a counterexample to.
#[doc(hidden)]
#[must_use]
pub fn readers_agree(item: &[u8], max_depth: usize) -> bool {
    let fast = Envelope::fast(item, max_depth);
    let plain = std::str::from_utf8(item).ok().and_then(|json| Envelope::plain(json).ok());
    Kernel::all().into_iter().all(|kernel| kernel.read(item, max_depth) == fast)
        && fast.zip(plain).is_none_or(|(fast, plain)| fast == plain)
}

// === impl Text ===

impl<'a> Text<'a> {
    /// The text between the quotes as it is written, escapes and all.
    #[must_use]
    pub fn raw(&self) -> &'a str {
        self.quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or_default()
    }

    /// The text; `None` when its escapes are no text, as a lone surrogate is.
    #[must_use]
    pub fn get(&self) -> Option<Cow<'a, str>> {
        if !self.escaped {
            return Some(Cow::Borrowed(self.raw()));
        }
        unescape(self.raw(), &mut vec![0; room_for(self.raw())]).map(|text| Cow::Owned(text.to_owned()))
    }

    /// Whether [`Self::get`] gives a text.
    #[must_use]
    pub(crate) fn is_text(&self) -> bool {
        !self.escaped || is_text(self.raw())
    }

    /// As [`Self::get`], where a text with escapes is written to the beginning of `room`. Its memory is used again and
    /// again, so that reading many events allocates nothing.
    #[must_use]
    pub fn get_in<'b>(&self, room: &'b mut Vec<u8>) -> Option<&'b str>
    where
        'a: 'b,
    {
        if !self.escaped {
            return Some(self.raw());
        }
        let needed = room_for(self.raw());
        if room.len() < needed {
            room.resize(needed, 0);
        }
        unescape(self.raw(), room)
    }
}
