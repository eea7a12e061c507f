use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

use super::{Storage, Stored};
use crate::lake::error::LakeError;

/// Where files are written before they have their names. The dot keeps it out of `*` and of readers of partitions.
const DRAFTS: &str = ".drafts";
/// A draft that was not touched for so long has nobody who writes it.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// A lake in a directory of this machine.
#[derive(Debug, Clone)]
pub struct Directory {
    root: PathBuf,
}

impl Directory {
    /// A lake in `root`; the directory is made when the first file is written.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn walk(&self, directory: &Path, found: &mut Vec<Stored>) -> Result<(), LakeError> {
        let entries = match fs::read_dir(directory) {
            // Others may remove what is empty at any time.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(LakeError::io("list", directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(LakeError::io("list", directory))?;
            let path = entry.path();
            let about = match entry.metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                about => about.map_err(LakeError::io("list", &path))?,
            };
            if about.is_dir() {
                if entry.file_name() != DRAFTS {
                    self.walk(&path, found)?;
                }
            } else if let Some(key) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
                found.push(Stored { key: key.replace(std::path::MAIN_SEPARATOR, "/"), bytes: about.len() });
            }
        }
        Ok(())
    }
}

impl Storage for Directory {
    fn draft(&self) -> Result<NamedTempFile, LakeError> {
        let drafts = self.root.join(DRAFTS);
        make_durable(&drafts).map_err(LakeError::io("make", &drafts))?;
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(&drafts).map_err(LakeError::io("write to", &drafts))
    }

    fn publish(&self, draft: NamedTempFile, key: &str) -> Result<(), LakeError> {
        let path = self.path(key);
        let published = || {
            draft.as_file().sync_all()?;
            let directory = path.parent().unwrap_or(&self.root);
            make_durable(directory)?;
            // Whoever empties the hour may remove the directory before the file is in it.
            match fs::rename(draft.path(), &path) {
                Err(error) if error.kind() == ErrorKind::NotFound && draft.path().exists() => {
                    make_durable(directory)?;
                    fs::rename(draft.path(), &path)?;
                }
                renamed => renamed?,
            }
            sync(directory)
        };
        published().map_err(LakeError::io("write", &path))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Stored>, LakeError> {
        let mut found = Vec::new();
        self.walk(&self.path(prefix), &mut found)?;
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }

    fn open(&self, key: &str) -> Result<Option<File>, LakeError> {
        let path = self.path(key);
        match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            file => file.map(Some).map_err(LakeError::io("read", &path)),
        }
    }

    fn remove(&self, key: &str) -> Result<(), LakeError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => removed.map_err(LakeError::io("remove", &path))?,
        }
        // Directories that are empty now go with it; those in use refuse, which is fine.
        let above = path.ancestors().skip(1).take_while(|above| *above != self.root && above.starts_with(&self.root));
        for directory in above {
            if fs::remove_dir(directory).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn tidy(&self) -> Result<(), LakeError> {
        let drafts = self.root.join(DRAFTS);
        let tidied = || -> io::Result<()> {
            for entry in fs::read_dir(&drafts)? {
                let entry = entry?;
                // An age that the clock cannot tell is none.
                let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                if age >= ABANDONED {
                    fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        match tidied() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            tidied => tidied.map_err(LakeError::io("tidy up", &drafts)),
        }
    }
}

/// Makes a directory and those above it, so that they are still there after a power cut.
fn make_durable(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    for made in missing {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync(above)?;
    }
    Ok(())
}

fn sync(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
