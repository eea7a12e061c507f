//! What is remembered of the files that the logical log was read from.

use std::fmt;
use std::str::FromStr;

use leadsman_domain::ContentHash;

/// Bytes at the start of a file that tell it from another one in the same inode.
pub(super) const HEAD: usize = 1024;

/// Generations in a tag. Replay starts at a snapshot, which is seconds to minutes old: far fewer rotations.
const REMEMBERED: usize = 16;

/// Device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// One file of the logical log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    /// Logical offset of its first byte.
    pub(super) start: u64,
    pub(super) id: FileId,
    /// Bytes that `hash` covers.
    pub(super) head_len: usize,
    pub(super) hash: u64,
}

/// The text that is stored with a commit: `v1 end mtime generation…`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Tag {
    /// One past the last logical offset delivered.
    pub(super) end: u64,
    /// When the last generation was last written, in nanoseconds since the epoch.
    pub(super) modified: i64,
    /// Oldest first.
    pub(super) generations: Vec<Generation>,
}

/// A text that is not a tag of this release.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tag in the checkpoint was written by another release")]
pub(super) struct TagError;

/// Hash of a file's first bytes.
pub(super) fn hash(head: &[u8]) -> u64 {
    ContentHash::new("leadsman 2026 head of a tailed file").field(head).finish() as u64
}

impl Tag {
    /// Forgets the oldest generations beyond what a replay can need.
    pub(super) fn trim(generations: &mut Vec<Generation>) {
        generations.drain(..generations.len().saturating_sub(REMEMBERED));
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v1 {} {}", self.end, self.modified)?;
        for Generation { start, id, head_len, hash } in &self.generations {
            write!(f, " {start}:{:x}:{:x}:{head_len}:{hash:016x}", id.device, id.inode)?;
        }
        Ok(())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        let mut words = text.split(' ');
        if words.next() != Some("v1") {
            return Err(TagError);
        }
        let end = words.next().and_then(|w| w.parse().ok()).ok_or(TagError)?;
        let modified = words.next().and_then(|w| w.parse().ok()).ok_or(TagError)?;
        let generations = words.map(generation).collect::<Option<Vec<_>>>().ok_or(TagError)?;
        let ascending = generations.is_sorted_by_key(|g| g.start);
        if ascending { Ok(Self { end, modified, generations }) } else { Err(TagError) }
    }
}

fn generation(word: &str) -> Option<Generation> {
    let mut parts = word.split(':');
    let start = parts.next()?.parse().ok()?;
    let device = u64::from_str_radix(parts.next()?, 16).ok()?;
    let inode = u64::from_str_radix(parts.next()?, 16).ok()?;
    let head_len = parts.next()?.parse().ok().filter(|len| *len <= HEAD)?;
    let hash = u64::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some(Generation { start, id: FileId { device, inode }, head_len, hash })
}
