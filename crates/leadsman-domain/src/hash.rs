use std::hash::BuildHasher;

/// Hashes what stands in a table, with another seed in each process, because clients choose it. Quicker than that of the
/// standard library.
pub type TableHash = foldhash::quality::RandomState;

/// 64 bits of a text, the same in every process. Quick, and no match for those who look for two texts of one hash.
#[must_use]
pub fn short_hash(text: &str) -> u64 {
    foldhash::quality::FixedState::with_seed(0).hash_one(text)
}

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
    pub fn field(self, bytes: impl AsRef<[u8]>) -> Self {
        self.optional(Some(bytes))
    }

    /// Adds one field that may be absent.
    #[must_use]
    pub fn optional(mut self, bytes: Option<impl AsRef<[u8]>>) -> Self {
        match bytes {
            Some(bytes) => self.add(Some(bytes.as_ref())),
            None => self.add(None),
        }
        self
    }

    fn add(&mut self, field: Option<&[u8]>) {
        self.0.update(&length(field)).update(field.unwrap_or_default());
    }

    /// The first 128 bits.
    #[must_use]
    pub fn finish(&self) -> u128 {
        head(&self.0.finalize())
    }
}

/// Hashes many short sequences for one purpose. Its hashes are as good as those of [`ContentHash`], and others; they take
/// less time, because nothing is set up for each.
#[derive(Clone)]
pub struct ContentHasher {
    key: [u8; 32],
}

impl ContentHasher {
    /// A hasher for one purpose; different `context`s never collide.
    #[must_use]
    pub fn new(context: &str) -> Self {
        Self { key: blake3::derive_key(context, &[]) }
    }

    /// The first 128 bits of the hash of `fields`. What `memory` holds is of no account, and replaced.
    #[must_use]
    pub fn hash(&self, fields: &[Option<&[u8]>], memory: &mut Vec<u8>) -> u128 {
        memory.clear();
        for field in fields {
            memory.extend_from_slice(&length(*field));
            memory.extend_from_slice(field.unwrap_or_default());
        }
        head(&blake3::keyed_hash(&self.key, memory))
    }
}

/// What stands before a field: its length, or what no length is.
fn length(field: Option<&[u8]>) -> [u8; 8] {
    field.map_or(u64::MAX, |field| field.len() as u64).to_le_bytes()
}

fn head(hash: &blake3::Hash) -> u128 {
    let mut head = [0; 16];
    head.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_borders_and_absence_count() {
        let one = |context: &str, fields: &[Option<&str>]| {
            fields.iter().fold(ContentHash::new(context), |hash, field| hash.optional(*field)).finish()
        };
        let many = |context: &str, fields: &[Option<&str>]| {
            let fields: Vec<Option<&[u8]>> = fields.iter().map(|field| field.map(str::as_bytes)).collect();
            ContentHasher::new(context).hash(&fields, &mut b"left over".to_vec())
        };
        for hash in [&one as &dyn Fn(&str, &[Option<&str>]) -> u128, &many] {
            assert_ne!(hash("t", &[Some("ab"), Some("c")]), hash("t", &[Some("a"), Some("bc")]));
            assert_ne!(hash("t", &[Some("")]), hash("t", &[None]));
            assert_eq!(hash("t", &[Some("a"), None]), hash("t", &[Some("a"), None]));
            assert_ne!(hash("t", &[Some("a")]), hash("u", &[Some("a")]));
        }
    }
}
