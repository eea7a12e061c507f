//! The log that processes are killed over, and what must come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::slice::SliceIndex;

use leadsman_domain::{FindingQuery, Store};
use leadsman_store::AnyStore;
use rdkafka::message::Message;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::chaos::{Findings, Tally};
use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::support::broker::{Broker, shared};
use crate::support::http::Http;
use crate::support::leadsman::run;
use crate::support::{DEADLINE, Result};

const EVENTS: usize = 16_000;
/// About when the attack begins.
const ATTACK: usize = 10_400;

/// A topic with its contents, and the oracle's answer.
pub(crate) struct World {
    pub(crate) topic: String,
    /// The records in the order in which they are produced, with their partitions.
    log: Vec<(i32, Vec<u8>)>,
    /// Where each partition ends.
    ends: Vec<u64>,
    wanted: Findings,
    /// Partition and offset of every record that must be a dead letter.
    poison: BTreeSet<(i32, u64)>,
}

/// Bad records, each of which must become one dead letter and disturb nothing else.
const POISON: [&[u8]; 5] = [
    b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v1\",\"audi",
    b"\xff\xfe not text",
    b"{\"kind\":0}",
    b"\0\0\0\0",
    b"{\"kind\":\"Event\",\"apiVersion\":\"audit.k8s.io/v99\"}",
];

impl World {
    /// A day with an attack, keyed by actor over the partitions, with bad records and repeated ones in between.
    pub(crate) fn build(name: &str, partitions: i32, seed: u64) -> Result<Self> {
        let topic = format!("{name}.audit");
        let (mut log, mut repeated, mut poison) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        let mut ends = vec![0_u64; partitions as usize];
        let mut put = |number: i32, record: Vec<u8>| {
            let end = &mut ends[number as usize];
            *end += 1;
            log.push((number, record));
            *end - 1
        };
        for (n, event) in audit(ATTACK_DAY, 1)?.into_iter().take(EVENTS).enumerate() {
            let number = partition_of(&event, partitions)?;
            let dice = (n as u64).wrapping_add(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            if dice.is_multiple_of(211) {
                poison.insert((number, put(number, POISON[n % POISON.len()].to_vec())));
            }
            if dice % (if n < ATTACK { 97 } else { 5 }) == 1 {
                // A shipper that was restarted sends what it had sent, most often where it would be seen if that counted.
                repeated.insert((number, put(number, event.clone())));
            }
            put(number, event);
        }
        // The oracle does not see what comes twice: it must not count.
        let wanted = oracle(&log, &repeated, partitions, poison.len())?;
        assert!(wanted.len() >= 4, "the attack must be visible: {wanted:#?}");
        assert!(poison.len() > 20, "some records must be bad");
        shared()?.create_topic(&topic, partitions)?;
        Ok(Self { topic, log, ends, wanted, poison })
    }

    /// Where each partition ends.
    pub(crate) fn ends(&self) -> &[u64] {
        &self.ends
    }

    /// How many findings there must be.
    pub(crate) fn wanted_len(&self) -> usize {
        self.wanted.len()
    }

    /// The records with their partitions.
    pub(crate) fn records(&self) -> impl Iterator<Item = (i32, &[u8])> {
        self.log.iter().map(|(number, record)| (*number, record.as_slice()))
    }

    /// How many records there are.
    pub(crate) fn len(&self) -> usize {
        self.log.len()
    }

    /// Produces a part of the log.
    pub(crate) fn produce(&self, part: impl SliceIndex<[(i32, Vec<u8>)], Output = [(i32, Vec<u8>)]>) -> Result<()> {
        self.produce_part_to(shared()?.as_ref(), part)
    }

    /// The same to another broker, which has the topic.
    pub(crate) fn produce_part_to(
        &self,
        broker: &Broker,
        part: impl SliceIndex<[(i32, Vec<u8>)], Output = [(i32, Vec<u8>)]>,
    ) -> Result<()> {
        let part = &self.log[part];
        broker.produce_all(&self.topic, part.iter().map(|(number, record)| (*number, record.as_slice())))
    }

    /// Produces the whole log to another broker, under the same name.
    pub(crate) fn produce_to(&self, broker: &Broker) -> Result<()> {
        self.create_on(broker)?;
        broker.produce_all(&self.topic, self.records())
    }

    /// Creates the topic on another broker.
    pub(crate) fn create_on(&self, broker: &Broker) -> Result<()> {
        broker.create_topic(&self.topic, i32::try_from(self.ends.len())?)
    }

    /// The log once more: what a topic that was replayed into itself holds.
    pub(crate) fn produce_again(&mut self) -> Result<()> {
        self.produce(..)?;
        for end in &mut self.ends {
            *end *= 2;
        }
        let halves: Vec<u64> = self.ends.iter().map(|end| end / 2).collect();
        let again: Vec<_> = self.poison.iter().map(|(n, offset)| (*n, offset + halves[*n as usize])).collect();
        self.poison.extend(again);
        Ok(())
    }

    /// Whether everything was read, stored, closed and published.
    pub(crate) fn is_settled(&self, http: &Http) -> Result<bool> {
        let text = match http.get("/metrics") {
            Ok(answer) if answer.status == 200 => answer.text,
            Ok(_) | Err(_) => return Ok(false),
        };
        let read = (0..).zip(&self.ends).all(|(number, end)| self.position(&text, number) == Some(*end));
        Ok(read && value(&text, "leadsman_outbox_findings") == Some(0))
    }

    /// Whether a part of the log is committed.
    pub(crate) fn has_begun(&self, http: &Http) -> Result<bool> {
        let Ok(answer) = http.get("/metrics") else { return Ok(false) };
        let read: u64 = (0..self.ends.len() as i32).filter_map(|number| self.position(&answer.text, number)).sum();
        Ok(read > 0)
    }

    fn position(&self, metrics: &str, number: i32) -> Option<u64> {
        let series = format!("leadsman_position_records{{source=\"kafka:{}\",partition=\"{number}\"}}", self.topic);
        value(metrics, &series)
    }

    /// Whether the stored findings are the oracle's.
    pub(crate) fn equals(&self, runtime: &Runtime, store: &AnyStore) -> Result<bool> {
        Ok(stored(runtime, store)? == self.wanted)
    }

    /// What is missing and what is too much: findings, dead letters, and the output topic on `broker`.
    pub(crate) fn compare(&self, runtime: &Runtime, store: &AnyStore, broker: &Broker, topic: &str) -> Result<Tally> {
        let mut tally = Tally::default();
        let mut count = |what: &str, wanted: &Findings, got: &Findings| {
            for (id, finding) in wanted {
                if got.get(id) != Some(finding) {
                    eprintln!("LOST in {what}: {finding}\n  instead: {:?}", got.get(id));
                    tally.lost += 1;
                }
            }
            for id in got.keys().filter(|id| !wanted.contains_key(*id)) {
                eprintln!("DOUBLED in {what}: {}", got[id]);
                tally.doubled += 1;
            }
        };
        count("the store", &self.wanted, &stored(runtime, store)?);

        let mut published = Findings::new();
        let mut revisions = BTreeMap::new();
        for message in broker.records(topic)? {
            let finding: Value = serde_json::from_slice(message.payload().ok_or("an empty finding")?)?;
            let id = finding["id"].as_str().ok_or("no id")?.to_owned();
            let rev = finding["rev"].as_u64().ok_or("no revision")?;
            *revisions.entry((id.clone(), rev)).or_insert(0_u64) += 1;
            if published.get(&id).is_none_or(|f| f["rev"].as_u64() < Some(rev)) {
                published.insert(id, finding);
            }
        }
        count("the output topic", &self.wanted, &published);
        tally.published_again = revisions.values().map(|n| n - 1).sum();

        let letters = runtime.block_on(store.dead_letters(usize::MAX, None))?;
        let dead: BTreeSet<_> = letters.iter().map(|l| (l.partition, l.offset)).collect();
        tally.lost += self.poison.difference(&dead).count() as u64;
        tally.doubled += dead.difference(&self.poison).count() as u64 + (letters.len() - dead.len()) as u64;
        Ok(tally)
    }
}

impl World {
    /// How many events the lake of a service lacks, and how many it has twice. Its process must have ended.
    pub(crate) fn compare_lake(&self, directory: &Path) -> Result<Tally> {
        // Files that a kill left beside what replaced them go with the next compaction; after it, a range is there once.
        let compacted = run(&["lake", "compact", "lake"], directory, &[], b"", DEADLINE)?;
        assert_eq!(compacted.code, Some(0), "{}", compacted.stderr);
        let mut ranges: BTreeMap<(PathBuf, String), Vec<(u64, u64)>> = BTreeMap::new();
        for file in files(&directory.join("lake/events"))? {
            let stem = file.file_stem().and_then(|s| s.to_str()).ok_or("a file without a name")?;
            let mut parts = stem.rsplitn(3, '-');
            let (next, first) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let log =
                (file.parent().map(Path::to_owned).unwrap_or_default(), parts.next().unwrap_or_default().to_owned());
            ranges.entry(log).or_default().push((first.parse::<u64>()?, next.parse::<u64>()?));
        }
        let mut tally = Tally::default();
        for (log, ranges) in &mut ranges {
            ranges.sort_unstable();
            for pair in ranges.windows(2).filter(|pair| pair[1].0 < pair[0].1) {
                eprintln!("DOUBLED in the lake: {log:?} {pair:?}");
                tally.doubled += 1;
            }
        }
        let scored = run(&["score", "--model", "builtin:demo", "lake", "--json"], directory, &[], b"", DEADLINE)?;
        let document: Value = serde_json::from_str(&scored.stdout).map_err(|e| format!("{e}: {}", scored.stderr))?;
        let held = document["events"].as_u64().ok_or("no count of events")?;
        let wanted = (self.log.len() - self.poison.len()) as u64;
        if held != wanted {
            eprintln!("the lake holds {held} events of {wanted}");
        }
        tally.lost += wanted.saturating_sub(held);
        tally.doubled += held.saturating_sub(wanted);
        Ok(tally)
    }
}

/// Every Parquet file below a directory.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "parquet") {
            found.push(path);
        }
    }
    Ok(found)
}

/// The partition of an event's actor, as a keyed producer chooses it.
fn partition_of(event: &[u8], partitions: i32) -> Result<i32> {
    let parsed: Value = serde_json::from_slice(event)?;
    let user = parsed["user"]["username"].as_str().unwrap_or_default();
    let hash = user.bytes().fold(0_u32, |h, b| h.wrapping_mul(31).wrapping_add(u32::from(b)));
    Ok((hash % partitions as u32) as i32)
}

/// One offline run over each partition's log: the same command that people score files with.
fn oracle(log: &[(i32, Vec<u8>)], without: &BTreeSet<(i32, u64)>, partitions: i32, poison: usize) -> Result<Findings> {
    let directory = TempDir::new()?;
    let (mut all, mut refused) = (Findings::new(), 0);
    for number in 0..partitions {
        let of_partition = (0..).zip(log.iter().filter(|(of, _)| *of == number));
        let records: Vec<Vec<u8>> = of_partition
            .filter(|(offset, _)| !without.contains(&(number, *offset)))
            .map(|(_, (_, record))| record.clone())
            .collect();
        std::fs::write(directory.path().join("audit.jsonl"), lines(&records))?;
        let args = ["score", "--model", "builtin:demo", "audit.jsonl", "--json", "--budget", "1"];
        let output = run(&args, directory.path(), &[], b"", DEADLINE)?;
        let document: Value = serde_json::from_str(&output.stdout).map_err(|e| format!("{e}: {}", output.stderr))?;
        refused += document["rejects"].as_object().into_iter().flatten().filter_map(|(_, n)| n.as_u64()).sum::<u64>();
        all.extend(by_id(document["findings"].as_array().ok_or("no findings")?)?);
    }
    assert_eq!(refused, poison as u64, "every bad record is refused, and nothing else");
    Ok(all)
}

fn by_id(findings: &[Value]) -> Result<Findings> {
    findings.iter().map(|f| Ok((f["id"].as_str().ok_or("no id")?.to_owned(), f.clone()))).collect()
}

/// Every stored finding, in the form in which it is published.
fn stored(runtime: &Runtime, store: &AnyStore) -> Result<Findings> {
    let query = FindingQuery { limit: 10_000, ..FindingQuery::default() };
    let page = runtime.block_on(store.findings(query))?;
    assert_eq!(page.total, page.items.len() as u64, "all of them are on one page");
    let all: Vec<Value> =
        page.items.iter().map(|(_, f)| serde_json::to_value(f)).collect::<std::result::Result<_, _>>()?;
    by_id(&all)
}

fn value(metrics: &str, series: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}
