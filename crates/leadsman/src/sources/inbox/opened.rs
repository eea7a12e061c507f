//! Where an inbox ended when it was opened, until what was committed has been compared with that.
//!
//! Posts are taken before the store has answered, and may bring the end beyond what was lost. So the end is written down
//! first, and outlasts a process that was refused for it and started again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::InboxError;
use super::segment::sync_dir;

/// Where it is written.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("opened")
}

/// The end with which nothing was compared yet, if there is one.
///
/// One that cannot be read was being written: nothing was taken since.
pub(super) fn read(dir: &Path) -> Result<Option<u64>, InboxError> {
    match fs::read(path(dir)) {
        Ok(text) => Ok(str::from_utf8(&text).ok().and_then(|text| text.strip_suffix('\n')?.parse().ok())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(InboxError::io("read", &path(dir))(error)),
    }
}

/// Writes down that the inbox ends at `end`, unless an earlier end was not compared yet.
pub(super) fn note(dir: &Path, end: u64) -> Result<(), InboxError> {
    if read(dir)?.is_some() {
        return Ok(());
    }
    let path = path(dir);
    let written = File::create(&path).and_then(|mut file| {
        writeln!(file, "{end}")?;
        file.sync_all()
    });
    written.map_err(InboxError::io("write", &path))?;
    sync_dir(dir)
}

/// What was committed lay before the end.
pub(super) fn forget(dir: &Path) -> Result<(), InboxError> {
    match fs::remove_file(path(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InboxError::io("delete", &path(dir))(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
