//! What a process costs: wall time, CPU time and peak memory. Included by path.

#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::report::Failure;

/// What a process wrote and took.
pub(crate) struct Measured {
    pub(crate) stdout: Vec<u8>,
    pub(crate) seconds: f64,
    /// Seconds of CPU time, all threads together.
    pub(crate) cpu: f64,
    /// The most that was resident, in MiB.
    pub(crate) peak: f64,
}

/// Runs `command` to its end.
///
/// Errors: when it cannot be run or fails.
pub(crate) fn measure(command: &mut Command) -> Result<Measured, Failure> {
    let before = cpu_of_children()?;
    let begun = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let status = format!("/proc/{}/status", child.id());
    // The peak only grows, so the last value read before the end is the peak up to then.
    let watcher = std::thread::spawn(move || {
        let mut peak = 0.0f64;
        while let Ok(text) = std::fs::read_to_string(&status) {
            let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
            match line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
                Some(kib) => peak = peak.max(kib / 1024.0),
                None => break,
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        peak
    });
    let output = child.wait_with_output()?;
    let seconds = begun.elapsed().as_secs_f64();
    let peak = watcher.join().map_err(|_| "the watcher panicked")?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    Ok(Measured { stdout: output.stdout, seconds, cpu: cpu_of_children()? - before, peak })
}

/// CPU time of the children that have ended, in seconds. Linux counts in hundredths.
fn cpu_of_children() -> Result<f64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let mut fields = stat.rsplit(") ").next().ok_or("an odd /proc/self/stat")?.split(' ').skip(13);
    let mut ticks = || -> Result<f64, Failure> { Ok(fields.next().ok_or("no time of children")?.parse()?) };
    Ok((ticks()? + ticks()?) / 100.0)
}
