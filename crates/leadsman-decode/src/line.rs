use std::io::{self, BufRead, ErrorKind};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Some bytes of a file or record and the line on which they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawItem {
    /// Line of the beginning, from 1.
    pub line: u64,
    /// The bytes, without the end of line.
    pub bytes: Vec<u8>,
}

/// As [`RawItem`], in somebody else's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) line: u64,
    pub(crate) bytes: &'a [u8],
}

impl RawItem {
    pub(crate) fn borrowed(&self) -> Item<'_> {
        Item { line: self.line, bytes: &self.bytes }
    }
}

/// The line that all of `bytes` is, without its end; `None` when it is blank or longer than `max`, when there are more,
/// and when [`LineReader`] would see more in it: a byte order mark, or something compressed.
pub(crate) fn only(bytes: &[u8], max: usize) -> Option<&[u8]> {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (line, rest) = (without_return(&bytes[..end]), &bytes[end..]);
    let is_only = line.len() <= max && crate::json::is_blank(rest) && !crate::json::is_blank(line);
    (is_only && !line.starts_with(BYTE_ORDER_MARK) && !crate::inflate::is_compressed(bytes)).then_some(line)
}

/// One line that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The whole line.
    Whole(RawItem),
    /// The beginning of a line longer than the limit; the rest is skipped without being held.
    TooLong(RawItem),
}

/// Lines of a byte stream in bounded memory: at most one line of `max` bytes is held.
///
/// Blank lines are passed over but counted, ends may be `\n` or `\r\n`, and a UTF-8 byte order mark at the
/// beginning is dropped.
pub struct LineReader<R> {
    inner: R,
    max: usize,
    /// The current line, from 1.
    line: u64,
    partial: Vec<u8>,
    skipping: bool,
}

impl<R: BufRead> LineReader<R> {
    /// Reads lines of up to `max` bytes from `inner`.
    pub fn new(inner: R, max: usize) -> Self {
        Self { inner, max, line: 1, partial: Vec::new(), skipping: false }
    }

    /// The next line that is not blank, or `None` at the end.
    ///
    /// Errors: those of the underlying reader. What was read of the line until then stays in the reader.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let buffer = match self.inner.fill_buf() {
                Ok(buffer) => buffer,
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            let end = memchr::memchr(b'\n', buffer);
            let content = &buffer[..end.unwrap_or(buffer.len())];
            let at_end = buffer.is_empty();
            let used = content.len() + usize::from(end.is_some());
            if self.skipping {
                self.inner.consume(used);
                if end.is_some() {
                    self.skipping = false;
                    self.line += 1;
                } else if at_end {
                    return Ok(None);
                }
                continue;
            }
            let room = self.max.saturating_sub(self.partial.len());
            if content.len() > room {
                self.partial.extend_from_slice(&content[..room]);
                self.inner.consume(room);
                self.skipping = true;
                return Ok(Some(Line::TooLong(self.unfinished())));
            }
            self.partial.extend_from_slice(content);
            self.inner.consume(used);
            if end.is_some() || at_end {
                let item = self.unfinished();
                self.line += u64::from(end.is_some());
                if !crate::json::is_blank(&item.bytes) {
                    return Ok(Some(Line::Whole(item)));
                }
                if at_end {
                    return Ok(None);
                }
            }
        }
    }

    /// Shows the next line to `take` where it stands, if all of it is in the buffer; `false` when it is not. Blank lines
    /// are passed over.
    ///
    /// Errors: those of the underlying reader.
    pub(crate) fn in_place(&mut self, take: impl FnOnce(Item<'_>)) -> io::Result<bool> {
        if !self.between_lines() {
            return Ok(false);
        }
        let buffer = match self.inner.fill_buf() {
            Err(e) if e.kind() == ErrorKind::Interrupted => return Ok(false),
            other => other?,
        };
        let Some(end) = memchr::memchr(b'\n', buffer).filter(|end| *end <= self.max) else { return Ok(false) };
        let item = Item { line: self.line, bytes: without_return(&buffer[..end]) };
        if !crate::json::is_blank(item.bytes) {
            take(item);
        }
        self.inner.consume(end + 1);
        self.line += 1;
        Ok(true)
    }

    /// Whether a line begins at the current position, and not the first one, which may begin with a byte order mark.
    pub(crate) fn between_lines(&self) -> bool {
        self.line > 1 && !self.skipping && self.partial.is_empty()
    }

    /// Takes `beginning` as what was read of the current line.
    pub(crate) fn resume(&mut self, beginning: &[u8]) {
        self.partial.extend_from_slice(beginning);
    }

    /// The unfinished line, with the end of line and the byte order mark removed.
    pub(crate) fn unfinished(&mut self) -> RawItem {
        let mut bytes = std::mem::take(&mut self.partial);
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        if self.line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        RawItem { line: self.line, bytes }
    }

    /// Takes the rest of a long line as content after all.
    pub(crate) fn keep_rest(&mut self) {
        self.skipping = false;
    }

    /// The reader below, for content that is not lines; [`Self::go_on`] says where it ended.
    pub(crate) fn inner(&mut self) -> &mut R {
        &mut self.inner
    }

    /// The reader below.
    pub(crate) fn source(&self) -> &R {
        &self.inner
    }

    /// Continues at the current position, which stands on `line`.
    pub(crate) fn go_on(&mut self, line: u64) {
        self.line = line;
    }

    /// The current line.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }
}

/// A line without the carriage return at its end.
pub(crate) fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl<R: BufRead> Iterator for LineReader<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_line().transpose()
    }
}
