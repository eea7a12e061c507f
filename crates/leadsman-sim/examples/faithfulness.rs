//! How the simulated audit log compares with a real one, dimension by dimension.
//!
//! `cargo run --release -p leadsman-sim --example faithfulness` prints the table of docs/simulator.md. The real log is
//! the data set `k8s-audit-benign`; `LEADSMAN_DATASETS` names the folder that holds it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use leadsman_decode::{AuditReader, DecodeContext, Limits, ReadError};
use leadsman_domain::{ActorRules, AuditEvent, Level, Stage, Timestamp};
use leadsman_sim::{Payload, SimConfig, SimError, Simulation};

/// Values of a dimension that are printed; the distance counts all.
const SHOWN: usize = 9;
/// The Wednesday of the second week.
const DAY: u32 = 9;

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Sim(#[from] SimError),
    #[error("the table could not be written")]
    Format(#[from] std::fmt::Error),
}

/// Counts by dimension and value.
#[derive(Default)]
struct Profile {
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
    events: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Profile {
    fn add(&mut self, event: &AuditEvent, rules: &ActorRules) {
        self.events += 1;
        let at = event.event_time;
        self.first = Some(self.first.map_or(at, |t| t.min(at)));
        self.last = Some(self.last.map_or(at, |t| t.max(at)));
        let agent = event.user_agent.as_ref().map_or_else(|| "(none)".to_owned(), ToString::to_string);
        let class = rules.classify(event.actor.name.as_ref());
        for (dimension, value) in [
            ("verb", event.verb.to_string()),
            ("resource", event.object.api()),
            ("code", event.code.map_or_else(|| "(none)".to_owned(), |c| c.to_string())),
            ("level", level(event.level).to_owned()),
            ("stage", stage(event.stage).to_owned()),
            ("user agent", agent.split(['/', ' ']).next().unwrap_or_default().to_owned()),
            ("actor class", class.as_str().to_owned()),
        ] {
            *self.counts.entry(dimension).or_default().entry(value).or_default() += 1;
        }
    }

    fn per_hour(&self) -> f64 {
        let (Some(first), Some(last)) = (self.first, self.last) else { return 0.0 };
        self.events as f64 * 3_600.0 / last.seconds_since(first).max(1.0)
    }

    fn share(&self, dimension: &str, value: &str) -> f64 {
        let count = self.counts.get(dimension).and_then(|d| d.get(value)).copied().unwrap_or(0);
        count as f64 / self.events.max(1) as f64
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::None => "None",
        Level::Metadata => "Metadata",
        Level::Request => "Request",
        Level::RequestResponse => "RequestResponse",
    }
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::RequestReceived => "RequestReceived",
        Stage::ResponseStarted => "ResponseStarted",
        Stage::ResponseComplete => "ResponseComplete",
        Stage::Panic => "Panic",
    }
}

fn profile(log: impl Read, rules: &ActorRules) -> Result<Profile, Failure> {
    let mut reader =
        AuditReader::new(log, DecodeContext::default(), Limits::default(), Timestamp::from_micros(i64::MAX / 2))?;
    let mut profile = Profile::default();
    while let Some(chunk) = reader.next_chunk(10_000)? {
        for event in &chunk.events {
            profile.add(event, rules);
        }
    }
    Ok(profile)
}

fn simulated() -> Result<Profile, Failure> {
    let simulation = Simulation::new(&SimConfig { from_day: DAY, days: 1, ..SimConfig::default() })?;
    let rules = simulation.actor_rules();
    let mut log = Vec::new();
    for record in simulation {
        if let Payload::Audit(line) = record.payload {
            log.extend_from_slice(&line);
            log.push(b'\n');
        }
    }
    profile(log.as_slice(), &rules)
}

/// Total variation: the share of events that would have to change for both to be alike.
fn distance(dimension: &str, real: &Profile, simulated: &Profile) -> f64 {
    let both = [real, simulated].into_iter().filter_map(|p| p.counts.get(dimension));
    let values: std::collections::BTreeSet<_> = both.flat_map(BTreeMap::keys).collect();
    values.iter().map(|v| (real.share(dimension, v) - simulated.share(dimension, v)).abs()).sum::<f64>() / 2.0
}

fn table(real: &Profile, simulated: &Profile) -> Result<String, Failure> {
    let mut out = String::new();
    writeln!(out, "| Dimension | Value | Real | Simulated |\n|---|---|---|---|")?;
    writeln!(out, "| events | | {} | {} |", real.events, simulated.events)?;
    writeln!(out, "| events an hour | | {:.0} | {:.0} |", real.per_hour(), simulated.per_hour())?;
    for dimension in ["verb", "resource", "code", "level", "stage", "user agent", "actor class"] {
        let apart = distance(dimension, real, simulated);
        writeln!(out, "| **{dimension}** | total variation {apart:.2} | | |")?;
        let mut values: Vec<_> =
            [real, simulated].iter().filter_map(|p| p.counts.get(dimension)).flat_map(BTreeMap::keys).collect();
        values.sort_by(|a, b| {
            let weight = |v: &str| real.share(dimension, v) + simulated.share(dimension, v);
            weight(b).total_cmp(&weight(a)).then_with(|| a.cmp(b))
        });
        values.dedup();
        for value in values.into_iter().take(SHOWN) {
            let percent = |p: &Profile| 100.0 * p.share(dimension, value);
            writeln!(out, "| | `{value}` | {:.1} % | {:.1} % |", percent(real), percent(simulated))?;
        }
    }
    Ok(out)
}

fn datasets() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    // A relative path is meant from the workspace.
    std::env::var_os("LEADSMAN_DATASETS")
        .map_or_else(|| workspace.join("../shared/datasets"), |path| workspace.join(path))
}

fn main() -> Result<(), Failure> {
    let path = datasets().join("k8s-audit-benign/audit.jsonl");
    if !path.exists() {
        eprintln!("SKIPPED: faithfulness, because {} is not there; set LEADSMAN_DATASETS", path.display());
        return Ok(());
    }
    let real = profile(File::open(path)?, &ActorRules::default())?;
    let text = table(&real, &simulated()?)?;
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
