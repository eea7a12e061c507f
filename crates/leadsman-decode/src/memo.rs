//! What comes again from event to event: who asks, with which client and from where, and for what kind of object.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use foldhash::quality::RandomState;
use leadsman_domain::{ObjectRef, Untrusted};

use crate::event::Checked;
use crate::redact;

/// Most entries of a kind. When there are more, all are forgotten: a client that invents texts costs what it would cost
/// without a memory.
pub(crate) const MAX_KNOWN: usize = 4_096;
/// Longest entry that is remembered, in bytes over all of its texts.
const MAX_TEXT: usize = 1_024;
/// Ends a text, and stands in none: its first byte is in no UTF-8. Its second one lets the search for secrets know that
/// another text begins.
const BORDER: &[u8] = b"\xff\n";
/// Stands for a text that is not there.
const ABSENT: u8 = 0xff;

/// Texts that were seen in earlier events and hold no secret. Logs repeat themselves: what is remembered is neither
/// searched nor copied again.
///
/// It changes no event and belongs to no context: everything in it follows from the texts.
#[derive(Clone, Default)]
pub struct DecodeMemo {
    callers: Known<Caller>,
    objects: Known<ObjectRef>,
    text: Vec<u8>,
}

/// By text. Its hash has another seed in each process, because clients choose the texts.
type Known<V> = HashMap<Box<[u8]>, V, RandomState>;

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

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.callers.len().max(self.objects.len())
    }

    /// Bytes of the longest entry.
    #[cfg(test)]
    pub(crate) fn longest(&self) -> usize {
        self.callers.keys().chain(self.objects.keys()).map(|text| text.len()).fold(0, usize::max)
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
fn recall<V: Clone>(known: &mut Known<V>, text: &[u8], value: impl FnOnce() -> V) -> (V, bool) {
    if let Some(value) = known.get(text) {
        return (value.clone(), true);
    }
    let value = value();
    if text.len() > MAX_TEXT || redact::may_hold_secret(text) {
        return (value, false);
    }
    if known.len() >= MAX_KNOWN {
        known.clear();
    }
    known.insert(text.into(), value.clone());
    (value, true)
}
