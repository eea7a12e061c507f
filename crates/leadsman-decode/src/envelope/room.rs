//! Memory for the texts of one event that are not written as they mean.

use std::mem;

use super::Text;
use super::unescape::{room_for, unescape};

/// Texts of an event beyond its own length: what unescaping needs of slack, for more texts than an event has.
const SLACK: usize = 1 << 10;

/// Where the texts of one event go that cannot be borrowed from it. The memory is used again for the next one, so that
/// reading many events allocates nothing.
#[derive(Debug)]
pub(crate) struct Room<'r> {
    /// The memory, until the first text needs it.
    memory: Option<&'r mut Vec<u8>>,
    size: usize,
    rest: &'r mut [u8],
}

impl<'r> Room<'r> {
    /// Room for an event of `length` bytes: every text of it once, its URI a second time, and its path.
    pub(crate) fn new(memory: &'r mut Vec<u8>, length: usize) -> Self {
        Self { memory: Some(memory), size: 3 * length + SLACK, rest: &mut [] }
    }

    /// The text; `None` when its escapes are no text, as a lone surrogate is.
    pub(crate) fn text(&mut self, text: Text<'r>) -> Option<&'r str> {
        if !text.escaped {
            return Some(text.raw());
        }
        unescape(text.raw(), self.take(room_for(text.raw()))?)
    }

    /// `length` bytes that hold anything; `None` when the room is used up.
    pub(crate) fn take(&mut self, length: usize) -> Option<&'r mut [u8]> {
        if let Some(memory) = self.memory.take() {
            if memory.len() < self.size {
                memory.resize(self.size, 0);
            }
            self.rest = memory;
        }
        let (taken, rest) = mem::take(&mut self.rest).split_at_mut_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// A copy of `text`; `None` when the room is used up.
    pub(crate) fn copy(&mut self, text: &str) -> Option<&'r str> {
        let copy = self.take(text.len())?;
        copy.copy_from_slice(text.as_bytes());
        std::str::from_utf8(copy).ok()
    }
}
