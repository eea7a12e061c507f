//! The binary under test.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::http::Http;
use super::process::Process;
use super::{DEADLINE, Result, environment, tail, wait_until};

/// What a finished command left.
#[derive(Debug)]
pub(crate) struct Output {
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running `leadsman serve`. Dropping it stops the process.
pub(crate) struct Serve {
    /// The process, to signal it or read its log.
    pub(crate) process: Process,
    /// Its API.
    pub(crate) http: Http,
}

/// The binary: `LEADSMAN_BIN`, else the one built next to this test.
pub(crate) fn binary() -> Result<PathBuf> {
    if let Some(path) = environment("LEADSMAN_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    let profile = test.parent().and_then(Path::parent).ok_or("the test is not in a target directory")?;
    let binary = profile.join("leadsman");
    if binary.is_file() {
        Ok(binary)
    } else {
        Err(format!("there is no {}: run `cargo build` with the same profile first", binary.display()).into())
    }
}

/// The command with an environment of its own, so that settings of the developer do not reach it.
fn command(args: &[&str], directory: &Path, variables: &[(&str, &str)]) -> Result<Command> {
    let mut command = Command::new("env");
    command
        .arg("-i")
        .arg(format!("PATH={}", environment("PATH").unwrap_or_default()))
        .arg(format!("HOME={}", directory.display()))
        .arg("RUST_BACKTRACE=1")
        .args(variables.iter().map(|(name, value)| format!("{name}={value}")))
        .arg(binary()?)
        .args(args)
        .current_dir(directory);
    Ok(command)
}

/// Runs a command to its end; it is killed, and the test fails, when the deadline passes.
pub(crate) fn run(
    args: &[&str],
    directory: &Path,
    variables: &[(&str, &str)],
    stdin: &[u8],
    deadline: Duration,
) -> Result<Output> {
    let (mut input, mut out, mut err) = (tempfile::tempfile()?, tempfile::tempfile()?, tempfile::tempfile()?);
    input.write_all(stdin)?;
    input.rewind()?;
    let mut child = command(args, directory, variables)?
        .stdin(Stdio::from(input))
        .stdout(Stdio::from(out.try_clone()?))
        .stderr(Stdio::from(err.try_clone()?))
        .spawn()?;
    let ended = wait_until(&format!("leadsman {} ends", args.join(" ")), deadline, || Ok(child.try_wait()?));
    if ended.is_err() {
        child.kill()?;
        child.wait()?;
    }
    Ok(Output { code: ended?.code(), stdout: text(&mut out)?, stderr: text(&mut err)? })
}

fn text(file: &mut File) -> Result<String> {
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Serve {
    /// Starts the server and does not wait for it.
    pub(crate) fn launch(
        args: &[&str],
        directory: &Path,
        variables: &[(&str, &str)],
        (base, token): (&str, Option<&str>),
    ) -> Result<Self> {
        let process = Process::spawn(&command(args, directory, variables)?, "leadsman", directory)?;
        Ok(Self { process, http: Http::new(base, token) })
    }

    /// Starts the server and waits until `ready_url` answers 200. `base` and `token` are for [`Serve::http`].
    pub(crate) fn start(
        args: &[&str],
        directory: &Path,
        variables: &[(&str, &str)],
        (base, token): (&str, Option<&str>),
        ready_url: &str,
    ) -> Result<Self> {
        let mut serve = Self::launch(args, directory, variables, (base, token))?;
        let ready = Http::new(ready_url, None);
        let process = &mut serve.process;
        wait_until("leadsman is ready", DEADLINE, || {
            if let Some(code) = process.exit_code()? {
                return Err(format!("leadsman ended with {code}:\n{}", tail(&process.stderr())).into());
            }
            Ok(ready.get("").is_ok_and(|answer| answer.status == 200).then_some(()))
        })?;
        Ok(serve)
    }
}
