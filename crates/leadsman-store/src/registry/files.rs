//! Files read without following links, written so that a crash leaves the old ones or the new.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use super::error::{Fault, RegistryError};

/// An I/O failure on `path`, for `map_err`.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> RegistryError {
    let path = path.to_owned();
    move |source| RegistryError::Io { action, path, source }
}

/// A regular file of a model, not yet read.
pub(super) struct ModelFile {
    path: PathBuf,
    seen: Metadata,
}

impl ModelFile {
    /// Looks at `dir/file`. Outer errors are the disk's, inner ones the model's.
    pub(super) fn look(dir: &Path, file: &str) -> Result<Result<Self, Fault>, RegistryError> {
        let path = dir.join(file);
        let seen = match fs::symlink_metadata(&path) {
            Ok(seen) => seen,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Err(Fault::Missing)),
            Err(error) => return Err(io_error("look at", &path)(error)),
        };
        Ok(if seen.is_symlink() {
            Err(Fault::SymbolicLink)
        } else if seen.is_file() {
            Ok(Self { path, seen })
        } else {
            Err(Fault::WrongType)
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.seen.len()
    }

    /// Reads the file if it has at most `limit` bytes and is still the one that was looked at.
    pub(super) fn read(&self, limit: u64) -> Result<Result<Vec<u8>, Fault>, RegistryError> {
        let found = self.len();
        if found > limit {
            return Ok(Err(Fault::TooLarge { found, limit }));
        }
        let file = File::open(&self.path).map_err(io_error("open", &self.path))?;
        let opened = file.metadata().map_err(io_error("look at", &self.path))?;
        // Between the look and the opening somebody may have put a link there.
        if !is_same_file(&self.seen, &opened) {
            return Ok(Err(Fault::Replaced));
        }
        let mut bytes = Vec::new();
        file.take(found.saturating_add(1)).read_to_end(&mut bytes).map_err(io_error("read", &self.path))?;
        Ok(if bytes.len() as u64 == found { Ok(bytes) } else { Err(Fault::Replaced) })
    }
}

#[cfg(unix)]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    b.is_file() && a.len() == b.len()
}

/// Whether `path` is a directory by itself, not through a link; `Missing` when there is nothing.
pub(super) fn look_at_directory(path: &Path) -> Result<Result<(), Fault>, RegistryError> {
    match fs::symlink_metadata(path) {
        Ok(seen) if seen.is_dir() => Ok(Ok(())),
        Ok(seen) if seen.is_symlink() => Ok(Err(Fault::SymbolicLink)),
        Ok(_) => Ok(Err(Fault::WrongType)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Err(Fault::Missing)),
        Err(error) => Err(io_error("look at", path)(error)),
    }
}

/// Writes `files` as the directory `dir`, whose parent exists: all of them or none.
///
/// `Ok(false)` when `dir` holds something already.
pub(super) fn write_directory(dir: &Path, files: &[(&str, &[u8])]) -> Result<bool, RegistryError> {
    let parent = parent_of(dir);
    let staging = staging_directory(parent)?;
    for (name, bytes) in files {
        let path = staging.path().join(name);
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(io_error("write", &path))?;
    }
    sync_directory(staging.path())?;
    // rename(2) replaces an empty directory and refuses a full one; it never merges.
    match fs::rename(staging.path(), dir) {
        Ok(()) => {}
        Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            return Ok(false);
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(false),
        Err(error) => return Err(io_error("create", dir)(error)),
    }
    // The staging directory is gone under its old name: nothing is left to clean up.
    drop(staging.keep());
    sync_directory(parent)?;
    Ok(true)
}

/// Replaces the file `path` in one step.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
    let parent = parent_of(path);
    let mut builder = Builder::new();
    builder.prefix(".staging-");
    if let Some(permissions) = by_umask(0o666) {
        builder.permissions(permissions);
    }
    let mut staging = builder.tempfile_in(parent).map_err(io_error("write in", parent))?;
    staging.write_all(bytes).map_err(io_error("write", path))?;
    staging.as_file().sync_all().map_err(io_error("write", path))?;
    staging.persist(path).map_err(|failed| io_error("replace", path)(failed.error))?;
    sync_directory(parent)
}

/// The directory that `path` stands in; `.` for a bare name.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

fn staging_directory(parent: &Path) -> Result<TempDir, RegistryError> {
    let mut builder = Builder::new();
    builder.prefix(".staging-");
    if let Some(permissions) = by_umask(0o777) {
        builder.permissions(permissions);
    }
    builder.tempdir_in(parent).map_err(io_error("write in", parent))
}

/// Temporary files are private by default, but these become the model: who may read it is the umask's to say.
#[cfg(unix)]
fn by_umask(mode: u32) -> Option<Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn by_umask(_mode: u32) -> Option<Permissions> {
    None
}

/// Makes names durable. Windows has no call for it.
#[cfg(unix)]
fn sync_directory(dir: &Path) -> Result<(), RegistryError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("flush", dir))
}

#[cfg(not(unix))]
fn sync_directory(_dir: &Path) -> Result<(), RegistryError> {
    Ok(())
}
