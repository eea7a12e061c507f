use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that is not an id of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not an id of the form {prefix}_ and 32 hexadecimal digits")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// From a 128-bit content hash.
            #[must_use]
            pub const fn new(hash: u128) -> Self {
                Self(hash)
            }

            /// The hash.
            #[must_use]
            pub const fn get(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:032x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let digits = text.strip_prefix(concat!($prefix, "_")).filter(|d| {
                    d.len() == 32 && d.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
                });
                digits
                    .and_then(|d| u128::from_str_radix(d, 16).ok())
                    .map(Self)
                    .ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                if s.is_human_readable() { s.collect_str(self) } else { s.serialize_u128(self.0) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                if d.is_human_readable() {
                    let text = std::borrow::Cow::<str>::deserialize(d)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    u128::deserialize(d).map(Self)
                }
            }
        }
    };
}

hash_id!(
    /// Identity of one event: bound to its content, because clients can choose the `auditID`.
    EventId, "evt"
);
hash_id!(
    /// Identity of one request: that of its events, without the stage.
    RequestKey, "req"
);
hash_id!(
    /// Identity of a finding: cluster, detector family, entity and window. A replay yields the same.
    FindingId, "fnd"
);
hash_id!(
    /// Identity of an incident: its entity and first window.
    IncidentId, "inc"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_strict() {
        let id = FindingId::new(0xabc);
        assert_eq!(id.to_string(), "fnd_00000000000000000000000000000abc");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "fnd_", "evt_00000000000000000000000000000abc", "fnd_0000000000000000000000000000+abc"] {
            assert!(bad.parse::<FindingId>().is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<FindingId>(&serde_json::to_string(&id).unwrap()).unwrap(), id);
    }
}
