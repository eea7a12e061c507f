//! Senders whose clocks are wrong.

use std::time::Duration;

use leadsman_domain::Timestamp;
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::stream::{becomes, metric, offline, serve};
use crate::support::broker::{block_on, shared};
use crate::support::{Case, Need, Result};

pub(crate) const CASES: &[Case] =
    &[Case { name: "clocks::wrong_clocks_poison_no_watermark", needs: &[Need::Broker], run: wrong_clocks }];

/// What becomes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Judged,
    /// Its window is closed.
    Late,
    Refused,
}

/// A clock that is wrong, and what becomes of the events that it stamps.
type Clock = (fn(Timestamp) -> Timestamp, Fate);

/// Five minutes of lateness are allowed, and two of being ahead of the record that an event comes in.
const CLOCKS: [Clock; 6] = [
    (|at| at.minus(Duration::from_secs(4 * 60)), Fate::Judged),
    (|at| at.minus(Duration::from_secs(60 * 60)), Fate::Late),
    (|_| Timestamp::default(), Fate::Late),
    (|at| at.plus(Duration::from_secs(90)), Fate::Judged),
    (|at| at.plus(Duration::from_secs(10 * 60)), Fate::Refused),
    (|at| at.plus(Duration::from_secs(365 * 24 * 60 * 60)), Fate::Refused),
];
/// One event in so many comes a second time, with another id and from a wrong clock.
const EVERY: usize = 100;

/// What wrong clocks stamp is judged, late or refused, and all else is judged as if it had not come.
fn wrong_clocks() -> Result<()> {
    let here = TempDir::new()?;
    let day: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let undisturbed = offline(here.path(), &lines(&day))?;
    assert!(undisturbed.len() >= 4, "the attack must be visible: {undisturbed:#?}");
    // With the time at which a broker would have taken it.
    let (mut log, mut readable, mut fates) = (Vec::new(), Vec::new(), Vec::new());
    for (n, event) in day.into_iter().enumerate() {
        let parsed: Value = serde_json::from_slice(&event)?;
        let at = Timestamp::parse(parsed["requestReceivedTimestamp"].as_str().ok_or("an event without a time")?)?;
        if n % EVERY == EVERY / 2 {
            let (clock, fate) = CLOCKS[n / EVERY % CLOCKS.len()];
            let stamped = stamp(parsed, n, clock(at))?;
            fates.push(fate);
            if fate != Fate::Refused {
                readable.push(stamped.clone());
            }
            log.push((at, stamped));
        }
        readable.push(event.clone());
        log.push((at, event));
    }
    let wanted = offline(here.path(), &lines(&readable))?;
    assert!(
        undisturbed.keys().all(|id| wanted.contains_key(id)),
        "hidden by wrong clocks: {undisturbed:#?} {wanted:#?}"
    );

    let (broker, topic) = (shared()?, "clocks.audit");
    // The records are older than a topic keeps them by default.
    let kept = NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    for outcome in block_on(broker.admin()?.create_topics([&kept], &AdminOptions::new()))?? {
        outcome.map_err(|(topic, code)| format!("cannot create {topic}: {code}"))?;
    }
    broker.create_topic("clocks.findings", 1)?;
    broker.produce_at(topic, log.iter().map(|(at, record)| (at.as_micros() / 1_000, record.as_slice())))?;
    let settings = [
        ("LEADSMAN_KAFKA__AUDIT_TOPICS", topic),
        ("LEADSMAN_KAFKA__METRICS_TOPICS", ""),
        ("LEADSMAN_KAFKA__GROUP_ID", "clocks"),
        ("LEADSMAN_KAFKA__FINDINGS_TOPIC", "clocks.findings"),
    ];
    let mut service = serve(here.path(), &["--kafka", broker.bootstrap()], "1", &settings)?;
    becomes(&service.http, &wanted)?;
    let count = |fate| fates.iter().filter(|of| **of == fate).count();
    let refused = metric(&service.http, "leadsman_rejected_items_total{reason=\"future_event_time\"}")?;
    assert_eq!(refused as usize, count(Fate::Refused));
    // Some requests of the day are long enough to be late by themselves; behind a poisoned watermark thousands are.
    let (late, by_clock) = (metric(&service.http, "leadsman_late_items_total")? as usize, count(Fate::Late));
    assert!((by_clock..by_clock + 100).contains(&late), "{late} late, {by_clock} by their clocks");
    assert_eq!(service.process.stop()?, 0, "{}", service.process.stderr());
    Ok(())
}

/// The event once more, as if it had happened at `time`.
fn stamp(mut event: Value, n: usize, time: Timestamp) -> Result<Vec<u8>> {
    for field in ["requestReceivedTimestamp", "stageTimestamp"] {
        event[field] = time.to_micro_time().into();
    }
    event["auditID"] = format!("00000000-0000-4000-8000-{n:012}").into();
    Ok(serde_json::to_vec(&event)?)
}
