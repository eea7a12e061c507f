//! The topic that is read.

use std::time::Duration;

use leadsman_domain::Timestamp;
use leadsman_sim::{Payload, SimConfig, Simulation};

use crate::support::Result;
use crate::support::broker::shared;

pub(crate) const PARTITIONS: i32 = 6;

/// A topic with a simulated log, keyed by actor.
pub(crate) struct Log {
    pub(crate) topic: String,
    pub(crate) events: usize,
    pub(crate) records: u64,
    pub(crate) bytes: usize,
}

/// What a log is like.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    /// Events in a record.
    pub(crate) batched: usize,
    /// How long it lasts, where that is less than it takes a small cluster.
    pub(crate) within: Option<Duration>,
    /// Whether most events have a response body, as a policy of level `RequestResponse` has it.
    pub(crate) bodies: bool,
}

impl Log {
    /// Produces [`lines`].
    pub(crate) fn produce(topic: &str, events: usize, kind: Kind) -> Result<Self> {
        let Kind { batched, within, bodies } = kind;
        shared()?.create_topic(topic, PARTITIONS)?;
        let faster = within.map_or(1, |within| events as u64 * DAY / EVENTS_A_DAY / within.as_secs());
        let mut waiting: Vec<Vec<Vec<u8>>> = vec![Vec::new(); PARTITIONS as usize];
        let (mut produced, mut records, mut bytes) = (0, 0, 0);
        let broker = shared()?;
        let mut part: Vec<(i32, Vec<u8>)> = Vec::new();
        for line in lines(events, faster)? {
            let mut line = line?;
            if bodies {
                respond(&mut line, produced)?;
            }
            bytes += line.len();
            let number = partition(&line);
            let of = &mut waiting[number as usize];
            of.push(line);
            produced += 1;
            if of.len() == batched {
                part.push((number, record(std::mem::take(of), batched)));
                records += 1;
            }
            if part.len() == 20_000 {
                broker.produce_all(topic, part.iter().map(|(n, r)| (*n, r.as_slice())))?;
                part.clear();
            }
        }
        for (number, of) in (0..).zip(waiting).filter(|(_, of)| !of.is_empty()) {
            part.push((number, record(of, batched)));
            records += 1;
        }
        broker.produce_all(topic, part.iter().map(|(n, r)| (*n, r.as_slice())))?;
        if produced != events {
            return Err(format!("the simulator gave {produced} of {events} events").into());
        }
        Ok(Self { topic: topic.to_owned(), events, records, bytes })
    }
}

const DAY: u64 = 24 * 3600;
/// How many events a day the simulated cluster has, about.
pub(crate) const EVENTS_A_DAY: u64 = 27_000;

/// So many events of the cluster that the built-in model knows, from the day after its training on; they follow each other
/// `faster` times as fast.
pub(crate) fn lines(events: usize, faster: u64) -> Result<impl Iterator<Item = Result<Vec<u8>>>> {
    // Two years back, on the same day of the week: what lies in the future is refused.
    let start = SimConfig::default().start.minus(Duration::from_secs(104 * 7 * DAY));
    // There surely are so many in as many days.
    let days = u32::try_from(events / 20_000 + 2)?;
    let config = SimConfig { start, from_day: 28, days, attack: None, ..SimConfig::default() };
    let begin = config.start.plus(Duration::from_secs(28 * DAY));
    let lines = Simulation::new(&config)?.filter_map(|r| match r.payload {
        Payload::Audit(line) => Some(line),
        Payload::Metric(_) => None,
    });
    let nearer = move |mut line: Vec<u8>| {
        if faster > 1 {
            hasten(&mut line, begin, faster)?;
        }
        Ok(line)
    };
    Ok(lines.take(events).map(nearer))
}

/// Moves both times of an event towards `begin`, `faster` times as near. The simulator writes them in one way.
fn hasten(line: &mut [u8], begin: Timestamp, faster: u64) -> Result<()> {
    for name in [b"\"requestReceivedTimestamp\":\"".as_slice(), b"\"stageTimestamp\":\""] {
        let at = line.windows(name.len()).position(|w| w == name).ok_or("an event without its time")? + name.len();
        let length = line[at..].iter().position(|b| *b == b'"').ok_or("a time without its end")?;
        let time = Timestamp::parse(std::str::from_utf8(&line[at..at + length])?)?;
        let after = (time.as_micros() - begin.as_micros()).max(0) / i64::try_from(faster)?;
        let nearer = Timestamp::from_micros(begin.as_micros() + after).to_micro_time();
        if nearer.len() != length {
            return Err(format!("{nearer} is not as long as the time before").into());
        }
        line[at..at + length].copy_from_slice(nearer.as_bytes());
    }
    Ok(())
}

/// Objects in the responses of ten events in turn; four have no response.
const OBJECTS: [usize; 10] = [0, 1, 0, 2, 5, 0, 1, 2, 0, 3];
/// An object of a response, as Go writes it.
const OBJECT: &str = r#"{"metadata":{"name":"cart-7d9c5b8f6d-x2v7k","generateName":"cart-7d9c5b8f6d-","namespace":"shop","uid":"1c0f3c1e-5c55-4d0b-9a53-6c3fd0f5b0aa","resourceVersion":"48213377","creationTimestamp":"2026-03-02T08:00:00Z","labels":{"app":"cart","pod-template-hash":"7d9c5b8f6d"},"managedFields":[{"manager":"kubelet","operation":"Update","apiVersion":"v1","time":"2026-03-02T08:00:05Z","fieldsType":"FieldsV1","fieldsV1":{"f:status":{"f:conditions":{"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:status":{},"f:type":{}}},"f:phase":{}}},"subresource":"status"}]},"spec":{"containers":[{"name":"cart","image":"images.example.com/cart:v4.2.0","ports":[{"containerPort":8080,"protocol":"TCP"}]}],"nodeName":"node-3"},"status":{"phase":"Running"}}"#;

/// Gives an event the response that its place in the log has.
fn respond(line: &mut Vec<u8>, place: usize) -> Result<()> {
    let count = OBJECTS[place % OBJECTS.len()];
    if count == 0 {
        return Ok(());
    }
    const BEHIND: &[u8] = b",\"requestReceivedTimestamp\":";
    let at = line.windows(BEHIND.len()).position(|w| w == BEHIND).ok_or("an event without its time")?;
    let items = vec![OBJECT; count].join(",");
    let body = format!(
        r#","responseObject":{{"kind":"PodList","apiVersion":"v1","metadata":{{"resourceVersion":"48213400"}},"items":[{items}]}}"#
    );
    line.splice(at..at, body.into_bytes());
    const LEVEL: &[u8] = b"\"level\":\"";
    let from = line.windows(LEVEL.len()).position(|w| w == LEVEL).ok_or("an event without its level")? + LEVEL.len();
    let to = line[from..].iter().position(|b| *b == b'"').ok_or("a level without its end")?;
    line.splice(from..from + to, *b"RequestResponse");
    Ok(())
}

fn record(lines: Vec<Vec<u8>>, batched: usize) -> Vec<u8> {
    if batched == 1 {
        return lines.into_iter().next().unwrap_or_default();
    }
    let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
    body.extend(lines.join(&b","[..]));
    body.extend_from_slice(b"]}");
    body
}

/// The partition of the event's actor. The name is found without parsing: the simulator writes it in one way.
pub(crate) fn partition(line: &[u8]) -> i32 {
    const NAME: &[u8] = b"\"username\":\"";
    let at = line.windows(NAME.len()).position(|w| w == NAME).map_or(0, |at| at + NAME.len());
    let name = line[at..].split(|b| *b == b'"').next().unwrap_or_default();
    let hash = name.iter().fold(0_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(*b)));
    (hash % PARTITIONS as u32) as i32
}
