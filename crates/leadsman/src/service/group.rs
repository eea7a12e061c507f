//! The loop of a member of a consumer group: one lane for each partition that the group assigns to it.
//!
//! A lane claims its partition in the store, works through its batches in order and writes its state down when the
//! partition is taken away. Lanes share nothing but the store, so they compute side by side.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use leadsman_kafka::{Assigned, GroupBatch, GroupEvent, KafkaMonitor, KafkaSource, Revoked};
use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinHandle};

use super::Service;
use super::again::{self, Again, Key};
use super::events::PartitionStopped;
use super::partition::{Durable, Partition, SnapshotPolicy, insist};
use super::recognise::{Tail, recognise};
use super::stream::silence_watch;

/// How often partitions are looked for that are to be claimed anew.
const LOOK: Duration = Duration::from_secs(1);

/// A partition at work.
struct Lane {
    /// Bounded by the bytes that the source lets be under way.
    batches: mpsc::UnboundedSender<GroupBatch>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A lane that ended with an error.
struct Ended {
    key: Key,
    lane: task::Id,
    error: anyhow::Error,
}

/// What all lanes need.
#[derive(Clone)]
struct Common {
    service: Service,
    policy: SnapshotPolicy,
    monitor: KafkaMonitor,
    ended: mpsc::UnboundedSender<Ended>,
}

/// Runs a member until `stop`, then leaves the group with every state written down.
///
/// A lane whose commit was fenced, or that the lake failed, is no error: what Kafka still takes for ours is claimed
/// anew.
///
/// Errors: when reading fails for good or a lane breaks.
pub async fn run(
    service: Service,
    mut source: KafkaSource,
    policy: SnapshotPolicy,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let common = Common { service, policy, monitor: source.monitor(), ended };
    let (mut lanes, mut again) = (BTreeMap::new(), Again::default());
    let mut look = tokio::time::interval(LOOK);
    let mut stopping = false;
    loop {
        let event = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                source.stop();
                continue;
            }
            Some(Ended { key, lane, error }) = ends.recv() => {
                let after = again::after(&common.service, &key, error)?;
                // The group may have taken it away since, and given it back.
                if lanes.get(&key).is_some_and(|of: &Lane| of.task.id() == lane) {
                    lanes.remove(&key);
                    again.at(key, Instant::now() + after);
                }
                continue;
            }
            _ = look.tick(), if !stopping => {
                for (of, partition) in again.take_due(Instant::now()) {
                    source.assign_again(&of, partition);
                }
                continue;
            }
            event = source.next() => event,
        };
        match event {
            None => break,
            Some(GroupEvent::Assigned(assigned)) => {
                again.forget(&assigned.partitions);
                assign(&common, &mut lanes, assigned, &stop).await?;
            }
            Some(GroupEvent::Revoked(revoked)) => {
                again.forget(&revoked.partitions);
                revoke(&mut lanes, revoked).await;
            }
            Some(GroupEvent::Batch(batch)) => {
                let span = &batch.batch.span;
                if let Some(lane) = lanes.get(&(span.source.clone(), span.partition)) {
                    // A lane that ended takes nothing: whoever claims its partition reads the batch again.
                    drop(lane.batches.send(batch));
                }
            }
            Some(GroupEvent::Stopped { source, partition, error }) => {
                PartitionStopped { error: &error }.emit(&common.service.metrics);
                let key = (source, partition);
                again.forget([&key]);
                drop(lanes.remove(&key));
            }
            Some(GroupEvent::Failed(error)) => return Err(error.into()),
        }
    }
    // The source ended without revoking: whatever is left comes to rest, too.
    rest(std::mem::take(&mut lanes).into_values()).await;
    while let Ok(Ended { key, error, .. }) = ends.try_recv() {
        again::after(&common.service, &key, error)?;
    }
    Ok(())
}

async fn assign(
    common: &Common,
    lanes: &mut BTreeMap<Key, Lane>,
    assigned: Assigned,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let mut starts = Vec::with_capacity(assigned.partitions.len());
    for key in &assigned.partitions {
        let ask = || Partition::claim(&common.service, &key.0, key.1);
        let Some(claimed) = insist(&common.service, stop, ask).await? else { return Ok(()) };
        let tail = claimed.source_tag.as_deref().and_then(Tail::parse);
        starts.push(Tail::start(tail.as_ref(), claimed.start, claimed.next_offset));
        let (batches, incoming) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let (common, of) = (common.clone(), key.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = work(&common, claimed.partition, tail, incoming, stopped).await {
                // Nobody listens only when the loop has ended with another failure.
                drop(common.ended.send(Ended { key: of, lane: task::id(), error }));
            }
        });
        lanes.insert(key.clone(), Lane { batches, stop, task });
    }
    assigned.start_at(starts);
    Ok(())
}

async fn revoke(lanes: &mut BTreeMap<Key, Lane>, revoked: Revoked) {
    let gone = revoked.partitions.iter().filter_map(|key| lanes.remove(key)).collect::<Vec<_>>();
    if revoked.lost {
        // Another member may own them already. What is under way in the store is fenced by its claim.
        gone.iter().for_each(|lane| lane.task.abort());
        for lane in gone {
            // Cancelled, which is what was asked for: nothing of it is left when the partition comes back.
            drop(lane.task.await);
        }
    } else {
        rest(gone).await;
    }
    // The next owner gets them now.
    drop(revoked);
}

/// Lets lanes finish the batch they are at and write their state down. What still waits is read by the next owner.
async fn rest(lanes: impl IntoIterator<Item = Lane>) {
    let lanes: Vec<Lane> = lanes.into_iter().collect();
    for lane in &lanes {
        lane.stop.send_replace(true);
    }
    for lane in lanes {
        // A lane that panicked or failed has said so itself.
        drop(lane.task.await);
    }
}

async fn work(
    common: &Common,
    mut partition: Partition,
    mut expected: Option<Tail>,
    mut batches: mpsc::UnboundedReceiver<GroupBatch>,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut watch = silence_watch();
    loop {
        let next = tokio::select! {
            biased;
            // An error means that the lane was dropped.
            _ = stop.wait_for(|stop| *stop) => break,
            _ = watch.tick() => None,
            batch = batches.recv() => Some(batch),
        };
        let (batch, room) = match next {
            None => {
                partition.notice_silence().await?;
                continue;
            }
            Some(None) => break,
            Some(Some(batch)) => batch.into_parts(),
        };
        if let Err(error) = recognise(&mut expected, &batch) {
            PartitionStopped { error: &error }.emit(&common.service.metrics);
            return Ok(());
        }
        let tag = Tail::of(&batch).map(|tail| tail.to_string());
        let durable = partition.step(batch, common.policy, tag).await?;
        drop(room);
        if let Some(Durable { span, .. }) = durable {
            common.monitor.committed(&span.source, span.partition, span.to);
        }
    }
    partition.save().await
}
