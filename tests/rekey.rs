//! The re-key stage: producers without keys, and findings as if they had them.

use std::collections::{BTreeMap, BTreeSet};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::stream::{LONG, becomes, metric, offline, serve};
use crate::support::broker::{Broker, block_on};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "rekey::findings_of_unkeyed_topics_survive_a_kill_and_equal_the_file",
        needs: &[Need::Broker],
        run: unkeyed_equals_file,
    },
    Case {
        name: "rekey::clusters_stay_apart_and_what_is_too_large_is_cut",
        needs: &[Need::Broker],
        run: clusters_and_sizes,
    },
];

const REKEY: (&str, &str) = ("LEADSMAN_KAFKA__REKEY", "true");

/// Produces in turn to the partitions, one event after the other, as unkeyed producers do.
fn produce(broker: &Broker, topic: &str, partitions: i32, events: &[Vec<u8>]) -> Result<()> {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).set("acks", "all").create()?;
    for (partition, event) in (0..partitions).cycle().zip(events) {
        producer.send(BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(event)).map_err(|(e, _)| e)?;
        producer.poll(std::time::Duration::ZERO);
    }
    Ok(producer.flush(DEADLINE)?)
}

/// Every item of the events topic, without repetitions, by its identity.
fn items(records: &[OwnedMessage]) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for record in records {
        let item: Value = serde_json::from_slice(record.payload().ok_or("an empty record")?)?;
        found.insert(item["id"].as_str().ok_or("an item without identity")?.to_owned(), item);
    }
    Ok(found)
}

/// 20,000 events, in turn over three partitions; the service is killed once in the middle, and publishes exactly once.
fn unkeyed_equals_file() -> Result<()> {
    // Longer than the stage stands still after a kill, on a busy machine, too: scoring has read all that it gave until then,
    // and closes windows when a log is idle, which no file is.
    const IDLE: &str = "20";
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(20_000).collect();
    assert_eq!(events.len(), 20_000);
    let directory = TempDir::new()?;
    let wanted = offline(directory.path(), &lines(&events))?;
    assert!(wanted.len() >= 5, "the attack must be visible: {wanted:#?}");

    let broker = Broker::start()?;
    broker.create_topic("leadsman.audit", 3)?;
    broker.create_topic("leadsman.metrics", 1)?;
    broker.create_topic("leadsman.events", 3)?;
    broker.create_topic("leadsman.findings", 1)?;
    produce(&broker, "leadsman.audit", 3, &events)?;
    let kafka = ["--kafka", broker.bootstrap()];
    let settings = [REKEY, ("LEADSMAN_KAFKA__EXACTLY_ONCE", "true")];
    let mut before = serve(directory.path(), &kafka, IDLE, &settings)?;
    wait_until("a part is scored", LONG, || {
        Ok((metric(&before.http, "leadsman_events_total")? >= 4_000.0).then_some(()))
    })?;
    before.process.signal("KILL")?;
    before.process.wait(DEADLINE)?;
    let after = serve(directory.path(), &kafka, IDLE, &settings)?;
    becomes(&after.http, &wanted)?;

    // A reader of committed records sees each revision once, although the publisher was killed, too.
    wait_until("the outbox is empty", DEADLINE, || {
        Ok((metric(&after.http, "leadsman_outbox_findings")? < 0.5).then_some(()))
    })?;
    let published = crate::outbox::read(&broker, "leadsman.findings")?;
    assert_eq!(published.iter().collect::<BTreeSet<_>>().len(), published.len(), "{published:?}");
    let newest =
        |id: &String| published.iter().filter(|(other, _)| other == id).filter_map(|(_, rev)| rev.parse().ok()).max();
    assert!(wanted.iter().all(|(id, (rev, ..))| newest(id) == Some(*rev)), "{published:?}");

    // Identities in, identities out: those that the offline decoder gives the same events.
    let records = broker.records("leadsman.events")?;
    let found = items(&records)?;
    let args = ["datasets", "convert", "audit.jsonl", "wanted.jsonl.zst"];
    let converted = crate::support::leadsman::run(&args, directory.path(), &[], b"", LONG)?;
    assert_eq!(converted.code, Some(0), "{}", converted.stderr);
    let file = zstd::decode_all(std::fs::File::open(directory.path().join("wanted.jsonl.zst"))?)?;
    let ids = |line: &[u8]| Some(serde_json::from_slice::<Value>(line).ok()?["id"].as_str()?.to_owned());
    let expected: BTreeSet<String> = file.split(|b| *b == b'\n').filter_map(ids).collect();
    assert_eq!(expected.len(), 20_000);
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), expected);
    // Everything of an actor is in one partition.
    let mut places: BTreeMap<String, BTreeSet<i32>> = BTreeMap::new();
    for record in &records {
        let item: Value = serde_json::from_slice(record.payload().ok_or("an empty record")?)?;
        let actor = item["user"]["username"].as_str().ok_or("an event without a user")?.to_owned();
        places.entry(actor).or_default().insert(record.partition());
    }
    assert!(places.len() > 20 && places.values().all(|partitions| partitions.len() == 1), "{places:?}");
    Ok(())
}

/// The same account in two clusters, an event that no topic takes as it is, and one that cannot be read.
fn clusters_and_sizes() -> Result<()> {
    let broker = Broker::start()?;
    for topic in ["leadsman.audit", "other.audit", "leadsman.metrics", "leadsman.findings", "leadsman.events.other"] {
        broker.create_topic(topic, 1)?;
    }
    let small = NewTopic::new("leadsman.events", 2, TopicReplication::Fixed(1)).set("max.message.bytes", "20000");
    for created in block_on(broker.admin()?.create_topics([&small], &AdminOptions::new()))?? {
        created.map_err(|(topic, code)| format!("cannot create {topic}: {code}"))?;
    }
    let events: Vec<Vec<u8>> = audit(0, 1)?.into_iter().take(40).collect();
    let mut large: Value = serde_json::from_slice(&events[20])?;
    // Not to be compressed away.
    let mut state = 1u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'a' + (state >> 40) as u8 % 26)
    };
    let noise: String = (0..60_000).map(|_| letter()).collect();
    large["requestURI"] = json!(format!("/x?y={noise}"));
    let large_event = large.to_string();
    let sent = [&events[..20], &[large_event.into_bytes(), b"{\"not\":".to_vec()], &events[21..]].concat();
    produce(&broker, "leadsman.audit", 1, &sent)?;
    produce(&broker, "other.audit", 1, &events[..10])?;

    let directory = TempDir::new()?;
    let more = [REKEY, ("LEADSMAN_KAFKA__AUDIT_TOPICS", "leadsman.audit,other.audit=other")];
    let service = serve(directory.path(), &["--kafka", broker.bootstrap()], "4", &more)?;
    wait_until("everything is scored", LONG, || {
        Ok((metric(&service.http, "leadsman_events_total")? >= 50.0).then_some(()))
    })?;
    let ours = items(&broker.records("leadsman.events")?)?;
    let theirs = items(&broker.records("leadsman.events.other")?)?;
    assert_eq!((ours.len(), theirs.len()), (40, 10));
    assert!(theirs.keys().all(|id| !ours.contains_key(id)), "an identity covers the cluster");
    let cut: Vec<_> = ours.values().filter_map(|e| e["requestURI"].as_str()).filter(|u| u.ends_with("[cut]")).collect();
    assert_eq!(cut.len(), 1);
    assert!((metric(&service.http, "leadsman_cut_items_total")? - 1.0).abs() < 0.5);
    assert!((metric(&service.http, "leadsman_dead_letters")? - 1.0).abs() < 0.5);
    assert!(metric(&service.http, "leadsman_lag_records")? < 0.5);
    Ok(())
}
