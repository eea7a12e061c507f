//! The one place where text of runtime events and flows becomes a value of ours.
//!
//! Everything a workload or a client wrote is capped here; [`crate::redact`] then takes secrets out.

use std::borrow::Cow;

use leadsman_domain::Untrusted;

/// Longest name, rule or tag, in bytes. Kubernetes names end at 253, image references rarely pass 512.
const MAX_NAME: usize = 1 << 10;
/// Longest command line or sentence, in bytes.
const MAX_COMMAND: usize = 4 << 10;

/// A name, rule, tag or the like.
pub(crate) fn name(text: Cow<'_, str>) -> Untrusted {
    kept(text, MAX_NAME)
}

/// A command line, or a sentence that may hold one.
pub(crate) fn command(text: Cow<'_, str>) -> Untrusted {
    kept(text, MAX_COMMAND)
}

fn kept(text: Cow<'_, str>, max: usize) -> Untrusted {
    if text.len() <= max {
        return Untrusted::new(text.into_owned());
    }
    let end = text.floor_char_boundary(max);
    Untrusted::new(&text[..end])
}
