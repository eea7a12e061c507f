//! Cuts a JSON document into the items of its list while it streams by.
//!
//! Only brackets and strings are tracked, so a malformed item costs that item and not its neighbours, and
//! memory holds one item, however long the list.

use crate::collect::PAYLOAD_CAP;
use crate::line::RawItem;

/// One thing cut out of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A document begins.
    Opened,
    /// An element of the top-level array or of the top-level object's `items`.
    Item(RawItem),
    /// The beginning of an element, or of an object, that is larger than the limit.
    TooLarge(RawItem),
    /// `items` begins: the object so far, closed so that it parses.
    ListOpened(RawItem),
    /// The object that `items` was in has ended: the object without the elements.
    ListClosed(RawItem),
    /// A top-level object without `items`.
    Object(RawItem),
    /// The document ends before its brackets are closed: the part that was not delivered.
    CutOff(RawItem),
    /// Something between documents that is no document.
    Junk(RawItem),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// Between documents.
    Nothing,
    /// Between documents, in something else, up to the end of the line.
    Junk,
    Array,
    Object,
}

/// How much of `"items":` stands before the current position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    None,
    Name,
    Colon,
}

#[derive(Debug, Default)]
struct Part {
    line: u64,
    bytes: Vec<u8>,
    over: bool,
}

impl Part {
    fn push(&mut self, more: &[u8], max: usize) {
        if self.over {
            return;
        }
        if self.bytes.len() + more.len() > max {
            self.over = true;
            self.bytes.truncate(PAYLOAD_CAP);
            self.bytes.shrink_to_fit();
            return;
        }
        self.bytes.extend_from_slice(more);
    }

    fn take(&mut self) -> (RawItem, bool) {
        let Self { line, bytes, over } = std::mem::take(self);
        (RawItem { line, bytes }, over)
    }
}

/// The state of one pass over a document, or several behind each other.
#[derive(Debug)]
pub(crate) struct Splitter {
    max: usize,
    line: u64,
    within: Within,
    depth: usize,
    in_string: bool,
    escaped: bool,
    key: Key,
    key_start: usize,
    /// Depth of the list's elements while inside a list.
    list: Option<usize>,
    listed: bool,
    item: Option<Part>,
    /// The document without the elements of its list.
    frame: Part,
}

impl Splitter {
    /// A splitter whose items are at most `max` bytes and whose first byte stands on `line`.
    pub(crate) fn new(max: usize, line: u64) -> Self {
        Self {
            max,
            line,
            within: Within::Nothing,
            depth: 0,
            in_string: false,
            escaped: false,
            key: Key::None,
            key_start: 0,
            list: None,
            listed: false,
            item: None,
            frame: Part::default(),
        }
    }

    /// The line of the next byte.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Takes bytes up to the first end of line outside a document, or all of them.
    ///
    /// Returns how many were taken, and whether it was such an end of line that stopped it.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<Piece>) -> (usize, bool) {
        let mut at = 0;
        while let Some(&b) = bytes.get(at) {
            if self.in_string && !self.escaped {
                let rest = &bytes[at..];
                // Most bytes of a log stand in strings: they are passed in runs.
                let run = memchr::memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                self.push(&rest[..run]);
                at += run;
                let Some(&special) = bytes.get(at) else { break };
                self.string_byte(special);
                at += 1;
                continue;
            }
            at += 1;
            if self.in_string {
                self.escaped = false;
                self.line += u64::from(b == b'\n');
                self.push(&[b]);
                continue;
            }
            match self.within {
                Within::Nothing | Within::Junk => {
                    if self.outside(b, out) {
                        return (at, true);
                    }
                }
                Within::Array | Within::Object => self.structural(b, out),
            }
            if b == b'\n' {
                self.line += 1;
            }
        }
        (at, false)
    }

    /// The end of the input: what is unfinished comes out as [`Piece::CutOff`].
    pub(crate) fn finish(&mut self, out: &mut Vec<Piece>) {
        match self.within {
            Within::Nothing => {}
            Within::Junk => out.push(Piece::Junk(self.frame.take().0)),
            Within::Array | Within::Object => {
                let (part, over) = self.item.take().unwrap_or_else(|| std::mem::take(&mut self.frame)).take();
                out.push(if over { Piece::TooLarge(part) } else { Piece::CutOff(part) });
            }
        }
        *self = Self::new(self.max, self.line);
    }

    fn push(&mut self, bytes: &[u8]) {
        match &mut self.item {
            Some(item) => item.push(bytes, self.max),
            None => self.frame.push(bytes, self.max),
        }
    }

    fn string_byte(&mut self, b: u8) {
        self.push(&[b]);
        match b {
            b'"' => {
                self.in_string = false;
                if self.at_key_level() {
                    let is_items = self.frame.bytes.get(self.key_start..) == Some(b"\"items\"");
                    self.key = if is_items { Key::Name } else { Key::None };
                }
            }
            b'\\' => self.escaped = true,
            _ => self.line += 1,
        }
    }

    /// Whether the position is directly inside the top-level object.
    fn at_key_level(&self) -> bool {
        self.within == Within::Object && self.depth == 1
    }

    /// One byte between documents; `true` at the end of a line.
    fn outside(&mut self, b: u8, out: &mut Vec<Piece>) -> bool {
        if b == b'\n' {
            self.finish(out);
            self.line += 1;
            return true;
        }
        if self.within == Within::Nothing {
            if b.is_ascii_whitespace() {
                return false;
            }
            self.frame = Part { line: self.line, ..Part::default() };
            self.within = match b {
                b'{' => Within::Object,
                b'[' => Within::Array,
                _ => Within::Junk,
            };
            self.depth = usize::from(self.within != Within::Junk);
            self.list = (self.within == Within::Array).then_some(1);
            if self.depth > 0 {
                out.push(Piece::Opened);
            }
        }
        self.frame.push(&[b], self.max);
        false
    }

    fn structural(&mut self, b: u8, out: &mut Vec<Piece>) {
        let in_list = self.list == Some(self.depth);
        match b {
            b'{' | b'[' => {
                if b == b'[' && self.at_key_level() && self.key == Key::Colon {
                    return self.open_list(out);
                }
                self.begin_item(in_list);
                self.push(&[b]);
                self.depth += 1;
                self.key = Key::None;
            }
            b'}' | b']' => {
                if in_list {
                    self.end_item(out);
                    self.list = None;
                }
                self.push(&[b]);
                self.depth -= 1;
                if self.list == Some(self.depth) {
                    self.end_item(out);
                }
                if self.depth == 0 {
                    self.end_document(out);
                }
            }
            b'"' => {
                self.begin_item(in_list);
                self.key_start = self.frame.bytes.len();
                self.push(&[b]);
                self.in_string = true;
            }
            b',' if in_list => self.end_item(out),
            _ if b.is_ascii_whitespace() => self.push(&[b]),
            _ => {
                self.begin_item(in_list);
                self.push(&[b]);
                if self.depth == 1 {
                    self.key = if b == b':' && self.key == Key::Name { Key::Colon } else { Key::None };
                }
            }
        }
    }

    fn begin_item(&mut self, in_list: bool) {
        if in_list && self.item.is_none() {
            self.item = Some(Part { line: self.line, ..Part::default() });
        }
    }

    fn end_item(&mut self, out: &mut Vec<Piece>) {
        if let Some(mut item) = self.item.take() {
            let (item, over) = item.take();
            out.push(if over { Piece::TooLarge(item) } else { Piece::Item(item) });
        }
    }

    fn open_list(&mut self, out: &mut Vec<Piece>) {
        self.push(b"[");
        self.depth += 1;
        self.key = Key::None;
        self.list = Some(self.depth);
        self.listed = true;
        let mut bytes = self.frame.bytes.clone();
        bytes.extend_from_slice(b"]}");
        out.push(Piece::ListOpened(RawItem { line: self.frame.line, bytes }));
    }

    fn end_document(&mut self, out: &mut Vec<Piece>) {
        let (frame, over) = self.frame.take();
        match (self.within, over) {
            (Within::Object, true) => out.push(Piece::TooLarge(frame)),
            (Within::Object, false) if self.listed => out.push(Piece::ListClosed(frame)),
            (Within::Object, false) => out.push(Piece::Object(frame)),
            // The frame of an array is its two brackets.
            (Within::Array | Within::Nothing | Within::Junk, _) => {}
        }
        *self = Self::new(self.max, self.line);
    }
}
