//! The data directory: whether it can be written, how much fits in, how fast a commit can be.

use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Check, Verdict, check};
use crate::disk::{Kind, Space, kind, space};

/// How often writing is timed; the middle one counts.
const TIMED: usize = 5;
/// Less free space than this part is little: the alert of deploy/prometheus says so, too.
const LITTLE: f64 = 0.2;
/// Less than this part, or than so many bytes, is as good as full: one snapshot or one file of the lake may be larger.
const AS_GOOD_AS_FULL: (f64, u64) = (0.02, 64 * 1024 * 1024);

/// Everything about the data directory.
pub(super) fn checks(path: &Path) -> Vec<Check> {
    let mut checks = Vec::new();
    match std::fs::create_dir_all(path).and_then(|()| time_writes(path)) {
        Ok(time) => {
            checks.push(check("data", Verdict::Ok, format!("{} can be written", path.display())));
            let milliseconds = time.as_secs_f64() * 1_000.0;
            let detail = format!("{milliseconds:.1} ms to make 4 KiB durable; no commit is faster");
            checks.push(check("fsync", Verdict::Ok, detail));
        }
        Err(e) => {
            let why = format!("{} cannot be written: {e}; correct its owner, or name another data_dir", path.display());
            checks.push(check("data", Verdict::Fail, why));
        }
    }
    match space(path) {
        Ok(space) => checks.extend([room(&space), files(&space)]),
        Err(e) => checks.push(check("disk", Verdict::Warn, format!("{}: {e}", path.display()))),
    }
    match kind(path) {
        Ok(kind) => checks.extend(safety(kind)),
        Err(e) => checks.push(check("filesystem", Verdict::Warn, format!("{}: {e}", path.display()))),
    }
    checks
}

/// The median time to write and sync a block. The file is removed again, also when it fails half-way.
fn time_writes(path: &Path) -> io::Result<Duration> {
    let mut file = tempfile::Builder::new().prefix(".doctor").tempfile_in(path)?;
    let mut times = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let started = Instant::now();
        file.write_all(&[0x5a; 4096])?;
        file.as_file().sync_all()?;
        times.push(started.elapsed());
    }
    file.close()?;
    times.sort_unstable();
    Ok(times.get(TIMED / 2).copied().unwrap_or_default())
}

/// How much can still be written.
pub(super) fn room(space: &Space) -> Check {
    let free = space.free as f64 / space.size.max(1) as f64;
    let detail = format!("{} of {} free ({:.0} %)", bytes(space.free), bytes(space.size), free * 100.0);
    let (part, least) = AS_GOOD_AS_FULL;
    if free < part || space.free < least {
        let todo = "as good as full, and a full disk stops the store and the receiver: add space now, or move data_dir";
        check("disk", Verdict::Fail, format!("{detail}: {todo}"))
    } else if free < LITTLE {
        check("disk", Verdict::Warn, format!("{detail}: add space, move data_dir, or shorten retention"))
    } else {
        check("disk", Verdict::Ok, detail)
    }
}

/// How many files can still be made.
pub(super) fn files(space: &Space) -> Check {
    // Some file systems make inodes as they are needed, and say 0.
    if space.files == 0 {
        return check("inodes", Verdict::Ok, "the file system sets no limit on files");
    }
    let free = space.free_files as f64 / space.files as f64;
    let detail = format!("{} of {} files can still be made", space.free_files, space.files);
    let todo = "remove small files from the disk, or move data_dir to one with more inodes";
    if space.free_files < 100 {
        check("inodes", Verdict::Fail, format!("{detail}: {todo}"))
    } else if free < 0.05 {
        check("inodes", Verdict::Warn, format!("{detail}: {todo}"))
    } else {
        check("inodes", Verdict::Ok, detail)
    }
}

/// What speaks against the file system.
pub(super) fn safety(kind: Kind) -> Option<Check> {
    let detail = match kind {
        Kind::Ordinary => return None,
        Kind::Network(name) => format!(
            "data_dir is on {name}, over a network: SQLite's locks and its log do not hold there; put data_dir on a local disk"
        ),
        Kind::Memory => {
            "data_dir is in memory: findings and positions are gone after a restart; put it on a disk".to_owned()
        }
        Kind::Container => {
            "data_dir is in the container's own layer and goes with the container; mount a volume there".to_owned()
        }
    };
    Some(check("filesystem", Verdict::Warn, detail))
}

fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}
