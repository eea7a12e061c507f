//! The support code itself: processes end with the tests, deadlines hold.

use std::process::Command;
use std::time::Duration;

use crate::support::process::Process;
use crate::support::{Case, DEADLINE, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "harness::a_dropped_process_is_gone", needs: &[], run: dropped_process },
    Case { name: "harness::exit_codes_and_output_are_kept", needs: &[], run: exit_codes },
    Case { name: "harness::a_signal_ends_a_process", needs: &[], run: signal },
    Case { name: "harness::a_deadline_fails_with_what_was_awaited", needs: &[], run: deadline },
];

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn dropped_process() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let process = Process::spawn(&shell("echo $$; exec sleep 1000"), "sleep", logs.path())?;
    let pid = wait_until("the process id", DEADLINE, || Ok(Some(process.stdout()).filter(|out| out.ends_with('\n'))))?;
    let alive = || shell(&format!("kill -0 {pid}")).output().is_ok_and(|output| output.status.success());
    assert!(alive());
    drop(process);
    assert!(!alive());
    Ok(())
}

fn exit_codes() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let mut process = Process::spawn(&shell("echo to out; echo to err >&2; exit 7"), "ends", logs.path())?;
    assert_eq!(process.wait(DEADLINE)?, 7);
    assert_eq!((process.stdout().as_str(), process.stderr().as_str()), ("to out\n", "to err\n"));
    Ok(())
}

fn signal() -> Result<()> {
    let logs = tempfile::tempdir()?;
    let mut process = Process::spawn(&shell("exec sleep 1000"), "sleep", logs.path())?;
    assert_eq!(process.exit_code()?, None);
    process.signal("KILL")?;
    assert_eq!(process.wait(DEADLINE)?, 128 + 9);
    Ok(())
}

fn deadline() -> Result<()> {
    let outcome = wait_until("the impossible", Duration::from_millis(30), || Ok(None::<()>));
    let message = outcome.err().and_then(|failure| failure.message().map(str::to_owned)).unwrap_or_default();
    assert!(message.starts_with("the impossible"), "{message}");
    Ok(())
}
