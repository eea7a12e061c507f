//! Which bytes of a stream are one document.

use std::io::{self, BufRead};

use crate::collect::{Collector, Shape, Terms};
use crate::json;
use crate::line::{Line, LineReader, RawItem};
use crate::refusal::Refusal;
use crate::split::{Piece, Splitter};
use crate::{Limits, inflate};

/// How the stream is read at the moment.
enum Mode {
    /// A document begins, and its first line will tell.
    Undecided,
    /// The first line is not complete by itself: a document over several lines, or a line that was cut off.
    Begun(RawItem),
    /// Every line is a document, for good.
    Lines,
    /// A document over several lines, or a line longer than an item may be.
    Document(Box<Splitter>),
}

/// The documents of a stream: JSON lines, or documents over several lines behind each other.
pub(crate) struct Documents<R> {
    lines: LineReader<R>,
    mode: Mode,
    shape: Shape,
}

impl<R: BufRead> Documents<R> {
    pub(crate) fn new(reader: R, shape: Shape, limits: &Limits) -> Self {
        let mode = match shape {
            Shape::Audit => Mode::Undecided,
            Shape::Metric => Mode::Lines,
        };
        Self { lines: LineReader::new(reader, limits.max_item_bytes), mode, shape }
    }

    /// The line that was read last.
    pub(crate) fn line(&self) -> u64 {
        match &self.mode {
            Mode::Document(splitter) => splitter.line(),
            Mode::Undecided | Mode::Begun(_) | Mode::Lines => self.lines.line(),
        }
    }

    /// The lines, when every one of them is a document and one begins at the current position.
    pub(crate) fn whole_lines(&mut self) -> Option<&mut LineReader<R>> {
        (matches!(self.mode, Mode::Lines) && self.lines.between_lines()).then_some(&mut self.lines)
    }

    /// The reader below.
    pub(crate) fn source(&self) -> &R {
        self.lines.source()
    }

    /// Reads one line, or one buffer of a document; `false` at the end.
    ///
    /// Errors: those of the reader; [`Self::broken`] then accounts for what was read.
    pub(crate) fn step(&mut self, terms: Terms<'_>, out: &mut Collector) -> io::Result<bool> {
        if let Mode::Document(splitter) = &mut self.mode {
            return Self::document(&mut self.lines, splitter, terms, out).map(|next| {
                let more = next != Next::End;
                if next == Next::Line {
                    self.mode = Mode::Undecided;
                }
                more
            });
        }
        let shape = self.shape;
        if matches!(self.mode, Mode::Lines) && self.lines.in_place(|item| out.line(shape, item, terms))? {
            return Ok(true);
        }
        // Nothing is taken out of `mode` before the read that may fail.
        let next = self.lines.next_line()?;
        match (std::mem::replace(&mut self.mode, Mode::Lines), next) {
            (Mode::Undecided, None) | (Mode::Lines | Mode::Document(_), None) => return Ok(false),
            (Mode::Begun(first), None) => {
                out.line(self.shape, first.borrowed(), terms);
                return Ok(false);
            }
            (Mode::Undecided, Some(Line::Whole(first))) => {
                if !opens_document(&first) || json::scan(&first.bytes).complete {
                    out.line(self.shape, first.borrowed(), terms);
                } else {
                    self.mode = Mode::Begun(first);
                }
            }
            (Mode::Undecided, Some(Line::TooLong(head))) if opens_document(&head) => {
                self.begin(None, &Line::TooLong(head), terms, out);
            }
            (Mode::Begun(first), Some(Line::Whole(second))) if was_cut_off(&first, &second) => {
                out.line(self.shape, first.borrowed(), terms);
                out.line(self.shape, second.borrowed(), terms);
            }
            (Mode::Begun(first), Some(second)) => self.begin(Some(&first), &second, terms, out),
            (Mode::Lines | Mode::Document(_), Some(Line::Whole(item))) => {
                out.line(self.shape, item.borrowed(), terms);
            }
            (Mode::Undecided | Mode::Lines | Mode::Document(_), Some(Line::TooLong(head))) => {
                out.reject(head.line, Refusal::too_large(terms.limits.max_item_bytes), &head.bytes);
            }
        }
        Ok(true)
    }

    /// The stream cannot be decompressed further: keeps what is complete and refuses the rest.
    pub(crate) fn broken(mut self, terms: Terms<'_>, out: &mut Collector) {
        let part = match std::mem::replace(&mut self.mode, Mode::Lines) {
            Mode::Undecided | Mode::Lines => self.lines.unfinished(),
            Mode::Begun(first) => first,
            Mode::Document(mut splitter) => {
                let mut pieces = Vec::new();
                splitter.finish(&mut pieces);
                if let Some(Piece::CutOff(part) | Piece::TooLarge(part) | Piece::Junk(part)) = pieces.pop() {
                    part
                } else {
                    RawItem { line: splitter.line(), bytes: Vec::new() }
                }
            }
        };
        if json::scan(&part.bytes).complete {
            out.line(self.shape, part.borrowed(), terms);
        }
        out.reject(part.line, inflate::refusal(), &part.bytes);
    }

    /// Enters a document whose first lines were taken as lines.
    fn begin(&mut self, first: Option<&RawItem>, second: &Line, terms: Terms<'_>, out: &mut Collector) {
        let (Line::Whole(last) | Line::TooLong(last)) = second;
        let start = first.unwrap_or(last);
        let mut splitter = Splitter::new(terms.limits.max_item_bytes, start.line);
        let mut pieces = Vec::new();
        if let Some(first) = first {
            splitter.feed(&first.bytes, &mut pieces);
            // Blank lines between the two were passed over.
            for _ in first.line..last.line {
                splitter.feed(b"\n", &mut pieces);
            }
        }
        splitter.feed(&last.bytes, &mut pieces);
        let ended = match second {
            Line::Whole(_) => splitter.feed(b"\n", &mut pieces).1,
            Line::TooLong(_) => {
                self.lines.keep_rest();
                false
            }
        };
        out.pieces(pieces, terms);
        self.mode = if ended { Mode::Undecided } else { Mode::Document(Box::new(splitter)) };
    }

    fn document(
        lines: &mut LineReader<R>,
        splitter: &mut Splitter,
        terms: Terms<'_>,
        out: &mut Collector,
    ) -> io::Result<Next> {
        let mut pieces = Vec::new();
        let buffer = match lines.inner().fill_buf() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Next::More),
            other => other?,
        };
        if buffer.is_empty() {
            splitter.finish(&mut pieces);
            out.pieces(pieces, terms);
            return Ok(Next::End);
        }
        let (used, ended) = splitter.feed(buffer, &mut pieces);
        lines.inner().consume(used);
        lines.go_on(splitter.line());
        out.pieces(pieces, terms);
        Ok(if ended { Next::Line } else { Next::More })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    More,
    Line,
    End,
}

fn opens_document(item: &RawItem) -> bool {
    matches!(item.bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// Whether `first` is a line of JSON lines that lost its end, rather than the beginning of a document: what
/// follows is complete by itself, and nothing in `first` announces it.
fn was_cut_off(first: &RawItem, second: &RawItem) -> bool {
    first.bytes.starts_with(b"{")
        && first.bytes.trim_ascii_end().last() != Some(&b'[')
        && second.bytes.starts_with(b"{\"")
        && json::scan(&second.bytes).complete
}
