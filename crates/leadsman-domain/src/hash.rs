/// Hashes a sequence of fields so that no two different sequences share an input: each field is
/// length-prefixed, absent differs from empty.
#[derive(Clone)]
pub struct ContentHash(blake3::Hasher);

impl ContentHash {
    /// A hash for one purpose; different `context`s never collide.
    #[must_use]
    pub fn new(context: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(context))
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds one field that may be absent.
    #[must_use]
    pub fn optional(mut self, bytes: Option<impl AsRef<[u8]>>) -> Self {
        match bytes {
            Some(b) => self.field(b),
            None => {
                self.0.update(&u64::MAX.to_le_bytes());
                self
            }
        }
    }

    /// The first 128 bits.
    #[must_use]
    pub fn finish(&self) -> u128 {
        let mut head = [0u8; 16];
        self.0.finalize_xof().fill(&mut head);
        u128::from_be_bytes(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_borders_and_absence_count() {
        let h = |fields: &[Option<&str>]| fields.iter().fold(ContentHash::new("t"), |h, f| h.optional(*f)).finish();
        assert_ne!(h(&[Some("ab"), Some("c")]), h(&[Some("a"), Some("bc")]));
        assert_ne!(h(&[Some("")]), h(&[None]));
        assert_eq!(h(&[Some("a"), None]), h(&[Some("a"), None]));
        assert_ne!(ContentHash::new("t").field("a").finish(), ContentHash::new("u").field("a").finish());
    }
}
