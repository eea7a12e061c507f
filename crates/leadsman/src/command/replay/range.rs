//! A range of a topic, scored as `score` scores files.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use leadsman_decode::{DecodeContext, Limits, RedactionKey};
use leadsman_domain::{Decoded, Finding, RawRecord, StoreError, Timestamp};
use leadsman_engine::{Engine, ObserveCounts};
use leadsman_kafka::{BatchLimits, Bounds, KafkaConfig, Range, RangeReader, RangeStart, Ranged};
use serde_json::{Value, json};

use super::super::score::{Scoring, document};
use super::{Known, known, runtime, store};
use crate::cli::{Global, ReplayArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::input::ReadReport;
use crate::offline::Scored;
use crate::output;
use crate::pipeline::{Outcome, Shard};
use crate::progress::Progress;
use crate::service::redaction;
use crate::service::rekey::merge::{Merge, Timed};

/// What a fresh state means, for people and programs.
const WARM_UP: &str = "The state began empty: what accounts came to do between the model's training and the beginning of \
                       the range counts as new, and windows that the range cuts are scored as far as they lie in it.";

/// Reads and scores the range and prints what it gives.
pub(super) fn run(source: &str, args: &ReplayArgs, global: &Global, config: &Config) -> Result<()> {
    let (topic, partition) = parse(source)?;
    let settings = config.kafka.as_ref().ok_or_else(|| {
        Exit::Usage("there are no brokers: set kafka.bootstrap_servers or LEADSMAN_KAFKA__BOOTSTRAP_SERVERS".to_owned())
    })?;
    let start = match (args.from_offset, &args.since) {
        (Some(offset), _) => RangeStart::Offset(offset),
        (None, Some(text)) => RangeStart::Since(time("--since", text)?),
        (None, None) => return Err(Exit::Usage("give --from-offset or --since".to_owned()).into()),
    };
    let until = args.until.as_deref().map(|text| time("--until", text)).transpose()?;
    let about = known(topic, Some(settings));
    let scoring = Scoring::new(args.model.as_deref(), args.budget, about.cluster.as_deref(), config)?;
    let kafka = KafkaConfig {
        bootstrap_servers: settings.bootstrap_servers.clone(),
        group_id: settings.group_id.clone(),
        topics: Vec::new(),
        batch: BatchLimits::default(),
        idle_after: config.sources.idle_after,
        max_bytes_under_way: 0,
        extra: settings.properties.clone(),
    };
    let range = Range { topic: topic.to_owned(), kind: about.kind, partition, start, until };
    let mut reader = RangeReader::open(&kafka, range)?;
    let bounds = reader.bounds().clone();
    let context = DecodeContext { redaction_key: redaction_key(config)?, ..scoring.context };
    let lines = Lines::new(&scoring.engine, &scoring.model.manifest.weights_digest, &about);
    let scored = score(&mut reader, lines, &context, &mut progress(global, &bounds))?;
    scored.read.report();
    if global.json {
        let mut out = document(&scored, &scoring.model, args.top);
        if let Value::Object(fields) = &mut out {
            fields.insert("schema".to_owned(), json!("leadsman.replay/v1"));
            fields.insert("source".to_owned(), json!(format!("kafka:{topic}")));
            fields.insert("range".to_owned(), ranges(&bounds));
            fields.insert("warm_up".to_owned(), json!(WARM_UP));
        }
        output::json(&out)?;
    } else {
        output::findings(&scored.outcome.findings.values().collect::<Vec<&Finding>>())?;
    }
    let account = &scored.read.account;
    eprintln!(
        "Replayed {} events and {} samples in {} windows: {} findings; {} refused. {WARM_UP}",
        account.events,
        account.samples,
        scored.outcome.windows,
        scored.outcome.findings.len(),
        account.rejected.total()
    );
    if scored.counts.late > 0 {
        eprintln!("{} events came too late for their windows and were not scored.", scored.counts.late);
    }
    Ok(())
}

/// The key of the service; `None` where none was ever started here, and secrets lose all but their kind.
fn redaction_key(config: &Config) -> Result<Option<RedactionKey>> {
    let settings = config.store.settings(&config.data_dir)?;
    if settings.path().is_some_and(|path| !path.exists()) {
        return Ok(None);
    }
    let key = async {
        let (settings, store) = store(config).await?;
        redaction::key(&settings, &store, &config.data_dir).await
    };
    match runtime()?.block_on(key) {
        Err(error) if matches!(error.downcast_ref(), Some(StoreError::OlderSchema { found: 0, .. })) => Ok(None),
        key => key.map(Some),
    }
}

fn parse(source: &str) -> Result<(&str, Option<i32>), Exit> {
    let wrong = || Exit::Usage(format!("--source {source}: give kafka:TOPIC or kafka:TOPIC/PARTITION"));
    let rest = source.strip_prefix("kafka:").filter(|rest| !rest.is_empty()).ok_or_else(wrong)?;
    let Some((topic, number)) = rest.split_once('/') else { return Ok((rest, None)) };
    let number = number.parse().ok().filter(|number| *number >= 0).ok_or_else(wrong)?;
    if topic.is_empty() { Err(wrong()) } else { Ok((topic, Some(number))) }
}

fn time(flag: &str, text: &str) -> Result<Timestamp, Exit> {
    Timestamp::parse(text)
        .map_err(|error| Exit::Usage(format!("{flag} {text}: {error}: give a time such as 2026-03-02T10:00:00Z")))
}

fn progress(global: &Global, bounds: &BTreeMap<i32, Bounds>) -> Progress {
    Progress::new(global.progress, "replay", bounds.values().map(|(from, to)| to - from).sum())
}

fn ranges(bounds: &BTreeMap<i32, Bounds>) -> Value {
    bounds.iter().map(|(partition, (from, to))| json!({"partition": partition, "from": from, "to": to})).collect()
}

/// The state that records are scored on: one for each partition, as in the service; of a topic that is re-keyed, one
/// for all of them, in the order of time.
struct Lines<'a> {
    engine: &'a Engine,
    digest: &'a str,
    shards: BTreeMap<i32, Shard>,
    merge: Option<Merge<i32, Item>>,
    outcome: Outcome,
}

/// What one record held.
struct Item(Decoded);

impl Timed for Item {
    fn time(&self) -> Timestamp {
        let Decoded { events, samples, .. } = &self.0;
        let first = [events.first().map(|e| e.event_time), samples.first().map(|s| s.event_time)];
        first.into_iter().flatten().min().unwrap_or_default()
    }
}

impl<'a> Lines<'a> {
    fn new(engine: &'a Engine, digest: &'a str, about: &Known) -> Self {
        let merge = about.rekeyed.then(Merge::default);
        Self { engine, digest, shards: BTreeMap::new(), merge, outcome: Outcome::default() }
    }

    fn begin(&mut self, partition: i32) {
        if let Some(merge) = &mut self.merge {
            merge.add(partition);
        }
    }

    /// The records of a partition, or nothing at its end.
    fn take(&mut self, partition: i32, decoded: Option<Decoded>) -> Result<()> {
        let Some(merge) = &mut self.merge else {
            return decoded.map_or(Ok(()), |decoded| self.push(partition, &decoded));
        };
        merge.push(&partition, decoded.into_iter().map(Item).collect());
        while let Some((_, Item(next))) = self.merge.as_mut().and_then(|merge| merge.next(false)) {
            self.push(0, &next)?;
        }
        Ok(())
    }

    fn push(&mut self, shard: i32, decoded: &Decoded) -> Result<()> {
        let (engine, digest) = (self.engine, self.digest);
        let shard = self.shards.entry(shard).or_insert_with(|| Shard::new(engine, digest));
        shard.push(engine, &decoded.events, &decoded.samples, &mut self.outcome).context("scoring failed")
    }

    fn finish(mut self) -> Result<(Outcome, ObserveCounts)> {
        let mut counts = ObserveCounts::default();
        for shard in self.shards.values_mut() {
            shard.close_all(self.engine, &mut self.outcome)?;
            counts.add(&shard.state.counts);
        }
        Ok((self.outcome, counts))
    }
}

fn score(
    reader: &mut RangeReader,
    mut lines: Lines<'_>,
    context: &DecodeContext,
    progress: &mut Progress,
) -> Result<Scored> {
    let limits = Limits::default();
    let mut read = ReadReport::default();
    reader.bounds().keys().for_each(|partition| lines.begin(*partition));
    let mut records = 0;
    while let Some(ranged) = reader.read()? {
        match ranged {
            Ranged::End(partition) => lines.take(partition, None)?,
            Ranged::Record(partition, record) => {
                records += 1;
                progress.at(records, || format!("{records} records"));
                lines.take(partition, Some(decode(context, &limits, partition, &record, &mut read)))?;
            }
        }
    }
    let (outcome, counts) = lines.finish()?;
    Ok(Scored { outcome, counts, read })
}

fn decode(
    context: &DecodeContext,
    limits: &Limits,
    partition: i32,
    record: &RawRecord,
    read: &mut ReadReport,
) -> Decoded {
    let decoded = leadsman_decode::record(context, limits, record);
    read.add(&format!("partition {partition} offset {}", record.offset), &decoded);
    decoded
}
