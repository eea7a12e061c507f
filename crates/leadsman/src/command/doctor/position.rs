//! Where the store stands in each partition, against what the broker still has.

use leadsman_domain::{Checkpoint, SourceId};
use leadsman_kafka::diagnose::PartitionState;

use super::{Check, Verdict, check};

/// Records behind, from which on it is worth a warning.
const FAR_BEHIND: u64 = 100_000;
/// An unread record within this part of what a partition holds is among those that retention deletes next.
const NEXT_TO_GO: f64 = 0.1;

/// A topic, the name under which the store knows it, and its partitions.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) source: SourceId,
    pub(super) partitions: Vec<PartitionState>,
}

/// One check for each topic.
pub(super) fn checks(topics: &[Topic], checkpoints: &[Checkpoint]) -> Vec<Check> {
    topics.iter().map(|topic| of_topic(topic, checkpoints)).collect()
}

fn of_topic(Topic { name: topic, source, partitions }: &Topic, checkpoints: &[Checkpoint]) -> Check {
    let stored: Vec<_> = checkpoints.iter().filter(|checkpoint| checkpoint.source == *source).collect();
    let mut verdicts = Vec::new();
    let (mut behind, mut furthest) = (0_u64, (0_u64, 0_i32));
    for partition in partitions {
        let checkpoint = stored.iter().find(|checkpoint| checkpoint.partition == partition.number);
        let (next, state) = checkpoint.map_or((partition.low, partition.low), |c| (c.next_offset, c.state_offset));
        let lag = partition.high.saturating_sub(next.max(partition.low));
        behind += lag;
        furthest = furthest.max((lag, partition.number));
        verdicts.extend(checkpoint.and_then(|_| danger(partition, next, state)));
    }
    let gone = stored.iter().filter(|c| partitions.iter().all(|p| p.number != c.partition)).map(|c| c.partition);
    verdicts.extend(gone.map(|number| {
        (Verdict::Fail, format!("partition {number} is in the store and not in the topic: the topic was recreated"))
    }));
    if let Some((verdict, detail)) = verdicts.into_iter().max_by_key(|(verdict, _)| *verdict == Verdict::Fail) {
        return check("position", verdict, format!("`{topic}`: {detail}"));
    }
    let (lag, number) = furthest;
    let detail = match behind {
        0 => format!("`{topic}`: nothing unread in {} partitions", partitions.len()),
        _ => format!(
            "`{topic}`: {behind} records unread in {} partitions, most of them, {lag}, in partition {number}",
            partitions.len()
        ),
    };
    if behind >= FAR_BEHIND {
        let todo = "start the service, or more workers, up to the number of partitions";
        check("position", Verdict::Warn, format!("{detail}: {todo}"))
    } else {
        check("position", Verdict::Ok, detail)
    }
}

/// What is lost, or soon will be.
fn danger(partition: &PartitionState, next: u64, state: u64) -> Option<(Verdict, String)> {
    let PartitionState { number, low, high, .. } = partition;
    if next > *high {
        return Some((
            Verdict::Fail,
            format!(
                "partition {number} ends at {high}, and the store is at {next}: the topic was recreated, or this is another cluster; restore it, or start with an empty store"
            ),
        ));
    }
    if next < *low {
        return Some((
            Verdict::Fail,
            format!(
                "partition {number} begins at {low}, and the store is at {next}: retention deleted {} records unread; raise `retention.ms`, and look elsewhere for what they held",
                low - next
            ),
        ));
    }
    if state < *low {
        return Some((
            Verdict::Warn,
            format!(
                "partition {number} begins at {low}, and the last snapshot is at {state}: after a restart the detection state would lack what is between; stop the service cleanly, which writes a snapshot, and raise `retention.ms`"
            ),
        ));
    }
    let among_oldest = ((next - low) as f64) < NEXT_TO_GO * (high - low) as f64;
    if next > *low && high - next >= 1_000 && among_oldest {
        return Some((
            Verdict::Warn,
            format!(
                "partition {number}: the next record to read, {next}, is among the oldest that are left ({low} to {high}): retention may delete it unread; start more workers, or raise `retention.ms`"
            ),
        ));
    }
    None
}
