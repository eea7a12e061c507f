//! Docker Compose as a validator: it checks a file against the schema of the Compose specification, and needs no
//! daemon for that. The schema comes with it; we keep no copy.

use std::path::Path;
use std::process::Command;

use super::Result;

/// The plugin of the docker program, else the program of its own.
const PROGRAMS: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];

fn program() -> Option<&'static [&'static str]> {
    PROGRAMS.into_iter().find(|words| {
        let version = Command::new(words[0]).args(&words[1..]).arg("version").output();
        version.is_ok_and(|output| output.status.success())
    })
}

/// Why no file can be checked here.
pub(crate) fn unavailable() -> Option<String> {
    program().is_none().then(|| "needs Docker Compose, without a daemon (Debian: docker-compose)".to_owned())
}

/// Whether a file is taken, and what is said about it.
pub(crate) fn validate(file: &Path) -> Result<(bool, String)> {
    let words = program().ok_or("Docker Compose is missing")?;
    let output = Command::new(words[0]).args(&words[1..]).arg("-f").arg(file).args(["config", "-q"]).output()?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}
