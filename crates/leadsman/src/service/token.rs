//! The API token: made once, kept in a file that only its owner can read.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// Reads the token from `path`, or makes one there.
///
/// Errors: when the file cannot be read or written.
pub fn read_or_make(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => make(path),
        Err(e) => Err(e).with_context(|| format!("cannot read the token in {}", path.display())),
    }
}

fn make(path: &Path) -> Result<String> {
    let mut random = [0u8; 32];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("the system gives no random numbers: {e}"))?;
    let digits: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let token = format!("lsm_{digits}");
    // It appears whole or not at all: workers that share the file start at the same time, and the first one's holds.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write the token to {}", path.display());
    // Such a file is its owner's alone.
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot)?;
    writeln!(file, "{token}").and_then(|()| file.as_file().sync_all()).with_context(cannot)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(token),
        Err(e) if e.error.kind() == std::io::ErrorKind::AlreadyExists => read_or_make(path),
        Err(e) => Err(e.error).with_context(cannot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_that_start_together_have_one_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let made: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(|| read_or_make(&path).unwrap())).collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|token| *token == made[0] && token.len() == 68), "{made:?}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
