use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use leadsman_domain::{
    EventSource, FindingId, FindingSink, OutboxItem, PayloadKind, RawBatch, RawRecord, SourceError, Timestamp,
};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::batch::PartitionBuffer;
use crate::source::Tuning;
use crate::{BatchLimits, KafkaConfig, KafkaError, KafkaSink, KafkaSinkConfig, KafkaSource, StartOffset, source_id};

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

fn start(config: &KafkaConfig, at: StartOffset, tuning: Tuning) -> Result<KafkaSource, KafkaError> {
    let starts: Vec<_> = KafkaSource::discover(config)?.into_iter().map(|(s, p, _)| (s, p, at)).collect();
    KafkaSource::start_tuned(config, &starts, tuning)
}

async fn next(source: &mut KafkaSource) -> Result<Option<RawBatch>, SourceError> {
    tokio::time::timeout(DEADLINE, source.next_batch()).await.expect("no batch within the deadline")
}

/// Everything up to the idle batches, by source and partition; checks that the spans are contiguous.
async fn read_until_idle(source: &mut KafkaSource, partitions: usize, first: u64) -> BTreeMap<String, Vec<RawRecord>> {
    let mut read = BTreeMap::<String, Vec<RawRecord>>::new();
    let mut ends = BTreeMap::<String, u64>::new();
    let mut idle = 0;
    while idle < partitions {
        let batch = next(source).await.unwrap().expect("the source does not end");
        let key = format!("{}/{}", batch.span.source, batch.span.partition);
        let end = ends.entry(key.clone()).or_insert(first);
        assert_eq!(batch.span.from, *end, "{key}");
        *end = batch.span.to;
        assert!(batch.records.iter().all(|r| (batch.span.from..batch.span.to).contains(&r.offset)), "{key}");
        if batch.records.is_empty() {
            assert_eq!(batch.span.from, batch.span.to);
            idle += 1;
        } else {
            assert_eq!(idle, 0, "records after the source said that it is idle");
        }
        read.entry(key).or_default().extend(batch.records);
    }
    read
}

fn check_numbers(read: &BTreeMap<String, Vec<RawRecord>>, numbers: std::ops::Range<usize>) {
    for (key, records) in read {
        let bytes: Vec<String> = records.iter().map(|r| String::from_utf8(r.bytes.clone()).unwrap()).collect();
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
    let mut source = start(&config(&cluster, &topics), StartOffset::Earliest, Tuning::default()).unwrap();
    let read = read_until_idle(&mut source, 6, 0).await;
    assert_eq!(read.len(), 6);
    check_numbers(&read, 0..100);

    let again = tokio::time::timeout(Duration::from_millis(900), source.next_batch()).await;
    assert!(again.is_err(), "idle is said once");
    produce(&cluster, "audit", 1);
    let batch = next(&mut source).await.unwrap().unwrap();
    assert_eq!((batch.span.source.as_str(), batch.span.from, batch.span.to), ("kafka:audit", 100, 101));
}

#[tokio::test]
async fn an_empty_topic_is_idle() {
    let cluster = cluster(&["audit"]);
    let mut source = start(&config(&cluster, &["audit"]), StartOffset::Earliest, Tuning::default()).unwrap();
    let read = read_until_idle(&mut source, 3, 0).await;
    assert!(read.values().all(Vec::is_empty));
}

#[tokio::test]
async fn starts_at_the_offset_it_is_given() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 50);
    let mut source = start(&config(&cluster, &["audit"]), StartOffset::At(20), Tuning::default()).unwrap();
    check_numbers(&read_until_idle(&mut source, 3, 20).await, 20..50);
}

#[tokio::test]
async fn a_slow_caller_pauses_the_reading_and_loses_nothing() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 2_000);
    let tuning = Tuning { channel: 1, pause_after: Duration::from_millis(20) };
    let mut source = start(&config(&cluster, &["audit"]), StartOffset::Earliest, tuning).unwrap();
    // The pause, not a race, is under test: the first batches are taken late.
    tokio::time::sleep(Duration::from_millis(500)).await;
    check_numbers(&read_until_idle(&mut source, 3, 0).await, 0..2_000);
}

#[test]
fn an_offset_beyond_the_end_is_a_gap() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 5);
    let error = start(&config(&cluster, &["audit"]), StartOffset::At(6), Tuning::default()).unwrap_err();
    assert!(matches!(error, KafkaError::Source(SourceError::Gap { .. })), "{error}");
    assert!(error.to_string().contains("recreated"), "{error}");
}

#[test]
fn refuses_what_it_does_not_know() {
    let cluster = cluster(&["audit"]);
    let mut config = config(&cluster, &["audit"]);
    let starts = [(source_id("other"), 0, StartOffset::Earliest)];
    assert!(matches!(KafkaSource::start(&config, &starts), Err(KafkaError::NotConfigured { .. })));
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
    let source = start(&config(&cluster, &["audit"]), StartOffset::Earliest, Tuning::default()).unwrap();
    let before = Instant::now();
    drop(source);
    assert!(before.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn commits_the_group_offset_for_lag_tools() {
    let cluster = cluster(&["audit"]);
    produce(&cluster, "audit", 10);
    let config = config(&cluster, &["audit"]);
    let source = start(&config, StartOffset::Earliest, Tuning::default()).unwrap();
    source.commit(&source_id("audit"), 1, 4);
    source.committer().commit(&source_id("audit"), 1, 7);
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
        bytes: vec![0; 3],
    };
    let now = Instant::now();
    let mut buffer = PartitionBuffer::new(source_id("t"), 0, 10);
    assert!(buffer.push(record(12), now));
    assert!(!buffer.is_due(now, &limits));
    assert!(buffer.is_due(now + limits.max_wait, &limits));
    assert!(!buffer.push(record(12), now), "a repeated offset is left out");
    assert!(buffer.push(record(15), now) && buffer.is_full(&limits));
    let batch = buffer.take();
    assert_eq!((batch.span.from, batch.span.to, batch.records.len()), (10, 16, 2));
    let empty = buffer.take();
    assert_eq!((empty.span.from, empty.span.to, empty.records.len()), (16, 16, 0));
}
