use std::borrow::Cow;

use leadsman_domain::RejectReason;

/// Why one item is refused, before it is known where it stood.
///
/// The detail names fields and positions; it never quotes the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: RejectReason,
    pub(crate) detail: Cow<'static, str>,
}

impl Refusal {
    pub(crate) fn new(reason: RejectReason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn missing(field: &'static str) -> Self {
        Self::new(RejectReason::MissingField, format!("{field} is missing"))
    }

    pub(crate) fn invalid(field: &'static str, expected: &'static str) -> Self {
        Self::new(RejectReason::InvalidField, format!("{field} is not {expected}"))
    }

    pub(crate) fn too_large(max: usize) -> Self {
        Self::new(RejectReason::TooLarge, format!("larger than {max} bytes"))
    }

    /// The error of a scan over an item. `serde_json` quotes values in its messages, so only the position is
    /// taken from it.
    pub(crate) fn json(error: &serde_json::Error, shape: &'static str) -> Self {
        if error.is_data() {
            return Self::new(RejectReason::UnknownShape, shape);
        }
        let what = if error.is_eof() { "JSON ends early" } else { "not JSON" };
        let (line, column) = (error.line(), error.column());
        Self::new(RejectReason::MalformedJson, format!("{what}, at line {line} column {column} of the item"))
    }
}
