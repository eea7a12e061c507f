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
        self.add(bytes);
        self
    }

    /// Adds one field that may be absent.
    #[must_use]
    pub fn optional(mut self, bytes: Option<impl AsRef<[u8]>>) -> Self {
        self.add_optional(bytes);
        self
    }

    /// As [`Self::field`], in place: moving a hash takes longer than adding a short field.
    pub fn add(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// As [`Self::optional`], in place.
    pub fn add_optional(&mut self, bytes: Option<impl AsRef<[u8]>>) -> &mut Self {
        match bytes {
            Some(b) => self.add(b),
            None => {
                self.0.update(&u64::MAX.to_le_bytes());
                self
            }
        }
    }

    /// The first 128 bits.
    #[must_use]
    pub fn finish(&self) -> u128 {
        let mut head = [0; 16];
        head.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
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
