use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use leadsman_domain::{FindingId, FindingSink, OutboxItem, PayloadKind, RawBatch, RawRecord, Timestamp};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::batch::PartitionBuffer;
use crate::{
    BatchLimits, GroupEvent, KafkaConfig, KafkaError, KafkaSink, KafkaSinkConfig, KafkaSource, StartOffset, source_id,
};

const PARTITIONS: i32 = 3;
const DEADLINE: Duration = Duration::from_secs(30);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[&str]) -> Cluster {
    let cluster = MockCluster::new(1).unwrap();
    for topic in topics {
        cluster.create_topic(topic, PARTITIONS, 1).unwrap();
    }
    cluster
}

fn config(cluster: &Cluster, topics: &[&str]) -> KafkaConfig {
    KafkaConfig {
        bootstrap_servers: cluster.bootstrap_servers(),
        group_id: "leadsman-test".to_owned(),
        topics: topics.iter().map(|t| ((*t).to_owned(), PayloadKind::K8sAudit)).collect(),
        batch: BatchLimits { max_records: 40, max_wait: Duration::from_millis(50), ..BatchLimits::default() },
        idle_after: Duration::from_millis(400),
        max_bytes_under_way: 1 << 20,
        extra: BTreeMap::new(),
    }
}

/// Appends `n` records to each partition, their number as payload; number 1 of each is a tombstone.
fn produce(cluster: &Cluster, topic: &str, n: usize) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
    for i in 0..n {
        let payload = i.to_string();
        for partition in 0..PARTITIONS {
            let record = BaseRecord::<(), str>::to(topic).partition(partition);
            producer.send(if i == 1 { record } else { record.payload(&payload) }).map_err(|(e, _)| e).unwrap();
        }
    }
    producer.flush(DEADLINE).unwrap();
}

fn join(config: &KafkaConfig) -> KafkaSource {
    KafkaSource::join_tuned(config, Duration::from_millis(20)).unwrap()
}

async fn next(source: &mut KafkaSource) -> GroupEvent {
    let event = tokio::time::timeout(DEADLINE, source.next()).await.expect("no event within the deadline");
    event.expect("the source does not end")
}

/// The next batch; partitions that are assigned meanwhile are read from `at`.
async fn next_batch(source: &mut KafkaSource, at: StartOffset) -> RawBatch {
    loop {
        match next(source).await {
            GroupEvent::Batch(batch) => return batch.batch,
            GroupEvent::Assigned(assigned) => {
                let starts = vec![at; assigned.partitions.len()];
                assigned.start_at(starts);
            }
            GroupEvent::Revoked(_) => {}
            other @ (GroupEvent::Stopped { .. } | GroupEvent::Failed(_)) => panic!("{other:?}"),
        }
    }
}

/// Everything up to the idle batches, by source and partition; checks that the spans are contiguous.
async fn read_until_idle(
    source: &mut KafkaSource,
    at: StartOffset,
    partitions: usize,
    first: u64,
) -> BTreeMap<String, Vec<RawRecord>> {
    let mut read = BTreeMap::<String, Vec<RawRecord>>::new();
    let mut ends = BTreeMap::<String, u64>::new();
    let mut idle = BTreeSet::new();
    while idle.len() < partitions {
        let batch = next_batch(source, at).await;
        let key = format!("{}/{}", batch.span.source, batch.span.partition);
        let end = ends.entry(key.clone()).or_insert(first);
        assert_eq!(batch.span.from, *end, "{key}");
        *end = batch.span.to;
        assert!(batch.records.iter().all(|r| (batch.span.from..batch.span.to).contains(&r.offset)), "{key}");
        if batch.records.is_empty() {
            assert_eq!(batch.span.from, batch.span.to);
            assert!(idle.insert(key.clone()), "{key} is idle twice");
        } else {
            assert!(!idle.contains(&key), "records after {key} was said to be idle");
        }
        read.entry(key).or_default().extend(batch.records);
    }
    read
}

fn check_numbers(read: &BTreeMap<String, Vec<RawRecord>>, numbers: std::ops::Range<usize>) {
    for (key, records) in read {
        let bytes: Vec<String> = records.iter().map(|r| String::from_utf8(r.bytes.to_vec()).unwrap()).collect();
        let expected: Vec<String> =
            numbers.clone().map(|i| if i == 1 { String::new() } else { i.to_string() }).collect();
        assert_eq!(bytes, expected, "{key}");
        assert!(records.iter().all(|r| r.received_at > Timestamp::from_millis(0)));
    }
}

#[tokio::test]
async fn delivers_every_record_of_every_partition_in_order_then_says_idle_once() {
    let topics = ["audit", "metrics"];
    let cluster = cluster(&topics);
    topics.iter().for_each(|topic| produce(&cluster, topic, 100));
    let mut source = join(&config(&cluster, &topics));
    let read = read_until_idle(&mut source, StartOffset::Earliest, 6, 0).await;
    assert_eq!(read.len(), 6);
    check_numbers(&read, 0..100);

    let again = tokio::time::timeout(Duration::from_millis(900), source.next()).await;
    assert!(again.is_err(), "idle is said once");
    produce(&cluster, "audit", 1);
    let batch = next_batch(&mut source, StartOffset::Earliest).await;
    assert_eq!((batch.span.source.as_str(), batch.span.from, batch.span.to), ("kafka:audit", 100, 101));
}

#[tokio::test]
async fn an_empty_topic_is_idle() {
    let cluster = cluster(&["audit"]);
    let mut source = join(&config(&cluster, &["audit"]));
    let read = read_until_idle(&mut source, StartOffset::Earliest, 3, 0).await;
    assert!(read.values().all(Vec::is_empty));
}

#[tokio::test]
async fn starts_at_the_offset_it_is_given() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 50);
    let mut source = join(&config(&cluster, &["audit"]));
    check_numbers(&read_until_idle(&mut source, StartOffset::at(20), 3, 20).await, 20..50);
}

#[tokio::test]
async fn a_slow_caller_pauses_the_reading_and_loses_nothing() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 2_000);
    // Room for one batch of the forty records that make one.
    let config = KafkaConfig { max_bytes_under_way: 3_000, ..config(&cluster, &["audit"]) };
    let mut source = join(&config);
    let GroupEvent::Assigned(assigned) = next(&mut source).await else { panic!("assigned first") };
    let starts = vec![StartOffset::Earliest; assigned.partitions.len()];
    assigned.start_at(starts);
    let GroupEvent::Batch(held) = next(&mut source).await else { panic!("then read") };
    // Nothing more comes while the first batch keeps its room.
    assert!(tokio::time::timeout(Duration::from_millis(500), source.next()).await.is_err());
    assert!(source.monitor().bytes_under_way().0 > 0);
    let (first, room) = held.into_parts();
    drop(room);
    let number = first.span.partition;
    let mut read = BTreeMap::from([(number, first.records)]);
    while read.len() < 3 || read.values().any(|records| records.len() < 2_000) {
        let batch = next_batch(&mut source, StartOffset::Earliest).await;
        read.entry(batch.span.partition).or_default().extend(batch.records);
    }
    check_numbers(&read.into_iter().map(|(p, records)| (p.to_string(), records)).collect(), 0..2_000);
}

#[tokio::test]
async fn an_offset_beyond_the_end_stops_the_partition_and_no_other() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 5);
    let mut source = join(&config(&cluster, &["audit"]));
    let GroupEvent::Assigned(assigned) = next(&mut source).await else { panic!("assigned first") };
    assert_eq!(assigned.partitions.len(), 3);
    let at = |partition| if partition == 1 { StartOffset::at(6) } else { StartOffset::at(2) };
    let starts = assigned.partitions.iter().map(|(_, p)| at(*p)).collect();
    assigned.start_at(starts);
    let GroupEvent::Stopped { partition: 1, error, .. } = next(&mut source).await else { panic!("one is refused") };
    assert!(error.to_string().contains("recreated"), "{error}");
    let read = read_until_idle(&mut source, StartOffset::Earliest, 2, 2).await;
    check_numbers(&read, 2..5);
}

/// Two members share the partitions; what the first hands over waits until it says that it is done.
#[tokio::test]
async fn a_second_member_gets_what_the_first_has_let_go() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 10);
    let config = config(&cluster, &["audit"]);
    let mut first = join(&config);
    read_until_idle(&mut first, StartOffset::Earliest, 3, 0).await;
    let mut second = join(&config);
    let revoked = loop {
        match next(&mut first).await {
            GroupEvent::Revoked(revoked) => break revoked,
            GroupEvent::Assigned(_) | GroupEvent::Batch(_) | GroupEvent::Stopped { .. } | GroupEvent::Failed(_) => {}
        }
    };
    assert!(!revoked.lost && !revoked.partitions.is_empty() && revoked.partitions.len() < 3, "{revoked:?}");
    let gone: BTreeSet<_> = revoked.partitions.iter().cloned().collect();
    let kept = tokio::time::timeout(Duration::from_millis(700), async {
        loop {
            if let GroupEvent::Assigned(_) = next(&mut second).await {
                return;
            }
        }
    });
    assert!(kept.await.is_err(), "nobody owns what is still being drained");
    drop(revoked);
    let got = loop {
        if let GroupEvent::Assigned(assigned) = next(&mut second).await {
            break assigned.partitions.iter().cloned().collect::<BTreeSet<_>>();
        }
    };
    assert_eq!(got, gone);
}

/// Whoever lost a partition that Kafka takes for its own asks for it, and is asked where to begin.
#[tokio::test]
async fn a_partition_is_assigned_anew_when_it_is_asked_for() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 10);
    let mut source = join(&config(&cluster, &["audit"]));
    read_until_idle(&mut source, StartOffset::Earliest, 3, 0).await;
    source.assign_again(&source_id("audit"), 1);
    let GroupEvent::Assigned(assigned) = next(&mut source).await else { panic!("it is assigned") };
    assert_eq!(assigned.partitions, [(source_id("audit"), 1)]);
    assigned.start_at(vec![StartOffset::at(4)]);
    let batch = next_batch(&mut source, StartOffset::Earliest).await;
    assert_eq!((batch.span.partition, batch.span.from, batch.span.to), (1, 4, 10));
}

#[tokio::test]
async fn leaving_the_group_revokes_everything_and_ends() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 10);
    let mut source = join(&config(&cluster, &["audit"]));
    read_until_idle(&mut source, StartOffset::Earliest, 3, 0).await;
    source.stop();
    let mut revoked = 0;
    while let Some(event) = tokio::time::timeout(DEADLINE, source.next()).await.expect("it ends") {
        if let GroupEvent::Revoked(gone) = event {
            assert!(!gone.lost);
            revoked += gone.partitions.len();
        }
    }
    assert_eq!(revoked, 3);
}

#[test]
fn refuses_what_it_does_not_know() {
    let cluster = cluster(&["audit"]);
    let mut config = config(&cluster, &["audit"]);
    config.extra.insert("acks".to_owned(), "0".to_owned());
    assert!(matches!(KafkaSource::discover(&config), Err(KafkaError::ReservedSetting { .. })));
    config.extra = BTreeMap::from([("ssl.key.password".to_owned(), "hunter2".to_owned())]);
    assert!(!format!("{config:?}").contains("hunter2"));
    config.extra = BTreeMap::from([("no.such.setting".to_owned(), "1".to_owned())]);
    let error = KafkaSource::discover(&config).unwrap_err();
    assert!(error.to_string().contains("no.such.setting"), "{error}");
}

#[tokio::test]
async fn dropping_the_source_ends_its_thread_in_time() {
    let cluster = cluster(&["audit"]);
    let source = join(&config(&cluster, &["audit"]));
    // Long enough that the thread waits for an answer that never comes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = Instant::now();
    drop(source);
    assert!(before.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn commits_the_group_offset_for_lag_tools() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 10);
    let config = config(&cluster, &["audit"]);
    let mut source = join(&config);
    read_until_idle(&mut source, StartOffset::Earliest, 3, 0).await;
    source.monitor().committed(&source_id("audit"), 1, 4);
    source.monitor().committed(&source_id("audit"), 1, 7);
    let reader: BaseConsumer = config.consumer().unwrap().create().unwrap();
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition("audit", 1);
    let deadline = Instant::now() + DEADLINE;
    while reader.committed_offsets(wanted.clone(), DEADLINE).unwrap().elements()[0].offset() != Offset::Offset(7) {
        assert!(Instant::now() < deadline, "offset not committed");
    }
}

#[tokio::test]
async fn the_sink_delivers_key_headers_and_body() {
    let cluster = cluster(&["findings"]);
    let settings = KafkaSinkConfig {
        bootstrap_servers: cluster.bootstrap_servers(),
        topic: "findings".to_owned(),
        extra: BTreeMap::new(),
    };
    let mut sink = KafkaSink::open(settings).unwrap();
    let item = OutboxItem {
        id: FindingId::new(7),
        rev: 3,
        sink: sink.name(),
        key: "user:alice".to_owned(),
        body: br#"{"score":91}"#.to_vec(),
    };
    sink.publish(&[item.clone(), OutboxItem { rev: 4, ..item.clone() }]).await.unwrap();

    let consumer: BaseConsumer<DefaultConsumerContext> =
        config(&cluster, &["findings"]).consumer().unwrap().create().unwrap();
    let mut assigned = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        assigned.add_partition_offset("findings", partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assigned).unwrap();
    let mut revisions = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    while revisions.len() < 2 {
        assert!(Instant::now() < deadline, "findings not delivered");
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        assert_eq!(message.key(), Some(item.key.as_bytes()));
        assert_eq!(message.payload(), Some(item.body.as_slice()));
        let headers: Vec<_> = message.headers().unwrap().iter().map(|h| (h.key, h.value.unwrap().to_vec())).collect();
        assert_eq!(headers[0], ("finding-id", item.id.to_string().into_bytes()));
        assert_eq!(headers[1].0, "finding-rev");
        revisions.push(String::from_utf8(headers[1].1.clone()).unwrap());
    }
    assert_eq!(revisions, ["3", "4"]);
}

#[tokio::test]
async fn the_sink_says_which_finding_was_not_taken() {
    let settings = KafkaSinkConfig {
        bootstrap_servers: "127.0.0.1:1".to_owned(),
        topic: "findings".to_owned(),
        extra: BTreeMap::from([("message.timeout.ms".to_owned(), "300".to_owned())]),
    };
    let mut sink = KafkaSink::open(settings).unwrap();
    let item = OutboxItem { id: FindingId::new(7), rev: 3, sink: sink.name(), key: "k".into(), body: vec![b'x'] };
    let error = sink.publish(std::slice::from_ref(&item)).await.unwrap_err();
    assert!(error.item.contains(&item.id.to_string()), "{error}");
}

#[test]
fn batches_are_contiguous_over_holes_and_repeats() {
    let limits = BatchLimits { max_records: 2, ..BatchLimits::default() };
    let record = |offset| RawRecord {
        offset,
        received_at: Timestamp::from_millis(1),
        kind: PayloadKind::K8sAudit,
        bytes: vec![0; 3].into(),
    };
    let now = Instant::now();
    let mut buffer = PartitionBuffer::new(source_id("t"), 0, 10, now);
    assert!(buffer.push(record(12), now));
    assert!(!buffer.is_due(now, &limits));
    assert!(buffer.is_due(now + limits.max_wait, &limits));
    assert!(!buffer.push(record(12), now), "a repeated offset is left out");
    assert!(buffer.push(record(15), now) && buffer.is_full(&limits));
    let batch = buffer.take();
    assert_eq!((batch.span.from, batch.span.to, batch.records.len()), (10, 16, 2));
    let empty = buffer.take();
    assert_eq!((empty.span.from, empty.span.to, empty.records.len()), (16, 16, 0));
    // A hole shows between two batches, also where one had begun.
    assert!(buffer.push(record(16), now));
    buffer.skip_to(20);
    assert!(!buffer.push(record(17), now) && buffer.push(record(21), now));
    buffer.skip_to(30);
    buffer.skip_to(40);
    assert!(buffer.push(record(40), now));
    let spans = [buffer.take_closed().unwrap(), buffer.take_closed().unwrap(), buffer.take()];
    let spans = spans.map(|batch| (batch.span.from, batch.span.to, batch.records.len()));
    assert_eq!(spans, [(16, 17, 1), (20, 22, 1), (40, 41, 1)]);
    assert!(!buffer.has_closed());
}
