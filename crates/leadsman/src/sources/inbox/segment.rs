//! Segment files: their names, and the check of the last one.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::InboxError;
use super::frame::{self, Damage};

const EXTENSION: &str = ".seg";
/// Digits of the largest `u64`: names sort like numbers.
const DIGITS: usize = 20;

/// What a check of a segment found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scan {
    /// Intact records.
    pub(super) records: u64,
    /// Bytes that they take.
    pub(super) len: u64,
    /// Bytes of a torn tail behind them.
    pub(super) torn: u64,
}

/// Where the segment lies whose first record is `first`.
pub(super) fn path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0DIGITS$}{EXTENSION}"))
}

/// First record numbers of all segments, ascending.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, InboxError> {
    let failed = |e| InboxError::io("list", dir)(e);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number = name.to_str().and_then(|n| n.strip_suffix(EXTENSION)).filter(|n| n.len() == DIGITS);
        found.extend(number.and_then(|n| n.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

/// Makes an empty segment that survives a crash. Nothing acknowledged can lie in a file of that name already.
pub(super) fn create(dir: &Path, first: u64) -> Result<File, InboxError> {
    let path = path(dir, first);
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(&path)
        .map_err(InboxError::io("make", &path))?;
    sync_dir(dir)?;
    Ok(file)
}

/// Makes names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), InboxError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(InboxError::io("sync", dir))
}

/// Records in a segment that was ended, by their lengths; their checksums are checked when they are read.
///
/// Errors: [`InboxError::Corrupt`] when the lengths do not add up to the file.
pub(super) fn count(path: &Path) -> Result<(u64, u64), InboxError> {
    let failed = |e| InboxError::io("read", path)(e);
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    let (mut at, mut records) = (0, 0);
    while at < len {
        let Some(bytes) = frame::peek(&file, at, len).map_err(failed)? else {
            return Err(InboxError::Corrupt { path: path.to_owned(), offset: at, damage: Damage::CutOff });
        };
        at += frame::size(bytes);
        records += 1;
    }
    Ok((records, len))
}

/// Checks every frame of the last segment.
///
/// What breaks in the last group of appends is taken for torn: nothing behind it says that the group was durable.
///
/// Errors: [`InboxError::Corrupt`] when a later frame proves that the damaged one had been durable, because then it may have
/// been acknowledged.
pub(super) fn scan(path: &Path, file: &File) -> Result<Scan, InboxError> {
    let failed = |e| InboxError::io("read", path)(e);
    let size = file.metadata().map_err(failed)?.len();
    let (mut at, mut records) = (0, 0);
    while at < size {
        match frame::read(file, at, size).map_err(failed)? {
            Ok(frame) => {
                at += frame::size(frame.bytes.len());
                records += 1;
            }
            Err(damage) => {
                let mut rest = vec![0; (size - at) as usize];
                file.read_exact_at(&mut rest, at).map_err(failed)?;
                // An intact frame of a newer release is no torn tail either.
                if damage == Damage::UnknownKind || frame::proves_durable(&rest, at) {
                    return Err(InboxError::Corrupt { path: path.to_owned(), offset: at, damage });
                }
                break;
            }
        }
    }
    Ok(Scan { records, len: at, torn: size - at })
}
