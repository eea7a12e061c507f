//! Decompression under limits that are checked while it runs.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;
use leadsman_domain::RejectReason;

use crate::Limits;
use crate::refusal::Refusal;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const BUFFER: usize = 64 << 10;
/// Repetitive small records are ordinary; a ratio says nothing about them.
const RECORD_GRACE: u64 = 1 << 20;
/// `2^27` bytes is what `zstd` itself decodes by default, `--long` files included.
const WINDOW_LOG_FILE: u32 = 27;
/// A window is allocated as soon as a header asks for it, so a record gets 8 MiB: what every level up to 19 uses.
const WINDOW_LOG_RECORD: u32 = 23;

/// Whether `bytes` begin as gzip or zstd do.
pub(crate) fn is_compressed(bytes: &[u8]) -> bool {
    bytes.starts_with(GZIP) || bytes.starts_with(ZSTD)
}

/// The refusal of content that cannot be inflated, or not within the limits.
pub(crate) fn refusal() -> Refusal {
    Refusal::new(RejectReason::Decompression, "the compressed data is damaged, cut off or grows beyond the limits")
}

/// Plain content of a reader that may be plain, gzip or zstd, told by its first bytes.
pub(crate) struct Inflate<R: Read> {
    body: Body<R>,
    /// Bytes delivered.
    out: u64,
    /// How many more may be, of what was inflated last.
    room: u64,
    max_out: u64,
    max_ratio: u64,
    grace: u64,
}

enum Body<R: Read> {
    Plain(BufReader<Tap<R>>),
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<Tap<R>>>>>),
    Zstd(BufReader<zstd::Decoder<'static, BufReader<Tap<R>>>>),
}

impl<R: Read> Inflate<R> {
    /// For one record: `max_decompressed` is its end.
    pub(crate) fn record(reader: R, limits: &Limits) -> io::Result<Self> {
        let body = Body::open(reader, WINDOW_LOG_RECORD)?;
        let (max_out, max_ratio) = (limits.max_decompressed, limits.max_ratio);
        Ok(Self { body, out: 0, room: 0, max_out, max_ratio, grace: RECORD_GRACE })
    }

    /// For a file of any length: only the ratio is bounded.
    pub(crate) fn file(reader: R, limits: &Limits) -> io::Result<Self> {
        let body = Body::open(reader, WINDOW_LOG_FILE)?;
        let (max_ratio, grace) = (limits.max_ratio, limits.max_decompressed);
        Ok(Self { body, out: 0, room: 0, max_out: u64::MAX, max_ratio, grace })
    }

    /// Whether the last error came from the reader below, not from decompression.
    pub(crate) fn input_failed(&self) -> bool {
        self.body.tap().failed
    }

    /// Bytes that may be delivered in all, going by what was taken so far.
    fn bound(&self) -> u64 {
        let by_ratio = self.body.tap().taken.saturating_mul(self.max_ratio);
        self.max_out.min(by_ratio.max(self.grace))
    }
}

impl<R: Read> Body<R> {
    fn open(reader: R, window_log: u32) -> io::Result<Self> {
        let mut tap =
            BufReader::with_capacity(BUFFER, Tap { inner: reader, taken: 0, failed: false, head: Vec::new() });
        let head = tap.get_mut().peek(ZSTD.len())?;
        if head.starts_with(GZIP) {
            return Ok(Self::Gzip(Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(tap)))));
        }
        if head.starts_with(ZSTD) {
            let mut decoder = zstd::Decoder::with_buffer(tap)?;
            decoder.window_log_max(window_log)?;
            return Ok(Self::Zstd(BufReader::with_capacity(BUFFER, decoder)));
        }
        Ok(Self::Plain(tap))
    }

    /// What was inflated and not delivered yet.
    fn buffer(&self) -> &[u8] {
        match self {
            Self::Plain(plain) => plain.buffer(),
            Self::Gzip(gzip) => gzip.buffer(),
            Self::Zstd(zstd) => zstd.buffer(),
        }
    }

    fn tap(&self) -> &Tap<R> {
        match self {
            Self::Plain(tap) => tap.get_ref(),
            Self::Gzip(gzip) => gzip.get_ref().get_ref().get_ref(),
            Self::Zstd(zstd) => zstd.get_ref().get_ref().get_ref(),
        }
    }
}

impl<R: Read> Read for Inflate<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if let Body::Plain(body) = &mut self.body {
            return body.read(to);
        }
        // By way of the buffer, so that the bound stands at the same byte however much is asked for.
        let n = self.fill_buf()?.read(to)?;
        self.consume(n);
        Ok(n)
    }
}

impl<R: Read> BufRead for Inflate<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if let Body::Plain(ref mut body) = self.body {
            return body.fill_buf();
        }
        if self.body.buffer().is_empty() {
            match &mut self.body {
                Body::Plain(body) => body.fill_buf(),
                Body::Gzip(body) => body.fill_buf(),
                Body::Zstd(body) => body.fill_buf(),
            }?;
            // The first byte beyond the bound is delivered: it shows that there is one.
            self.room = self.bound().saturating_add(1).saturating_sub(self.out);
        }
        if self.room == 0 {
            return Err(ErrorKind::InvalidData.into());
        }
        let buffer = self.body.buffer();
        Ok(buffer.get(..usize::try_from(self.room).unwrap_or(usize::MAX)).unwrap_or(buffer))
    }

    fn consume(&mut self, n: usize) {
        self.out = self.out.saturating_add(n as u64);
        self.room = self.room.saturating_sub(n as u64);
        match &mut self.body {
            Body::Plain(body) => body.consume(n),
            Body::Gzip(body) => body.consume(n),
            Body::Zstd(body) => body.consume(n),
        }
    }
}

/// Counts what is taken from a reader and remembers whether it failed.
struct Tap<R> {
    inner: R,
    taken: u64,
    failed: bool,
    /// First bytes, read to tell the format and still to be delivered.
    head: Vec<u8>,
}

impl<R: Read> Tap<R> {
    fn peek(&mut self, n: usize) -> io::Result<&[u8]> {
        self.inner.by_ref().take(n as u64).read_to_end(&mut self.head)?;
        Ok(&self.head)
    }
}

impl<R: Read> Read for Tap<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let n = if self.head.is_empty() {
            let result = self.inner.read(to);
            self.failed = matches!(&result, Err(e) if e.kind() != ErrorKind::Interrupted);
            result?
        } else {
            let n = self.head.as_slice().read(to)?;
            self.head.drain(..n);
            n
        };
        self.taken = self.taken.saturating_add(n as u64);
        Ok(n)
    }
}
