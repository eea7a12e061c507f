//! Child processes that do not outlive the tests.

use std::fs;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use super::{DEADLINE, Result, wait_until};

/// Runs the program and obeys its own standard input: a line is a signal to send, the end means stop.
///
/// The input ends when the test process closes it or dies, however it dies, so nothing is left behind.
const GUARD: &str = r#"
out=$1 err=$2
shift 2
exec 3<&0
"$@" >>"$out" 2>>"$err" </dev/null 3<&- &
program=$!
(
    while read -r signal; do kill -s "$signal" "$program"; done
    kill -s TERM "$program" || exit
    tries=0
    while [ "$tries" -lt 100 ]; do
        sleep 0.1
        kill -0 "$program" || exit
        tries=$((tries + 1))
    done
    kill -s KILL "$program"
) <&3 &
wait "$program"
"#;

/// A running program; dropping it sends SIGTERM, and SIGKILL ten seconds later.
pub(crate) struct Process {
    guard: Child,
    signals: Option<ChildStdin>,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts the program, arguments and directory of `command`, with its output appended to files `name.out` and `name.err` in `logs`.
    pub(crate) fn spawn(command: &Command, name: &str, logs: &Path) -> Result<Self> {
        let (out, err) = (logs.join(format!("{name}.out")), logs.join(format!("{name}.err")));
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).args([&out, &err]).arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            guard.current_dir(directory);
        }
        // Ctrl-C in a terminal reaches a whole process group. The guard must survive it to do its work.
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut guard = guard.spawn()?;
        let signals = guard.stdin.take();
        Ok(Self { guard, signals, out, err })
    }

    /// Sends a signal by name: `TERM`, `KILL`, `STOP`, `CONT`.
    pub(crate) fn signal(&mut self, name: &str) -> Result<()> {
        let signals = self.signals.as_mut().ok_or("the process was stopped already")?;
        Ok(writeln!(signals, "{name}")?)
    }

    /// The exit code once it ended; 128 + n after signal n.
    pub(crate) fn exit_code(&mut self) -> Result<Option<i32>> {
        let status = self.guard.try_wait()?;
        Ok(status.map(|status| status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())))
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self, deadline: Duration) -> Result<i32> {
        wait_until("the process ends", deadline, || self.exit_code())
    }

    /// What it wrote to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.out)
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.err)
    }

    /// Stops it and waits for the end.
    pub(crate) fn stop(&mut self) -> Result<i32> {
        drop(self.signals.take());
        self.wait(DEADLINE)
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(failure) = self.stop() {
            eprintln!("a process was left behind: {}", failure.message().unwrap_or_default());
        }
    }
}
