//! What reaches the topic of findings when the publisher is killed at the worst moment, or replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{FindingId, FindingSink, OutboxItem};
use leadsman_kafka::{ExactlyOnceSink, KafkaSink, KafkaSinkConfig};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use crate::support::broker::{Broker, block_on, shared};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "outbox::a_kill_between_publishing_and_acknowledging_repeats_only_without_exactly_once",
        needs: &[Need::Broker],
        run: killed_before_the_acknowledgement,
    },
    Case {
        name: "outbox::an_open_transaction_of_a_killed_publisher_is_not_read",
        needs: &[Need::Broker],
        run: killed_inside_a_transaction,
    },
    Case { name: "outbox::a_replaced_publisher_is_refused_and_repeats_nothing", needs: &[Need::Broker], run: zombie },
    Case { name: "outbox::publishing_goes_on_after_the_broker_was_killed", needs: &[Need::Broker], run: broker_killed },
];

const GROUP: &str = "leadsman";

fn config(broker: &Broker, topic: &str) -> KafkaSinkConfig {
    KafkaSinkConfig {
        bootstrap_servers: broker.bootstrap().to_owned(),
        topic: topic.to_owned(),
        extra: BTreeMap::new(),
    }
}

fn sink(broker: &Broker, topic: &str) -> Result<ExactlyOnceSink> {
    Ok(ExactlyOnceSink::open(config(broker, topic), GROUP)?)
}

fn items(numbers: std::ops::Range<u64>) -> Vec<OutboxItem> {
    let item = |n: u64| OutboxItem {
        id: FindingId::new(n.into()),
        rev: n + 1,
        sink: "kafka".to_owned(),
        key: format!("user:{}", n % 5),
        body: format!("{{\"n\":{n}}}").into_bytes(),
    };
    numbers.map(item).collect()
}

/// Id and revision of each record that a reader of committed records sees, sorted.
pub(crate) fn read(broker: &Broker, topic: &str) -> Result<Vec<(String, String)>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker.bootstrap())
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()?;
    let mut assigned = TopicPartitionList::new();
    let metadata = consumer.fetch_metadata(Some(topic), DEADLINE)?;
    for partition in metadata.topics().iter().flat_map(|t| t.partitions()) {
        assigned.add_partition_offset(topic, partition.id(), Offset::Beginning)?;
    }
    consumer.assign(&assigned)?;
    let (mut found, mut ended) = (Vec::new(), 0);
    wait_until("the topic is read to its end", DEADLINE, || {
        while ended < assigned.count()
            && let Some(polled) = consumer.poll(Duration::from_millis(100))
        {
            match polled {
                Ok(message) => {
                    let headers = message.headers().ok_or("a record without headers")?;
                    let mut of =
                        headers.iter().map(|h| String::from_utf8_lossy(h.value.unwrap_or_default()).into_owned());
                    found.push((of.next().unwrap_or_default(), of.next().unwrap_or_default()));
                }
                Err(KafkaError::PartitionEOF(_)) => ended += 1,
                Err(error) => return Err(error.into()),
            }
        }
        Ok((ended >= assigned.count()).then_some(()))
    })?;
    found.sort();
    Ok(found)
}

/// What `read` shows when each of the items is there `times` times.
fn expected(items: &[OutboxItem], times: usize) -> Vec<(String, String)> {
    let mut all: Vec<_> =
        items.iter().flat_map(|i| std::iter::repeat_n((i.id.to_string(), i.rev.to_string()), times)).collect();
    all.sort();
    all
}

fn killed_before_the_acknowledgement() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("once", 2)?;
    broker.create_topic("at-least-once", 2)?;
    let batch = items(0..200);
    let more = items(0..230);

    // The batch is published, and nobody is left to acknowledge it.
    block_on(sink(&broker, "once")?.publish(&batch))??;
    // The next process is offered it again, with what came meanwhile.
    block_on(sink(&broker, "once")?.publish(&more))??;
    // And killed again at the same place.
    block_on(sink(&broker, "once")?.publish(&more))??;
    assert_eq!(read(&broker, "once")?, expected(&more, 1));
    // What was acknowledged is not offered any more.
    let mut last = sink(&broker, "once")?;
    block_on(last.publish(&items(230..250)))??;
    block_on(last.publish(&items(250..260)))??;
    assert_eq!(read(&broker, "once")?, expected(&items(0..260), 1));

    for _ in 0..2 {
        block_on(KafkaSink::open(config(&broker, "at-least-once"))?.publish(&batch))??;
    }
    assert_eq!(read(&broker, "at-least-once")?, expected(&batch, 2));
    Ok(())
}

fn killed_inside_a_transaction() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("aborted", 2)?;
    let batch = items(0..50);
    let mut before = sink(&broker, "aborted")?;
    block_on(before.publish(&batch))??;
    let id = before.transactional_id();
    drop(before);
    // As far as a publisher comes that is killed before the end of its transaction.
    let killed: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).set("transactional.id", &id).create()?;
    killed.init_transactions(DEADLINE)?;
    killed.begin_transaction()?;
    for partition in 0..2 {
        let record = BaseRecord::<(), str>::to("aborted").partition(partition).payload("half a batch");
        killed.send(record).map_err(|(error, _)| error)?;
    }
    killed.flush(DEADLINE)?;

    let mut after = sink(&broker, "aborted")?;
    block_on(after.publish(&items(50..60)))??;
    assert_eq!(read(&broker, "aborted")?, expected(&items(0..60), 1));
    drop(killed);
    Ok(())
}

fn zombie() -> Result<()> {
    let broker = shared()?;
    broker.create_topic("fenced", 2)?;
    let (mut first, mut second) = (sink(&broker, "fenced")?, sink(&broker, "fenced")?);
    block_on(first.publish(&items(0..10)))??;
    block_on(second.publish(&items(10..20)))??;
    // Both read the same outbox: what the second has published is what the first still holds in its hands.
    let refused = block_on(first.publish(&items(10..20)))?.err().ok_or("the replaced publisher was let in")?;
    assert!(refused.detail.contains("another process of the group"), "{refused}");
    block_on(first.publish(&items(10..25)))??;
    assert_eq!(read(&broker, "fenced")?, expected(&items(0..25), 1));
    Ok(())
}

fn broker_killed() -> Result<()> {
    let mut broker = Broker::start()?;
    broker.create_topic("survives", 2)?;
    let mut publisher = sink(&broker, "survives")?;
    block_on(publisher.publish(&items(0..10)))??;
    broker.kill_now([1])?;
    let refused = block_on(publisher.publish(&items(10..20)))?;
    assert!(refused.is_err(), "nobody was there to take it");
    broker.start_again()?;
    wait_until("the batch is published", DEADLINE, || Ok(block_on(publisher.publish(&items(10..20)))?.ok()))?;
    assert_eq!(read(&broker, "survives")?, expected(&items(0..20), 1));
    Ok(())
}
