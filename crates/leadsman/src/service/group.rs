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
use tokio::time::{MissedTickBehavior, interval};

use super::Service;
use super::again::{self, Again, Key};
use super::aside::{self, Aside, patiently};
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

/// What a member has to act on.
enum Next {
    Ended(Ended),
    Look,
    Event(Option<GroupEvent>),
}

/// A member of the group, and its lanes.
struct Worker {
    common: Common,
    source: KafkaSource,
    lanes: BTreeMap<Key, Lane>,
    again: Again,
    aside: Aside,
}

/// Runs a member until `stop`, then leaves the group with every state written down.
///
/// A lane whose commit was fenced, or that the lake failed, is no error: what Kafka still takes for ours is claimed
/// anew. When the store is out of reach for long, the group is left until it answers.
///
/// Errors: when reading fails for good or a lane breaks.
pub async fn run(
    service: Service,
    source: KafkaSource,
    policy: SnapshotPolicy,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let (ended, mut ends) = mpsc::unbounded_channel();
    let common = Common { service, policy, monitor: source.monitor(), ended };
    let (lanes, again, aside) = (BTreeMap::new(), Again::default(), Aside::default());
    let mut worker = Worker { common, source, lanes, again, aside };
    let mut look = interval(LOOK);
    // What is looked at may take longer than that, and the group's events are served in between.
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stopping = false;
    loop {
        let next = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop), if !stopping => {
                stopping = true;
                worker.source.stop();
                continue;
            }
            Some(ended) = ends.recv() => Next::Ended(ended),
            _ = look.tick(), if !stopping => Next::Look,
            event = worker.source.next() => Next::Event(event),
        };
        match next {
            Next::Ended(ended) => worker.ended(ended).await?,
            Next::Look => worker.look().await,
            Next::Event(None) => break,
            Next::Event(Some(event)) => worker.event(event, &stop).await?,
        }
    }
    // The source ended without revoking: whatever is left comes to rest, too.
    rest(std::mem::take(&mut worker.lanes).into_values()).await;
    while let Ok(Ended { key, error, .. }) = ends.try_recv() {
        if !aside::is_silent(&error) {
            again::after(&worker.common.service, &key, error)?;
        }
    }
    Ok(())
}

impl Worker {
    /// A lane ended with an error.
    async fn ended(&mut self, Ended { key, lane, error }: Ended) -> Result<()> {
        // The group may have taken its partition away since, and given it back.
        let is_ours = self.lanes.get(&key).is_some_and(|of| of.task.id() == lane);
        if aside::is_silent(&error) {
            if is_ours {
                self.step_aside(&error).await;
            }
            return Ok(());
        }
        let after = again::after(&self.common.service, &key, error)?;
        if is_ours {
            self.lanes.remove(&key);
            self.again.at(key, Instant::now() + after);
        }
        Ok(())
    }

    /// Leaves the group: the store is out of reach for all lanes alike.
    async fn step_aside(&mut self, error: &anyhow::Error) {
        self.aside.leave(&self.source, error);
        self.again = Again::default();
        drop_all(std::mem::take(&mut self.lanes).into_values()).await;
    }

    async fn look(&mut self) {
        for (of, partition) in self.again.take_due(Instant::now()) {
            self.source.assign_again(&of, partition);
        }
        self.aside.look(&self.common.service, &self.source).await;
    }

    async fn event(&mut self, event: GroupEvent, stop: &watch::Receiver<bool>) -> Result<()> {
        match event {
            // Without an answer none is read: the group is being left.
            GroupEvent::Assigned(_) if self.aside.is_away() => {}
            GroupEvent::Assigned(assigned) => {
                self.again.forget(&assigned.partitions);
                match self.assign(assigned, stop).await {
                    Err(error) if aside::is_silent(&error) => self.step_aside(&error).await,
                    assigned => assigned?,
                }
            }
            GroupEvent::Revoked(revoked) => {
                self.again.forget(&revoked.partitions);
                revoke(&mut self.lanes, revoked).await;
            }
            GroupEvent::Batch(batch) => {
                let span = &batch.batch.span;
                if let Some(lane) = self.lanes.get(&(span.source.clone(), span.partition)) {
                    // A lane that ended takes nothing: whoever claims its partition reads the batch again.
                    drop(lane.batches.send(batch));
                }
            }
            GroupEvent::Stopped { source, partition, error } => {
                PartitionStopped { error: &error }.emit(&self.common.service.metrics);
                let key = (source, partition);
                self.again.forget([&key]);
                drop(self.lanes.remove(&key));
            }
            GroupEvent::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn assign(&mut self, assigned: Assigned, stop: &watch::Receiver<bool>) -> Result<()> {
        let service = &self.common.service;
        let mut starts = Vec::with_capacity(assigned.partitions.len());
        for key in &assigned.partitions {
            let claim = async { Ok(insist(service, stop, || Partition::claim(service, &key.0, key.1)).await?) };
            let Some(claimed) = patiently(service, claim).await? else { return Ok(()) };
            let tail = claimed.source_tag.as_deref().and_then(Tail::parse);
            starts.push(Tail::start(tail.as_ref(), claimed.start, claimed.next_offset));
            let (batches, incoming) = mpsc::unbounded_channel();
            let (stop, stopped) = watch::channel(false);
            let (common, of) = (self.common.clone(), key.clone());
            let task = tokio::spawn(async move {
                if let Err(error) = work(&common, claimed.partition, tail, incoming, stopped).await {
                    // Nobody listens only when the loop has ended with another failure.
                    drop(common.ended.send(Ended { key: of, lane: task::id(), error }));
                }
            });
            self.lanes.insert(key.clone(), Lane { batches, stop, task });
        }
        assigned.start_at(starts);
        Ok(())
    }
}

async fn revoke(lanes: &mut BTreeMap<Key, Lane>, revoked: Revoked) {
    let gone = revoked.partitions.iter().filter_map(|key| lanes.remove(key)).collect::<Vec<_>>();
    if revoked.lost {
        // Another member may own them already. What is under way in the store is fenced by its claim.
        drop_all(gone).await;
    } else {
        rest(gone).await;
    }
    // The next owner gets them now.
    drop(revoked);
}

/// Lets go of lanes that have nothing to store any more.
async fn drop_all(lanes: impl IntoIterator<Item = Lane>) {
    let lanes: Vec<Lane> = lanes.into_iter().collect();
    lanes.iter().for_each(|lane| lane.task.abort());
    for lane in lanes {
        // Cancelled, which is what was asked for: nothing of it is left when the partition comes back.
        drop(lane.task.await);
    }
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
