//! Files of any size, for those who only look at audit events: none is kept, and several threads may read its lines.

use std::io::{self, Read};
use std::mem;

use leadsman_domain::{Decoded, Timestamp};

use crate::collect::{Collector, List, Shape, Terms};
use crate::inflate::Inflate;
use crate::line::{Item, without_return};
use crate::reader::ReadError;
use crate::stream::Documents;
use crate::{DecodeContext, EventView, Limits, json};

/// Bytes of lines that are handed out at a time: they stay in the cache of the core that reads them.
const BLOCK: usize = 256 << 10;

/// Reads what [`AuditReader`](crate::AuditReader) reads, and shows audit events in place of returning them.
///
/// Memory holds one block, or one item where that is larger.
pub struct AuditScanner<R: Read> {
    ctx: DecodeContext,
    limits: Limits,
    received_at: Timestamp,
    /// `None` once the stream has ended.
    documents: Option<Documents<Inflate<R>>>,
    /// The beginning of the line that the last block ended in.
    carried: Vec<u8>,
    /// Whether the items of the current list are taken.
    list: List,
    /// What stopped the last block.
    failed: Option<io::Error>,
}

/// A part of a file.
#[derive(Debug)]
pub enum Part {
    /// Was read: what it held beside audit events, which were shown.
    Read(Decoded),
    /// Is yet to be read, by any thread and in any order.
    Lines(LineBlock),
}

/// Whole lines, each a document by itself.
#[derive(Debug)]
pub struct LineBlock {
    first_line: u64,
    memory: Memory,
    length: usize,
}

/// What a block takes up.
#[derive(Debug, Default)]
pub struct Memory {
    bytes: Vec<u8>,
    /// Where the line feeds stand.
    ends: Vec<usize>,
}

impl<R: Read> AuditScanner<R> {
    /// Starts reading; `received_at` bounds event times from the future.
    ///
    /// Errors: [`ReadError`] when the first bytes cannot be read.
    pub fn new(reader: R, ctx: DecodeContext, limits: Limits, received_at: Timestamp) -> Result<Self, ReadError> {
        let inflate = Inflate::file(reader, &limits).map_err(|source| ReadError { line: 1, source })?;
        let documents = Some(Documents::new(inflate, Shape::Audit, &limits));
        Ok(Self { ctx, limits, received_at, documents, carried: Vec::new(), list: List::Taken, failed: None })
    }

    /// The next part, `None` at the end. `watch` is shown the audit events of parts that are read here; `memory` is
    /// what a block left behind, or empty.
    ///
    /// Errors: [`ReadError`] when the reader fails, after everything before it was delivered. Nothing follows.
    pub fn next(&mut self, memory: Memory, watch: &mut dyn FnMut(&EventView<'_>)) -> Result<Option<Part>, ReadError> {
        if let Some(block) = self.block(memory) {
            return Ok(Some(Part::Lines(block)));
        }
        let terms = terms(&self.ctx, &self.limits, self.received_at);
        let mut out = Collector::watched(&self.ctx, watch);
        out.list = self.list;
        while let Some(mut documents) = self.documents.take() {
            let step = self.failed.take().map_or_else(|| documents.step(terms, &mut out), Err);
            match step {
                Ok(true) => {
                    let lines = documents.whole_lines().is_some();
                    self.documents = Some(documents);
                    if lines || out.accounted() > 0 {
                        break;
                    }
                }
                Ok(false) => break,
                Err(source) if documents.source().input_failed() => {
                    return Err(ReadError { line: documents.line(), source });
                }
                Err(_) => documents.broken(terms, &mut out),
            }
        }
        self.list = out.list;
        let more = self.documents.is_some() || out.accounted() > 0;
        Ok(more.then(|| Part::Read(out.take())))
    }

    /// The lines that the next bytes hold, once the stream is known to be lines; `None` when there is no whole line of
    /// permitted length.
    fn block(&mut self, memory: Memory) -> Option<LineBlock> {
        let Memory { mut bytes, mut ends } = memory;
        let max = self.limits.max_item_bytes;
        let lines = self.documents.as_mut().filter(|_| self.failed.is_none())?.whole_lines()?;
        let wanted = BLOCK.max(self.carried.len() + 1).min(max);
        bytes.resize(wanted, 0);
        // One long line does not make all that follow read in large blocks.
        bytes.shrink_to(2 * wanted);
        let mut length = self.carried.len();
        // What was carried over holds no line feed.
        let mut searched = length;
        bytes.get_mut(..length)?.copy_from_slice(&self.carried);
        let end = loop {
            match lines.inner().read(bytes.get_mut(length..)?) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => self.failed = Some(e),
                Ok(0) => break Some(length),
                Ok(n) => length += n,
            }
            if length < bytes.len() && self.failed.is_none() {
                continue;
            }
            let end = memchr::memrchr(b'\n', &bytes[searched..length]).map(|at| searched + at + 1);
            if end.is_some() || self.failed.is_some() || length == max {
                break end;
            }
            // By one block, so that little more than one long line is handed out at a time.
            searched = length;
            bytes.resize((length + BLOCK).min(max), 0);
        };
        self.carried.clear();
        let Some(end) = end.filter(|end| *end > 0) else {
            lines.resume(&bytes[..length]);
            return None;
        };
        self.carried.extend_from_slice(&bytes[end..length]);
        let first_line = lines.line();
        ends.clear();
        ends.extend(memchr::memchr_iter(b'\n', &bytes[..end]));
        lines.go_on(first_line + ends.len() as u64);
        if self.failed.is_some() {
            lines.resume(&mem::take(&mut self.carried));
        }
        Some(LineBlock { first_line, memory: Memory { bytes, ends }, length: end })
    }
}

impl LineBlock {
    /// Reads the lines: `watch` is shown the audit events, all else is returned. `ctx`, `limits` and `received_at` are
    /// those of the scanner. Items in rejects count from the beginning of the block, lines from that of the file.
    #[must_use]
    pub fn read(
        &self,
        ctx: &DecodeContext,
        limits: &Limits,
        received_at: Timestamp,
        watch: &mut dyn FnMut(&EventView<'_>),
    ) -> Decoded {
        let terms = terms(ctx, limits, received_at);
        let mut out = Collector::watched(ctx, watch);
        let Memory { bytes, ends } = &self.memory;
        let mut from = 0;
        // The last line of a file may have no end.
        for (line, end) in (self.first_line..).zip(ends.iter().chain([&self.length])) {
            let bytes = without_return(bytes.get(from..*end).unwrap_or_default());
            if !json::is_blank(bytes) {
                out.line(Shape::Audit, Item { line, bytes }, terms);
                out.flush();
            }
            from = end + 1;
        }
        out.take()
    }

    /// The memory, for the next block.
    #[must_use]
    pub fn into_memory(self) -> Memory {
        self.memory
    }
}

fn terms<'a>(ctx: &'a DecodeContext, limits: &'a Limits, received_at: Timestamp) -> Terms<'a> {
    Terms { ctx, limits, received_at, depth: 0, from_file: true }
}
