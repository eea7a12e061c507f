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
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).with_context(|| format!("cannot write the token to {}", path.display()))?;
    writeln!(file, "{token}")?;
    Ok(token)
}
