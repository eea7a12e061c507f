//! Two days of a simulated cluster, as a log and in a lake.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use leadsman::lake::{Lake, Roll};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{ActorRules, PayloadKind, RawRecord, SourceId, Span, Timestamp};
use leadsman_features::{LogPlace, PlacedSample, ScoredEvent};
use leadsman_sim::{AttackPlan, Payload, Scenario, SimConfig, SimRecord, Simulation, Style};
use tempfile::TempDir;

/// Records of a roll.
const ROLL: usize = 800;
const SOURCE: &str = "kafka:leadsman.audit";

/// The days of the built-in model's attack, of two logs: audit events and samples.
pub(crate) struct Days {
    directory: TempDir,
    audit: Vec<SimRecord>,
    metrics: Vec<SimRecord>,
    rules: ActorRules,
}

impl Days {
    /// Makes them, with the files `logs/audit.jsonl` and `logs/metrics.jsonl`.
    pub(crate) fn generate() -> Self {
        let at = Timestamp::parse("2026-04-02T09:40:00Z").expect("a time");
        let attack = Some(AttackPlan { scenario: Scenario::TokenTheft, style: Style::Paced, at });
        let config = SimConfig { seed: 1, from_day: 30, days: 2, attack, ..SimConfig::default() };
        let simulation = Simulation::new(&config).expect("a plan");
        let rules = simulation.actor_rules();
        let (mut audit, mut metrics) = (Vec::new(), Vec::new());
        for record in simulation {
            match record.payload {
                Payload::Audit(_) => audit.push(record),
                Payload::Metric(_) => metrics.push(record),
            }
        }
        let directory = tempfile::tempdir().expect("a directory");
        let logs = directory.path().join("logs");
        fs::create_dir(&logs).expect("a directory");
        for (name, records) in [("audit.jsonl", &audit), ("metrics.jsonl", &metrics)] {
            let mut file = BufWriter::new(File::create(logs.join(name)).expect("a file"));
            for record in records {
                file.write_all(record.payload.bytes()).expect("it is written");
                file.write_all(b"\n").expect("it is written");
            }
            file.flush().expect("it is written");
        }
        Self { directory, audit, metrics, rules }
    }

    /// Where the files are.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

/// Long after these days.
pub(crate) fn later() -> Timestamp {
    Timestamp::parse("2026-05-01T00:00:00Z").expect("a time")
}

/// Writes the days into a lake, as a service would that reads them from Kafka, one record an offset.
pub(crate) fn write(lake: &Lake, days: &Days, cluster: &str) {
    let context = DecodeContext { cluster: cluster.to_owned(), rules: days.rules.clone(), redaction_key: None };
    for (partition, records, kind) in
        [(0, &days.audit, PayloadKind::K8sAudit), (1, &days.metrics, PayloadKind::MetricJson)]
    {
        for (index, part) in records.chunks(ROLL).enumerate() {
            let from = (index * ROLL) as u64;
            let span = Span { source: SourceId::new(SOURCE), partition, from, to: from + part.len() as u64 };
            let mut roll = Roll::default();
            for (offset, record) in (from..).zip(part) {
                let bytes = record.payload.bytes().to_vec();
                let raw = RawRecord { offset, received_at: later(), kind, bytes: bytes.into() };
                let decoded = leadsman_decode::record(&context, &Limits::default(), &raw);
                let place = |item| LogPlace { source: SOURCE.into(), partition, offset, item };
                let events = (0..).zip(decoded.events);
                roll.events.extend(events.map(|(item, event)| ScoredEvent {
                    place: place(item),
                    event,
                    surprise: None,
                }));
                let samples = (0..).zip(decoded.samples);
                roll.samples.extend(samples.map(|(item, sample)| PlacedSample { place: place(item), sample }));
            }
            lake.write_roll(cluster, &span, roll).expect("it is written");
        }
    }
}
