//! `leadsman-kafka` against a real broker.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{FindingId, FindingSink, OutboxItem, PayloadKind, RawBatch};
use leadsman_kafka::{
    BatchLimits, GroupEvent, KafkaConfig, KafkaError, KafkaSink, KafkaSinkConfig, KafkaSource, StartOffset,
};
use rdkafka::admin::AdminOptions;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::broker::{Broker, block_on, shared};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "broker::produces_and_consumes", needs: &[Need::Broker], run: produces_and_consumes },
    Case { name: "broker::publishes_findings", needs: &[Need::Broker], run: publishes_findings },
    Case { name: "broker::deleted_records_are_a_gap", needs: &[Need::Broker], run: deleted_records },
    Case {
        name: "broker::records_deleted_while_reading_are_a_gap",
        needs: &[Need::Broker],
        run: deleted_while_reading,
    },
    Case { name: "broker::a_missing_topic_is_named", needs: &[Need::Broker], run: missing_topic },
    Case { name: "broker::reads_on_after_the_broker_was_killed", needs: &[Need::Broker], run: broker_killed },
];

fn config(broker: &Broker, topic: &str) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: broker.bootstrap().to_owned(),
        group_id: format!("test-{topic}"),
        topics: vec![(topic.to_owned(), PayloadKind::K8sAudit)],
        batch: BatchLimits::default(),
        idle_after: Duration::from_millis(300),
        max_bytes_under_way: 1 << 20,
        extra: BTreeMap::new(),
    }
}

/// The next batch of a lone member; what is assigned to it is read from `at`.
async fn next(source: &mut KafkaSource, at: StartOffset) -> Result<RawBatch> {
    loop {
        let event = tokio::time::timeout(DEADLINE, source.next()).await?.ok_or("the source ended")?;
        match event {
            GroupEvent::Batch(batch) => return Ok(batch.batch),
            GroupEvent::Assigned(assigned) => {
                let starts = vec![at; assigned.partitions.len()];
                assigned.start_at(starts);
            }
            GroupEvent::Revoked(_) => {}
            GroupEvent::Stopped { error, .. } | GroupEvent::Failed(error) => return Err(error.into()),
        }
    }
}

/// The payloads up to the idle batches, in order within a partition.
async fn read(source: &mut KafkaSource, at: StartOffset, partitions: usize) -> Result<Vec<Vec<u8>>> {
    let (mut payloads, mut idle) = (Vec::new(), 0);
    while idle < partitions {
        let batch = next(source, at).await?;
        idle += usize::from(batch.records.is_empty());
        payloads.extend(batch.records.into_iter().map(|record| record.bytes.to_vec()));
    }
    payloads.sort();
    Ok(payloads)
}

fn produces_and_consumes() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("smoke", 2)?;
    broker.produce("smoke", 0, &[b"a", b"b", b"c"])?;
    broker.produce("smoke", 1, &[b"d"])?;
    let mut source = KafkaSource::join(&config(&broker, "smoke"))?;
    let payloads = block_on(read(&mut source, StartOffset::Earliest, 2))??;
    assert_eq!(payloads, [b"a", b"b", b"c", b"d"]);
    Ok(())
}

fn publishes_findings() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("findings", 2)?;
    let mut sink = KafkaSink::open(KafkaSinkConfig {
        bootstrap_servers: broker.bootstrap().to_owned(),
        topic: "findings".to_owned(),
        extra: BTreeMap::new(),
    })?;
    let items: Vec<OutboxItem> = (0..500_u64)
        .map(|n| OutboxItem {
            id: FindingId::new(n.into()),
            rev: n,
            sink: sink.name(),
            key: format!("user:{}", n % 7),
            body: format!("{{\"n\":{n}}}").into_bytes(),
        })
        .collect();
    block_on(sink.publish(&items))??;
    let mut published = broker.records("findings")?;
    assert_eq!(published.len(), items.len());
    let rev = |record: &rdkafka::message::OwnedMessage| -> Option<u64> {
        let headers = record.headers()?;
        let header = headers.iter().find(|header| header.key == "finding-rev")?;
        String::from_utf8_lossy(header.value?).parse().ok()
    };
    published.sort_by_key(rev);
    for (record, item) in published.iter().zip(&items) {
        assert_eq!(rev(record), Some(item.rev));
        assert_eq!((record.key(), record.payload()), (Some(item.key.as_bytes()), Some(item.body.as_slice())));
    }
    Ok(())
}

fn deleted_records() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("shortened", 1)?;
    broker.produce("shortened", 0, &[b"a", b"b", b"c", b"d"])?;
    delete_before(&broker, "shortened", 3)?;
    let mut source = KafkaSource::join(&config(&broker, "shortened"))?;
    // The span shows the hole: what was asked for began at 1.
    let batch = block_on(next(&mut source, StartOffset::at(1)))??;
    assert_eq!((batch.span.from, batch.span.to, batch.records.len()), (3, 4, 1));
    assert_eq!(batch.records[0].bytes, "d");
    Ok(())
}

fn delete_before(broker: &Broker, topic: &str, offset: i64) -> Result<()> {
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(topic, 0, Offset::Offset(offset))?;
    block_on(broker.admin()?.delete_records(&until, &AdminOptions::new()))??;
    Ok(())
}

fn deleted_while_reading() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("outrun", 1)?;
    // Far more than the 32 MiB that are fetched ahead and what may be under way.
    let record = vec![b'x'; 900_000];
    broker.produce("outrun", 0, &vec![record.as_slice(); 150])?;
    let mut config = config(&broker, "outrun");
    config.batch.max_records = 1;
    let mut source = KafkaSource::join(&config)?;
    let first = block_on(next(&mut source, StartOffset::Earliest))??;
    assert_eq!((first.span.from, first.span.to), (0, 1));
    delete_before(&broker, "outrun", 149)?;
    let mut end = 1;
    let mut holes = Vec::new();
    while end < 150 {
        let batch = block_on(next(&mut source, StartOffset::Earliest))??;
        assert!(!batch.records.is_empty(), "idle at {end}");
        if batch.span.from != end {
            holes.push((end, batch.span.from));
        }
        end = batch.span.to;
    }
    assert_eq!(holes.len(), 1, "{holes:?}");
    assert_eq!(holes[0].1, 149, "it goes on at the oldest record: {holes:?}");
    Ok(())
}

fn missing_topic() -> Result<()> {
    let broker = shared()?;
    match KafkaSource::discover(&config(&broker, "never-created")) {
        Err(error @ KafkaError::MissingTopic { .. }) => {
            assert!(error.to_string().contains("--create --topic never-created"), "{error}");
            Ok(())
        }
        Err(other) => Err(other.into()),
        Ok(_) => Err("a missing topic was found".into()),
    }
}

fn broker_killed() -> Result<()> {
    let mut broker = Broker::start()?;
    broker.create_topic("survivor", 1)?;
    broker.produce("survivor", 0, &[b"a", b"b"])?;
    let mut source = KafkaSource::join(&config(&broker, "survivor"))?;
    assert_eq!(block_on(read(&mut source, StartOffset::Earliest, 1))??, [b"a", b"b"]);
    broker.kill_now([1])?;
    broker.start_again()?;
    broker.produce("survivor", 0, &[b"c"])?;
    // A rebalance in between may read it all again.
    wait_until("what came after the kill", DEADLINE, || {
        Ok(block_on(read(&mut source, StartOffset::at(2), 1))??.contains(&b"c".to_vec()).then_some(()))
    })
}
