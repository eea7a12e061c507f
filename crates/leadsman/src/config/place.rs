use std::ops::Range;
use std::path::Path;

use super::problem::{Origin, Position};
use super::redact;

/// A line of a file, with the part that is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Excerpt {
    position: Position,
    width: usize,
    line: String,
}

/// A file and its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'a> {
    pub(super) path: &'a Path,
    pub(super) text: &'a str,
}

// === impl Document ===

impl Document<'_> {
    /// The origin of what starts at this byte.
    pub(super) fn origin(&self, start: usize) -> Origin {
        Origin::File { path: self.path.to_path_buf(), position: Some(self.position(start)) }
    }

    /// Line and column of a byte.
    pub(super) fn position(&self, byte: usize) -> Position {
        let before = &self.text[..self.boundary(byte)];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        Position { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1 }
    }

    /// The line around a span; `None` if it is long or may hold a secret.
    pub(super) fn excerpt(&self, span: &Range<usize>) -> Option<Excerpt> {
        const LONGEST: usize = 160;
        let (from, to) = (self.boundary(span.start), self.boundary(span.end));
        let range = self.line(from);
        let line = self.text[range.clone()].trim_end();
        if redact::may_hold_secret(line) || line.chars().count() > LONGEST {
            return None;
        }
        let width = self.text[from..to.clamp(from, range.end)].trim_end().chars().count().max(1);
        // A tab or a control character would put the marks under the wrong place, or worse.
        let line = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Some(Excerpt { position: self.position(from), width, line })
    }

    /// As [`Self::excerpt`], but where quotes may be open: a secret may have begun on any line before.
    pub(super) fn excerpt_of_syntax(&self, span: &Range<usize>) -> Option<Excerpt> {
        if redact::may_hold_secret(&self.text[..self.boundary(span.start)]) { None } else { self.excerpt(span) }
    }

    /// The line around a byte, without its end.
    pub(super) fn line(&self, byte: usize) -> Range<usize> {
        let (before, after) = self.text.split_at(self.boundary(byte));
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        start..after.find('\n').map_or(self.text.len(), |at| before.len() + at)
    }

    /// The byte, moved to the start of its character.
    fn boundary(&self, byte: usize) -> usize {
        self.text.floor_char_boundary(byte)
    }
}

// === impl Excerpt ===

impl Excerpt {
    /// The line, and below it the marks and the advice.
    pub(super) fn render(&self, advice: &str) -> String {
        let number = self.position.line.to_string();
        let (gutter, indent, marks) = (" ".repeat(number.len()), self.position.column - 1, "^".repeat(self.width));
        let below = format!("  {gutter} | {}{marks} {advice}", " ".repeat(indent));
        format!("  {number} | {}\n{}\n", self.line, below.trim_end())
    }
}
