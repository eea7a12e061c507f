//! Cuts a stretch of a file into records of whole lines.

use super::files::{FileError, OpenFile};

/// Bytes of a record of several lines.
const RECORD: usize = 1 << 20;
/// Bytes of a batch.
const BATCH: usize = 4 << 20;
/// Bytes of a line that are delivered in full.
pub(super) const LINE: usize = 16 << 20;
/// Step of the search for the end of an over-long line.
const SKIP: usize = 1 << 20;

/// Where to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// First byte: the start of a line.
    pub(super) from: u64,
    /// One past the last byte.
    pub(super) until: u64,
    /// Nothing will be written behind `until`: a last line without newline is complete.
    pub(super) finished: bool,
    /// No record may lie on both sides of this byte: what is before it was committed.
    pub(super) fence: u64,
}

/// Records with the position of their first byte, and the position behind the last.
#[derive(Debug, Default)]
pub(super) struct Cut {
    pub(super) records: Vec<(u64, Vec<u8>)>,
    pub(super) end: u64,
}

/// Reads whole lines: a batch's worth, or one longer line.
pub(super) fn cut(file: &OpenFile, stretch: Stretch) -> Result<Cut, FileError> {
    let Stretch { from, until, finished, .. } = stretch;
    let size = usize::try_from(until.saturating_sub(from)).unwrap_or(usize::MAX);
    let bytes = file.read(from, size.min(BATCH))?;
    let all = size <= BATCH;
    match bytes.iter().rposition(|b| *b == b'\n') {
        Some(newline) => {
            let end = if all && finished { bytes.len() } else { newline + 1 };
            Ok(Cut { records: records(&bytes[..end], stretch), end: from + end as u64 })
        }
        // The file was cut while it was read: the next look finds out.
        None if bytes.len() < size.min(BATCH) => Ok(Cut { records: Vec::new(), end: from }),
        None if !all => long_line(file, bytes, size, stretch),
        None if finished && !bytes.is_empty() => {
            Ok(Cut { end: from + bytes.len() as u64, records: vec![(from, bytes)] })
        }
        None => Ok(Cut { records: Vec::new(), end: from }),
    }
}

/// A line of more than a batch, which starts with `bytes`.
fn long_line(file: &OpenFile, mut bytes: Vec<u8>, size: usize, stretch: Stretch) -> Result<Cut, FileError> {
    let Stretch { from, until, finished, .. } = stretch;
    let held = bytes.len();
    bytes.extend(file.read(from + held as u64, size.min(LINE + 1) - held)?);
    if let Some(newline) = bytes[held..].iter().position(|b| *b == b'\n') {
        bytes.truncate(held + newline + 1);
        return Ok(Cut { end: from + bytes.len() as u64, records: vec![(from, bytes)] });
    }
    let mut at = from + bytes.len() as u64;
    while at < until {
        let step = (until - at).min(SKIP as u64) as usize;
        let skipped = file.read(at, step)?;
        if let Some(newline) = skipped.iter().position(|b| *b == b'\n') {
            return Ok(Cut { records: vec![(from, bytes)], end: at + newline as u64 + 1 });
        }
        if skipped.is_empty() {
            break;
        }
        at += skipped.len() as u64;
    }
    // Nothing of an over-long line is delivered before its newline: a restart could not tell the rest of it
    // from a line.
    Ok(if finished { Cut { records: vec![(from, bytes)], end: at } } else { Cut { records: Vec::new(), end: from } })
}

/// Groups lines.
fn records(bytes: &[u8], stretch: Stretch) -> Vec<(u64, Vec<u8>)> {
    let (mut records, mut start, mut at) = (Vec::new(), 0, 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        let position = stretch.from + at as u64;
        let fenced = position >= stretch.fence && stretch.from + (start as u64) < stretch.fence;
        if at > start && (fenced || at - start + line.len() > RECORD) {
            records.push((stretch.from + start as u64, bytes[start..at].to_vec()));
            start = at;
        }
        at += line.len();
    }
    if at > start {
        records.push((stretch.from + start as u64, bytes[start..at].to_vec()));
    }
    records
}
