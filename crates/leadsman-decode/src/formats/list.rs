//! Elements of JSON arrays, one at a time: an array of a million is never held as a list.

use std::fmt;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::refusal::Refusal;

/// Calls `visit` for each element of `array`; returns how many there were.
///
/// Errors: a refusal that names `field`, when it is no array.
pub(crate) fn each<'a>(
    array: &'a RawValue,
    field: &'static str,
    visit: impl FnMut(&'a RawValue),
) -> Result<usize, Refusal> {
    let mut deserializer = serde_json::Deserializer::from_str(array.get());
    deserializer.deserialize_seq(Each(visit)).map_err(|_| Refusal::invalid(field, "an array"))
}

struct Each<F>(F);

impl<'de, F: FnMut(&'de RawValue)> Visitor<'de> for Each<F> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(value) = seq.next_element::<&RawValue>()? {
            (self.0)(value);
            count += 1;
        }
        Ok(count)
    }
}
