//! What comes again from event to event: who asks, with which client and from where, and for what kind of object.

use std::fmt;
use std::sync::Arc;

use leadsman_domain::{Memo, ObjectRef, Untrusted};

use crate::event::Checked;
use crate::redact;

/// Most entries of a kind.
pub(crate) const MAX_KNOWN: usize = 4_096;
/// Longest entry that is remembered, in bytes over all of its texts.
const MAX_TEXT: usize = 1_024;
/// Ends a text, and stands in none: its first byte is in no UTF-8. Its second one lets the search for secrets know that
/// another text begins.
const BORDER: &[u8] = b"\xff\n";
/// Stands for a text that is not there.
const ABSENT: u8 = 0xff;

/// Texts that were seen in earlier events and hold no secret: what is remembered is neither searched nor copied again.
///
/// It changes no event and belongs to no context: everything in it follows from the texts.
#[derive(Clone)]
pub struct DecodeMemo {
    callers: Memo<Caller>,
    objects: Memo<ObjectRef>,
    text: Vec<u8>,
}

impl Default for DecodeMemo {
    fn default() -> Self {
        Self { callers: Memo::new(MAX_KNOWN), objects: Memo::new(MAX_KNOWN), text: Vec::new() }
    }
}

/// Shows nothing that a client sent.
impl fmt::Debug for DecodeMemo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecodeMemo(…)")
    }
}

/// Who asked, and how.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) name: Arc<str>,
    pub(crate) impersonated: Option<Untrusted>,
    pub(crate) source_ip: Option<Untrusted>,
    pub(crate) user_agent: Option<Untrusted>,
}

/// The texts of an event that come again.
#[derive(Debug)]
pub(crate) struct Recurring {
    pub(crate) caller: Caller,
    /// The object, but for its name.
    pub(crate) object: ObjectRef,
    /// Whether it is known that none of them holds a secret.
    pub(crate) is_clean: bool,
}

impl DecodeMemo {
    /// The recurring texts of an event.
    pub(crate) fn recall(&mut self, event: &Checked<'_>) -> Recurring {
        let Self { callers, objects, text } = self;
        let own = |text: Option<&str>| text.map(Untrusted::new);
        write(text, [Some(event.user), event.impersonated, event.source_ip, event.user_agent]);
        let (caller, known_caller) = recall(callers, text, || Caller {
            name: event.user.into(),
            impersonated: own(event.impersonated),
            source_ip: own(event.source_ip),
            user_agent: own(event.user_agent),
        });
        let of = event.object;
        write(text, [Some(of.group), Some(of.resource), of.subresource, of.namespace]);
        let (object, known_object) = recall(objects, text, || ObjectRef { name: None, ..of.owned() });
        Recurring { caller, object, is_clean: known_caller && known_object }
    }

    /// Texts of each kind.
    #[cfg(test)]
    pub(crate) fn texts(&self) -> [Vec<&[u8]>; 2] {
        [self.callers.texts().collect(), self.objects.texts().collect()]
    }
}

fn write(text: &mut Vec<u8>, fields: [Option<&str>; 4]) {
    text.clear();
    for field in fields {
        match field {
            Some(field) => text.extend_from_slice(field.as_bytes()),
            None => text.push(ABSENT),
        }
        text.extend_from_slice(BORDER);
    }
}

/// The value of a text, and whether it is known to hold no secret.
fn recall<V: Clone>(known: &mut Memo<V>, text: &[u8], value: impl FnOnce() -> V) -> (V, bool) {
    if let Some(value) = known.get(text) {
        return (value.clone(), true);
    }
    let value = value();
    let is_clean = text.len() <= MAX_TEXT && !redact::may_hold_secret(text);
    if is_clean {
        known.insert(text, value.clone());
    }
    (value, is_clean)
}
