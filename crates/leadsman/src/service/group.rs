//! The loop of a member of a consumer group: one lane for each partition that the group assigns to it.
//!
//! A lane claims its partition in the store, works through its batches in order and writes its state down when the
//! partition is taken away. Lanes share nothing but the store, so they compute side by side.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use leadsman_domain::SourceId;
use leadsman_kafka::{Assigned, GroupBatch, GroupEvent, KafkaMonitor, KafkaSource, Revoked};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

use super::Service;
use super::events::PartitionStopped;
use super::partition::{Durable, Partition, SnapshotPolicy, insist, is_fenced};
use super::recognise::{Tail, recognise};
use super::stream::silence_watch;

type Key = (SourceId, i32);

/// A partition at work.
struct Lane {
    /// Bounded by the bytes that the source lets be under way.
    batches: mpsc::UnboundedSender<GroupBatch>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What all lanes need.
#[derive(Clone)]
struct Common {
    service: Service,
    policy: SnapshotPolicy,
    monitor: KafkaMonitor,
    /// As many computations at a time as there are cores.
    cores: Arc<Semaphore>,
    failed: mpsc::UnboundedSender<anyhow::Error>,
}

/// Runs a member until `stop`, then leaves the group with every state written down.
///
/// Errors: when reading fails for good or a lane breaks. A fenced lane is no error: its partition has another owner.
pub async fn run(
    service: Service,
    mut source: KafkaSource,
    policy: SnapshotPolicy,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (failed, mut failures) = mpsc::unbounded_channel();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let common = Common { service, policy, monitor: source.monitor(), cores: Arc::new(Semaphore::new(cores)), failed };
    let mut lanes = BTreeMap::new();
    let mut stopping = false;
    loop {
        let event = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                source.stop();
                continue;
            }
            Some(error) = failures.recv() => return Err(error),
            event = source.next() => event,
        };
        match event {
            None => break,
            Some(GroupEvent::Assigned(assigned)) => assign(&common, &mut lanes, assigned, &stop).await?,
            Some(GroupEvent::Revoked(revoked)) => revoke(&mut lanes, revoked).await,
            Some(GroupEvent::Batch(batch)) => {
                let span = &batch.batch.span;
                if let Some(lane) = lanes.get(&(span.source.clone(), span.partition)) {
                    // A lane that ended was fenced: the batch is its successor's.
                    drop(lane.batches.send(batch));
                }
            }
            Some(GroupEvent::Stopped { source, partition, error }) => {
                PartitionStopped { error: &error }.emit(&common.service.metrics);
                drop(lanes.remove(&(source, partition)));
            }
            Some(GroupEvent::Failed(error)) => return Err(error.into()),
        }
    }
    // The source ended without revoking: whatever is left comes to rest, too.
    rest(std::mem::take(&mut lanes).into_values()).await;
    Ok(())
}

async fn assign(
    common: &Common,
    lanes: &mut BTreeMap<Key, Lane>,
    assigned: Assigned,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let mut starts = Vec::with_capacity(assigned.partitions.len());
    for (source, number) in &assigned.partitions {
        let ask = || Partition::claim(&common.service, source, *number);
        let Some(claimed) = insist(&common.service, stop, ask).await? else { return Ok(()) };
        let tail = claimed.source_tag.as_deref().and_then(Tail::parse);
        starts.push(Tail::start(tail.as_ref(), claimed.start, claimed.next_offset));
        let (batches, incoming) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let common = common.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = work(&common, claimed.partition, tail, incoming, stopped).await
                && !is_fenced(&error)
            {
                // Nobody listens only when the loop has ended with another failure.
                drop(common.failed.send(error));
            }
        });
        lanes.insert((source.clone(), *number), Lane { batches, stop, task });
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
        let slot = common.cores.acquire().await?;
        let durable = partition.step(batch, common.policy, tag).await?;
        drop((slot, room));
        if let Some(Durable { span, .. }) = durable {
            common.monitor.committed(&span.source, span.partition, span.to);
        }
    }
    partition.save().await
}
