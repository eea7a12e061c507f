//! `leadsman replay`: a stretch of the log outside of the service, and dead letters.

use std::path::Path;
use std::time::Duration;

use leadsman_domain::Timestamp;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::stream::{LONG, essence, metric, offline, serve};
use crate::support::broker::{Broker, shared};
use crate::support::leadsman::{Output, run};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "replay::a_range_scores_like_the_file_and_leaves_no_trace",
        needs: &[Need::Broker],
        run: range_equals_file,
    },
    Case { name: "replay::what_cannot_be_replayed_is_said", needs: &[Need::Broker], run: wrong_ranges },
    Case { name: "replay::dead_letters_are_fed_once_and_then_gone", needs: &[], run: letters },
];

/// Produces in turn to the partitions, with the time of the event as the time of the record.
fn produce(broker: &Broker, topic: &str, partitions: i32, events: &[Vec<u8>]) -> Result<()> {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create()?;
    for (partition, event) in (0..partitions).cycle().zip(events) {
        let at = event_time(event)?.as_micros() / 1_000;
        let record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(event).timestamp(at);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    Ok(producer.flush(DEADLINE)?)
}

fn event_time(event: &[u8]) -> Result<Timestamp> {
    let parsed: Value = serde_json::from_slice(event)?;
    Ok(Timestamp::parse(parsed["requestReceivedTimestamp"].as_str().ok_or("an event without a time")?)?)
}

fn replay(directory: &Path, args: &[&str], settings: &[(&str, &str)]) -> Result<Output> {
    let all = [&["replay", "--json", "--data-dir", "state"], args].concat();
    run(&all, directory, settings, b"", LONG)
}

fn range_equals_file() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let directory = TempDir::new()?;
    let broker = shared()?;
    broker.create_topic("replayed", 1)?;
    broker.create_topic("replayed-unkeyed", 3)?;
    produce(&broker, "replayed", 1, &events)?;
    produce(&broker, "replayed-unkeyed", 3, &events)?;
    let settings = [
        ("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap()),
        ("LEADSMAN_KAFKA__GROUP_ID", "replayers"),
        ("LEADSMAN_KAFKA__AUDIT_TOPICS", "replayed,replayed-unkeyed"),
        ("LEADSMAN_KAFKA__REKEY", "true"),
    ];
    let model = ["--model", "builtin:demo", "--budget", "1"];
    let findings = |args: &[&str]| -> Result<_> {
        let output = replay(directory.path(), &[args, &model].concat(), &settings)?;
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        let document: Value = serde_json::from_str(&output.stdout)?;
        assert_eq!(document["schema"], "leadsman.replay/v1");
        assert!(document["warm_up"].as_str().is_some_and(|text| text.contains("began empty")), "{document}");
        Ok((essence(document["findings"].as_array().ok_or("no findings")?)?, document))
    };

    let whole = offline(directory.path(), &lines(&events))?;
    assert!(whole.len() >= 4, "the attack must be visible: {whole:#?}");
    let (found, document) = findings(&["--source", "kafka:replayed/0", "--from-offset", "0"])?;
    assert_eq!((found, &document["events"]), (whole.clone(), &Value::from(16_000)));
    // The partitions of a topic without keys are read in the order of time.
    let (found, _) = findings(&["--source", "kafka:replayed-unkeyed", "--since", "2026-01-01T00:00:00Z"])?;
    assert_eq!(found, whole);

    // From a time to a time: the records in between and no other.
    let (from, to) = (event_time(&events[4_000])?, event_time(&events[15_000])?);
    let whole_millis = |time: Timestamp| Timestamp::from_millis(time.as_micros() / 1_000 + 1);
    let (from, to) = (whole_millis(from), whole_millis(to));
    // A log is nearly in the order of time: a range begins and ends at the first record that is young enough.
    let first = |time: Timestamp| {
        let young =
            |event: &Vec<u8>| event_time(event).is_ok_and(|at| at.as_micros() / 1_000 >= time.as_micros() / 1_000);
        events.iter().position(young).ok_or("no event is so young")
    };
    let part = &events[first(from)?..first(to)?];
    assert!((9_000..11_500).contains(&part.len()), "{}", part.len());
    let range = ["--source", "kafka:replayed", "--since", &from.to_string(), "--until", &to.to_string()];
    let (found, document) = findings(&range)?;
    assert_eq!((found, &document["events"]), (offline(directory.path(), &lines(part))?, &Value::from(part.len())));

    // Nothing was written: no store, no offset of the group.
    assert!(!directory.path().join("state/leadsman.db").exists());
    let group: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).set("group.id", "replayers").create()?;
    let mut asked = TopicPartitionList::new();
    asked.add_partition("replayed", 0);
    assert_eq!(group.committed_offsets(asked, DEADLINE)?.elements()[0].offset(), Offset::Invalid);
    Ok(())
}

fn wrong_ranges() -> Result<()> {
    let directory = TempDir::new()?;
    let broker = shared()?;
    broker.create_topic("short", 1)?;
    produce(&broker, "short", 1, &audit(0, 1)?[..3])?;
    let settings = [("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap())];
    let model = ["--model", "builtin:demo"];
    for (args, code, said) in [
        (["--source", "kafka:short/0", "--from-offset", "9"].as_slice(), 1, "ends at 3"),
        (&["--source", "kafka:short/4", "--from-offset", "0"], 1, "partition 4"),
        (&["--source", "kafka:never-made", "--from-offset", "0"], 1, "does not exist"),
        (&["--source", "short", "--from-offset", "0"], 2, "kafka:TOPIC"),
        (&["--source", "kafka:short", "--since", "noon"], 2, "--since noon"),
        (&["--source", "kafka:short"], 2, "--from-offset"),
        (&["--dead-letters", "--reason", "bad_mood"], 2, "bad_mood"),
        (&["--dead-letters"], 1, "there is no store"),
        (&[], 2, "--dead-letters"),
    ] {
        let more = if args.contains(&"--source") { model.as_slice() } else { &[] };
        let output = replay(directory.path(), &[args, more].concat(), &settings)?;
        assert_eq!(output.code, Some(code), "{args:?}: {}", output.stderr);
        assert!(output.stderr.contains(said), "{args:?}: {}", output.stderr);
    }
    Ok(())
}

/// Audit events that were posted to the address of metrics.
fn letters() -> Result<()> {
    let directory = TempDir::new()?;
    let events = audit(0, 1)?;
    let mut service = serve(directory.path(), &[], "4", &[])?;
    let misplaced = [lines(&events[..10]), b"{\"not\":\n".to_vec()].concat();
    assert_eq!(service.http.post("/v1/ingest/metrics", "application/x-ndjson", &misplaced)?.status, 202);
    let dead = |service: &crate::support::leadsman::Serve, count: f64| {
        let http = &service.http;
        wait_until("the dead letters", DEADLINE, || {
            let (letters, events) = (metric(http, "leadsman_dead_letters")?, metric(http, "leadsman_events_total")?);
            Ok(((letters - count).abs() < 0.5).then_some(events))
        })
    };
    dead(&service, 11.0)?;
    let dead_letters = |more: &[&str]| -> Result<(Option<i32>, Value, String)> {
        let output = replay(directory.path(), &[&["--dead-letters"], more].concat(), &[])?;
        let document = if output.stdout.is_empty() { Value::Null } else { serde_json::from_str(&output.stdout)? };
        Ok((output.code, document, output.stderr))
    };
    let (code, document, said) = dead_letters(&[])?;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&document["dead_letters"], &document["accepted"]), (&Value::from(11), &Value::from(10)), "{document}");
    assert_eq!(document["refused"]["malformed_json"], 1);
    assert_eq!((&document["applied"], &document["deleted"]), (&Value::from(false), &Value::from(0)));
    let (_, none, _) = dead_letters(&["--reason", "too_deep"])?;
    assert_eq!(none["dead_letters"], 0);
    // What the log of the service holds is not for us while it runs.
    let (code, _, said) = dead_letters(&["--apply"])?;
    assert_eq!(code, Some(1));
    assert!(said.contains("in use") && said.contains("--to http://"), "{said}");
    dead(&service, 11.0)?;

    assert_eq!(service.process.stop()?, 0);
    let (code, document, said) = dead_letters(&["--apply"])?;
    assert_eq!((code, &document["deleted"]), (Some(0), &Value::from(10)), "{said}");
    let service = serve(directory.path(), &[], "4", &[])?;
    wait_until("they are scored", DEADLINE, || {
        Ok((metric(&service.http, "leadsman_events_total")? >= 10.0).then_some(()))
    })?;
    assert!((metric(&service.http, "leadsman_dead_letters")? - 1.0).abs() < 0.5);
    let (_, document, _) = dead_letters(&["--apply", "--to", "http://127.0.0.1:9"])?;
    assert_eq!(document["accepted"], 0, "nothing is left to feed");

    // A running service takes them over its API.
    let more = lines(&events[10..15]);
    assert_eq!(service.http.post("/v1/ingest/metrics", "application/x-ndjson", &more)?.status, 202);
    dead(&service, 6.0)?;
    let listening = service.process.stderr();
    let base = listening.lines().rev().find_map(|line| line.split("serves on ").nth(1)).ok_or("no address")?.trim();
    let (code, document, said) = dead_letters(&["--apply", "--to", base])?;
    assert_eq!((code, &document["deleted"]), (Some(0), &Value::from(5)), "{said}");
    assert!(dead(&service, 1.0)? >= 10.0);
    wait_until("they are scored, too", DEADLINE, || {
        Ok((metric(&service.http, "leadsman_events_total")? >= 15.0).then_some(()))
    })
}
