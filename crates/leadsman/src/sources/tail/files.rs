//! The file at the path and its rotated siblings.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::generation::{FileId, Generation, HEAD, hash};

/// A copy of a file in another inode is taken for the same when at least this much of its head is equal: the
/// first event with its audit id lies in it.
const ENOUGH_HEAD: usize = 256;

/// A file that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}: {cause}: let leadsman read it, or name another file", .path.display())]
pub(super) struct FileError {
    pub(super) path: PathBuf,
    pub(super) cause: io::Error,
}

/// An open file. It stays readable when it is renamed or deleted.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    pub(super) file: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) id: FileId,
}

/// Length and time of the last write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) len: u64,
    pub(super) modified: i64,
}

impl OpenFile {
    /// `None` when there is no such file.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, FileError> {
        let failed = |cause| FileError { path: path.to_owned(), cause };
        // Asked before opening: opening a named pipe would block.
        let opened = fs::metadata(path).and_then(|meta| {
            if meta.is_file() { File::open(path) } else { Err(io::Error::other("not a regular file")) }
        });
        let file = match opened {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let meta = file.metadata().map_err(failed)?;
        let id = FileId { device: meta.dev(), inode: meta.ino() };
        Ok(Some(Self { file: Arc::new(file), path: path.to_owned(), id }))
    }

    pub(super) fn extent(&self) -> Result<Extent, FileError> {
        let meta = self.file.metadata().map_err(|e| self.failed(e))?;
        let modified = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
        Ok(Extent { len: meta.len(), modified })
    }

    /// The first KiB, or what there is of it.
    pub(super) fn head(&self) -> Result<Vec<u8>, FileError> {
        self.read(0, HEAD)
    }

    /// The bytes from `at`, at most `most` of them; fewer only at the end of the file.
    pub(super) fn read(&self, at: u64, most: usize) -> Result<Vec<u8>, FileError> {
        let mut bytes = vec![0; most];
        let mut filled = 0;
        while filled < most {
            match self.file.read_at(&mut bytes[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(e)),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn starts_like(&self, generation: &Generation) -> Result<bool, FileError> {
        let head = self.read(0, generation.head_len)?;
        Ok(head.len() == generation.head_len && hash(&head) == generation.hash)
    }

    fn failed(&self, cause: io::Error) -> FileError {
        FileError { path: self.path.clone(), cause }
    }
}

/// Files beside `path` that a rotation renamed, in name order, which is the order of their timestamps.
///
/// For `audit.log` these are `audit-<digit>….log`: the digit keeps `audit-webhook.log` out.
fn siblings(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let (Some(dir), Some(stem)) = (path.parent(), path.file_stem()) else { return Ok(Vec::new()) };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let failed = |cause| FileError { path: dir.to_owned(), cause };
    let suffix = path.extension().map_or_else(Vec::new, |e| [b".", e.as_bytes()].concat());
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name().into_vec();
        let timestamp = name
            .strip_prefix(stem.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"-"))
            .and_then(|rest| rest.strip_suffix(&suffix[..]));
        if timestamp.is_some_and(|t| t.first().is_some_and(u8::is_ascii_digit)) {
            found.push(dir.join(OsString::from_vec(name)));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The file of a generation: the same inode with the same head, else one with the same long head.
pub(super) fn locate(path: &Path, generation: &Generation) -> Result<Option<OpenFile>, FileError> {
    let mut copy = None;
    for candidate in std::iter::once(path.to_owned()).chain(siblings(path)?) {
        let Some(file) = OpenFile::open(&candidate)? else { continue };
        if !file.starts_like(generation)? {
            continue;
        }
        if file.id == generation.id {
            return Ok(Some(file));
        }
        if generation.head_len >= ENOUGH_HEAD && copy.is_none() {
            copy = Some(file);
        }
    }
    Ok(copy)
}

/// The file that follows `current` in the log: its next sibling by name, else the one at `path`, unless
/// `current` is that one or nothing was written to it yet.
pub(super) fn successor(path: &Path, current: &OpenFile, known: &[Generation]) -> Result<Option<OpenFile>, FileError> {
    // Opened before the directory is listed: what is rotated away in between shows up in the list.
    let newest = OpenFile::open(path)?;
    if newest.as_ref().is_some_and(|n| n.id == current.id) {
        return Ok(None);
    }
    let siblings = siblings(path)?;
    let mut own = None;
    for (index, sibling) in siblings.iter().enumerate() {
        if OpenFile::open(sibling)?.is_some_and(|s| s.id == current.id) {
            own = Some(index);
        }
    }
    let next = match own {
        Some(own) => siblings.get(own + 1).map(|s| OpenFile::open(s)).transpose()?.flatten(),
        // Deleted, or renamed to something else.
        None => written_since(&siblings, current.extent()?.modified, known)?,
    };
    match (next, newest) {
        (Some(next), _) => Ok(Some(next)),
        (None, Some(newest)) => Ok((newest.extent()?.len > 0).then_some(newest)),
        (None, None) => Ok(None),
    }
}

/// Where to go on when the file that was read last, at `modified`, is gone: the oldest file written since, else
/// the one at `path`.
pub(super) fn after_loss(path: &Path, modified: i64, known: &[Generation]) -> Result<Option<OpenFile>, FileError> {
    let newest = OpenFile::open(path)?;
    Ok(written_since(&siblings(path)?, modified, known)?.or(newest))
}

/// The first sibling that was not read yet. Rotated files are written one after the other, so what was last
/// written after the lost one is newer.
fn written_since(siblings: &[PathBuf], modified: i64, known: &[Generation]) -> Result<Option<OpenFile>, FileError> {
    for sibling in siblings {
        let Some(file) = OpenFile::open(sibling)? else { continue };
        if file.extent()?.modified < modified {
            continue;
        }
        let mut read_before = false;
        for generation in known {
            let same = file.id == generation.id || generation.head_len >= ENOUGH_HEAD;
            read_before |= same && file.starts_like(generation)?;
        }
        if !read_before {
            return Ok(Some(file));
        }
    }
    Ok(None)
}
