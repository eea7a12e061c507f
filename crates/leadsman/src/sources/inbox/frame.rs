//! One frame: `length u32 | crc32c u32 | kind u8 | received_at i64 | durable u64 | bytes`, little-endian. `length` counts
//! what follows the checksum; the checksum covers `length` and all that it counts. `durable` says how much of the file
//! was on the disk when the frame was written: the frames of one group have one, and may reach the disk in any order.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use leadsman_domain::{PayloadKind, Timestamp};

const PREFIX: usize = 8;
const META: usize = 17;

/// Most bytes that `length` can count.
pub(super) const MAX_BYTES: usize = u32::MAX as usize - META;

/// Receipt times of the search for later frames: up to the year 2255. It keeps random bytes from looking like a frame.
const PLAUSIBLE_MICROS: std::ops::Range<i64> = 0..1 << 53;

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It ends too early, or its length is wrong.
    #[error("a frame is cut off")]
    CutOff,
    /// Its bytes changed.
    #[error("a checksum does not match")]
    Checksum,
    /// It is intact, but of a kind that this release does not know.
    #[error("a record is of a kind that this release does not know")]
    UnknownKind,
    /// The next segment starts at another number.
    #[error("the number of records does not fit the next segment")]
    RecordCount,
}

/// An intact frame.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: PayloadKind,
    pub(super) received_at: Timestamp,
    pub(super) bytes: Bytes,
}

/// Codes of kinds; lower ones stood in frames that had no `durable`.
fn code(kind: PayloadKind) -> u8 {
    match kind {
        PayloadKind::K8sAudit => 16,
        PayloadKind::PrometheusRemoteWrite => 17,
        PayloadKind::MetricJson => 18,
        PayloadKind::Canonical => 19,
    }
}

fn kind(of: u8) -> Option<PayloadKind> {
    const KINDS: [PayloadKind; 4] =
        [PayloadKind::K8sAudit, PayloadKind::PrometheusRemoteWrite, PayloadKind::MetricJson, PayloadKind::Canonical];
    KINDS.into_iter().find(|kind| code(*kind) == of)
}

/// Size on disk of a frame around `bytes` bytes.
pub(super) fn size(bytes: usize) -> u64 {
    (PREFIX + META + bytes) as u64
}

/// Appends a frame to `out`. `bytes` is at most [`MAX_BYTES`] long; the writer checks.
pub(super) fn encode(out: &mut Vec<u8>, kind: PayloadKind, received_at: Timestamp, durable: u64, bytes: &[u8]) {
    let start = out.len();
    let length = ((META + bytes.len()) as u32).to_le_bytes();
    out.extend_from_slice(&length);
    out.extend_from_slice(&[0; 4]);
    out.push(code(kind));
    out.extend_from_slice(&received_at.as_micros().to_le_bytes());
    out.extend_from_slice(&durable.to_le_bytes());
    out.extend_from_slice(bytes);
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&length), &out[start + PREFIX..]);
    out[start + 4..start + PREFIX].copy_from_slice(&checksum.to_le_bytes());
}

/// Bytes of the payload of the frame at `at`, before it is read; `None` where no frame fits below `len`.
pub(super) fn peek(file: &File, at: u64, len: u64) -> io::Result<Option<usize>> {
    if len.saturating_sub(at) < (PREFIX + META) as u64 {
        return Ok(None);
    }
    let mut length = [0; 4];
    file.read_exact_at(&mut length, at)?;
    let length = u32::from_le_bytes(length) as usize;
    let fits = length >= META && (PREFIX + length) as u64 <= len - at;
    Ok(fits.then(|| length - META))
}

/// The frame at `at` in a file of `len` bytes.
pub(super) fn read(file: &File, at: u64, len: u64) -> io::Result<Result<Frame, Damage>> {
    let Some(payload) = peek(file, at, len)? else { return Ok(Err(Damage::CutOff)) };
    let mut body = vec![0; PREFIX + META + payload];
    file.read_exact_at(&mut body, at)?;
    if !intact(&body) {
        return Ok(Err(Damage::Checksum));
    }
    let (Some(kind), micros) = (kind(body[PREFIX]), micros(&body)) else { return Ok(Err(Damage::UnknownKind)) };
    let bytes = Bytes::from(body).slice(PREFIX + META..);
    Ok(Ok(Frame { kind, received_at: Timestamp::from_micros(micros), bytes }))
}

/// Whether an intact frame starts anywhere in `bytes` that was written when more of the file was durable than the `at`
/// bytes before them: then they begin with no torn tail, but with what was acknowledged.
pub(super) fn proves_durable(bytes: &[u8], at: u64) -> bool {
    (1..bytes.len().saturating_sub(PREFIX + META - 1)).any(|offset| {
        let rest = &bytes[offset..];
        let length = word(rest, 0) as usize;
        length >= META
            && length <= rest.len() - PREFIX
            && kind(rest[PREFIX]).is_some()
            && PLAUSIBLE_MICROS.contains(&micros(rest))
            && (at + 1..=at + offset as u64).contains(&durable(rest))
            && intact(&rest[..PREFIX + length])
    })
}

/// Checks a whole frame of at least `PREFIX + META` bytes.
fn intact(frame: &[u8]) -> bool {
    word(frame, 4) == crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[PREFIX..])
}

fn word(frame: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&frame[at..at + 4]);
    u32::from_le_bytes(word)
}

fn micros(frame: &[u8]) -> i64 {
    i64::from_le_bytes(long(frame, PREFIX + 1))
}

fn durable(frame: &[u8]) -> u64 {
    u64::from_le_bytes(long(frame, PREFIX + 9))
}

fn long(frame: &[u8], at: usize) -> [u8; 8] {
    let mut long = [0; 8];
    long.copy_from_slice(&frame[at..at + 8]);
    long
}
