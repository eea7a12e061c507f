//! The loop over a source with one partition that belongs to this process alone: the inbox, a followed file.

use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_domain::{EventSource, RawBatch, SourceId};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use super::Service;
use super::again;
use super::aside::is_silent;
use super::events::LakeWaits;
use super::partition::{Claimed, Durable, Partition, SnapshotPolicy, insist, lake_error};

/// What the loop asks of a source beyond its batches.
pub trait Hooks<S>: Send {
    /// What the source wants remembered with the next commit.
    fn tag(&mut self, source: &mut S) -> Option<String>;
    /// A span is durable.
    fn committed(&mut self, source: &S, durable: &Durable);
}

/// Claims a source, opens it where it stands and runs it until `stop`; anew whenever the lake was out of reach.
///
/// Errors: when the source fails for good, a commit is fenced, or the pipeline breaks.
pub async fn run<S: EventSource>(
    service: Service,
    source: SourceId,
    open: impl Fn(&Claimed) -> Result<S>,
    policy: SnapshotPolicy,
    mut hooks: impl Hooks<S>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    while let Some(claimed) = insist(&service, &stop, || Partition::claim(&service, &source, 0)).await? {
        let log = open(&claimed)?;
        let Err(error) = drive(log, claimed.partition, policy, &mut hooks, &mut stop).await else { return Ok(()) };
        if is_silent(&error) {
            // Nobody else reads this source: it is claimed anew as soon as the store answers.
            continue;
        }
        let Some(lake) = lake_error(&error) else { return Err(error) };
        LakeWaits { source: &source, partition: 0, error: lake }.emit(&service.metrics);
        // A timeout is as good as a stop: both are looked at next.
        drop(tokio::time::timeout(again::LAKE, stop.wait_for(|stop| *stop)).await);
    }
    Ok(())
}

/// Works through a source until `stop`.
async fn drive<S: EventSource>(
    mut source: S,
    mut partition: Partition,
    policy: SnapshotPolicy,
    hooks: &mut impl Hooks<S>,
    stop: &mut watch::Receiver<bool>,
) -> Result<()> {
    // One for all batches: a source that never pauses must not keep the watch from its turn.
    let mut watch = silence_watch();
    while let Some(batch) = next(&mut source, &mut partition, &mut watch, stop).await? {
        let tag = hooks.tag(&mut source);
        if let Some(durable) = partition.step(batch, policy, tag).await? {
            hooks.committed(&source, &durable);
        }
    }
    partition.save().await
}

/// Ticks whenever a partition has to be looked at for silence.
pub fn silence_watch() -> Interval {
    const WATCH: Duration = Duration::from_secs(60);
    let mut watch = interval_at(Instant::now() + WATCH, WATCH);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    watch
}

/// The next batch; `None` when it is time to stop.
async fn next<S: EventSource>(
    source: &mut S,
    partition: &mut Partition,
    watch: &mut Interval,
    stop: &mut watch::Receiver<bool>,
) -> Result<Option<RawBatch>> {
    let batch = source.next_batch();
    tokio::pin!(batch);
    loop {
        let batch = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return Ok(None),
            _ = watch.tick() => None,
            batch = &mut batch => Some(batch),
        };
        match batch {
            Some(batch) => return Ok(Some(batch?.context("a source ended by itself; its thread may have panicked")?)),
            None => partition.notice_silence().await?,
        }
    }
}
