//! Keeps the lake small: hours that are over become few files, and days that are old enough go.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::command::lake::day_before;
use crate::lake::{Compacted, Filter, Lake, LakeError, Pruned};

/// How often.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Compacts the lake, and removes what is older than `keep_days` days, every hour until `stop`.
///
/// A failure is told and tried again an hour later: nothing else waits for it. Several processes may keep the same lake;
/// what one did, the others find done.
pub async fn run(lake: Lake, keep_days: Option<u32>, mut stop: watch::Receiver<bool>) {
    let mut hours = tokio::time::interval(EVERY);
    hours.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            _ = hours.tick() => {}
        }
        let keeper = lake.clone();
        let kept = tokio::task::spawn_blocking(move || keep(&keeper, keep_days));
        // A stop does not wait for it: it may end anywhere, and the next one goes on.
        let kept = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            kept = kept => kept,
        };
        match kept {
            Ok(Ok((compacted, pruned))) => LakeKept { compacted, pruned }.emit(),
            Ok(Err(error)) => LakeKeepError { lake: &lake, error: &error }.emit(),
            Err(error) => tracing::error!(%error, "compacting the lake panicked; please report it"),
        }
    }
}

fn keep(lake: &Lake, keep_days: Option<u32>) -> Result<(Compacted, Pruned), LakeError> {
    let now = clock::now();
    let pruned = match keep_days {
        Some(days) => lake.prune(&Filter::default(), day_before(now, days), |_, _| {})?,
        None => Pruned::default(),
    };
    Ok((lake.compact(&Filter::default(), now, |_, _| {})?, pruned))
}

/// The lake was compacted and pruned.
struct LakeKept {
    compacted: Compacted,
    pruned: Pruned,
}

impl LakeKept {
    fn emit(&self) {
        tracing::info!(
            merged = self.compacted.removed,
            into = self.compacted.written,
            bytes_before = self.compacted.bytes_before,
            bytes_after = self.compacted.bytes_after,
            removed = self.pruned.files,
            removed_bytes = self.pruned.bytes,
            "lake kept"
        );
    }
}

/// The lake was not compacted or pruned to the end; it will be tried again.
struct LakeKeepError<'a> {
    lake: &'a Lake,
    error: &'a LakeError,
}

impl LakeKeepError<'_> {
    fn emit(&self) {
        tracing::warn!(
            lake = self.lake.url(), error = %self.error,
            "the lake was not compacted and pruned to the end; it is tried again in an hour"
        );
    }
}
