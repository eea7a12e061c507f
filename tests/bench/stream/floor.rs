//! What is left of the bare consumer's rate when its records are read as the service reads them, and when they are decoded
//! as well, and nothing else: no scoring, no store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use leadsman_decode::{BatchDecoder, DecodeContext, DecodeMemo, Limits, RedactionKey};
use leadsman_domain::{ActorRules, PayloadKind, RawRecord};
use leadsman_kafka::{BatchLimits, GroupEvent, KafkaConfig, KafkaSource, StartOffset};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinSet;

use crate::log::Log;
use crate::support::Result;
use crate::support::broker::shared;

/// As the service has it.
const BYTES_UNDER_WAY: usize = 16 << 20;
/// Longer than any run.
const NEVER: Duration = Duration::from_secs(3_600);
/// How long the last records of a partition wait for more: the service's quarter of a second would be a sixth of a run.
const MAX_WAIT: Duration = Duration::from_millis(10);

/// Events per second of the service's reader, by itself or with the decoder on every core.
pub(crate) fn rate(log: &Log, decoding: bool) -> Result<f64> {
    Runtime::new()?.block_on(read(log, decoding))
}

async fn read(log: &Log, decoding: bool) -> Result<f64> {
    let mut source = KafkaSource::join(&KafkaConfig {
        bootstrap_servers: shared()?.bootstrap().to_owned(),
        group_id: format!("floor-{}-{decoding}", log.topic),
        topics: vec![(log.topic.clone(), PayloadKind::K8sAudit)],
        batch: BatchLimits { max_wait: MAX_WAIT, ..BatchLimits::default() },
        idle_after: NEVER,
        max_bytes_under_way: BYTES_UNDER_WAY,
        extra: BTreeMap::new(),
    })?;
    let cores = Arc::new(Semaphore::new(available_parallelism()?.get()));
    let mut memories: BTreeMap<i32, Arc<Mutex<DecodeMemo>>> = BTreeMap::new();
    let (mut read, mut begun, mut decoded) = (0, None, JoinSet::<Result<usize>>::new());
    while read < log.records {
        match source.next().await.ok_or("the reader ended")? {
            GroupEvent::Assigned(assigned) => {
                let starts = vec![StartOffset::Earliest; assigned.partitions.len()];
                assigned.start_at(starts);
            }
            GroupEvent::Batch(batch) => {
                begun.get_or_insert_with(Instant::now);
                let (batch, room) = batch.into_parts();
                read += batch.records.len() as u64;
                if decoding {
                    let cores = Arc::clone(&cores);
                    let memory = Arc::clone(memories.entry(batch.span.partition).or_default());
                    // A partition asks for a core when it has what it needs, as in the service.
                    decoded.spawn(async move {
                        let mut memory = memory.lock_owned().await;
                        let core = cores.acquire_owned().await?;
                        let work = move || (decode(&batch.records, &mut memory), room, core);
                        let (events, ..) = tokio::task::spawn_blocking(work).await?;
                        Ok(events)
                    });
                }
            }
            other @ (GroupEvent::Revoked(_) | GroupEvent::Stopped { .. } | GroupEvent::Failed(_)) => {
                return Err(format!("{other:?}").into());
            }
        }
    }
    let events = decoded.join_all().await.into_iter().sum::<Result<usize>>()?;
    let seconds = begun.ok_or("nothing was read")?.elapsed().as_secs_f64();
    if decoding && events != log.events {
        return Err(format!("{events} of {} events were decoded", log.events).into());
    }
    Ok(log.events as f64 / seconds)
}

/// How many events the records hold; they are decoded as the service does it, and dropped.
fn decode(records: &[RawRecord], memory: &mut DecodeMemo) -> usize {
    let context = DecodeContext {
        cluster: "bench".to_owned(),
        rules: ActorRules::default(),
        redaction_key: Some(RedactionKey::new("of a benchmark")),
    };
    let limits = Limits::default();
    let mut decoder = BatchDecoder::new(&context, &limits, std::mem::take(memory));
    decoder.reserve(records.len());
    for record in records {
        decoder.push(record);
    }
    let decoded;
    (decoded, *memory) = decoder.finish();
    decoded.events.len()
}
