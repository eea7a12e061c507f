//! Processes that are killed: nothing lost, nothing doubled, against one offline run over the same log.

use std::collections::BTreeMap;
use std::ops::Add;
use std::path::Path;
use std::time::Duration;

use leadsman_store::{AnyStore, PostgresSettings, StoreSettings};
use serde_json::Value;
use tempfile::TempDir;

use crate::chaos_world::World;
use crate::support::broker::{runtime, shared};
use crate::support::leadsman::Serve;
use crate::support::postgres;
use crate::support::{Case, DEADLINE, Need, Result, free_port, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "chaos::kills_at_failpoints_lose_and_double_nothing",
        needs: &[Need::Broker],
        run: || few_seeds(Kind::Sqlite),
    },
    Case {
        name: "chaos::kills_at_failpoints_lose_and_double_nothing_in_postgresql",
        needs: &[Need::Broker, Need::Postgres],
        run: || few_seeds(Kind::Postgres),
    },
];

/// Where findings are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// Every point at which a process is killed, and how often it may be passed before.
const POINTS: [(&str, u64); 14] = [
    ("claimed", 3),
    ("batch-scored", 40),
    ("commit-advanced", 40),
    ("commit-findings", 40),
    ("commit-written", 40),
    ("commit-durable", 40),
    ("batch-committed", 40),
    ("lake-decided", 12),
    ("lake-written", 12),
    ("lake-ended", 12),
    ("state-at-rest", 1),
    ("outbox-read", 2),
    ("outbox-published", 2),
    ("outbox-acknowledged", 2),
];

/// How long a debug build may take for the whole log.
const LONG: Duration = Duration::from_secs(180);

/// What went wrong over all runs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) runs: u64,
    /// Runs in which the process really died at the chosen point.
    pub(crate) killed: u64,
    pub(crate) lost: u64,
    pub(crate) doubled: u64,
    /// Records on the output topic beyond one for each revision: the price of at least once.
    pub(crate) published_again: u64,
}

impl Add for Tally {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            killed: self.killed + other.killed,
            lost: self.lost + other.lost,
            doubled: self.doubled + other.doubled,
            published_again: self.published_again + other.published_again,
        }
    }
}

impl Tally {
    /// What scripts look for.
    pub(crate) fn last_line(&self) -> String {
        format!("runs {} lost {} doubled {}", self.runs, self.lost, self.doubled)
    }
}

fn few_seeds(kind: Kind) -> Result<()> {
    let tally = runs(kind, 1..=u64::try_from(POINTS.len())?)?;
    assert!(tally.last_line().ends_with(" lost 0 doubled 0"), "{tally:?}");
    // Each point once: a build without failpoints would survive them all.
    assert_eq!(tally.killed, tally.runs, "some points were never reached: {tally:?}");
    Ok(())
}

/// One run for each seed, all over one log.
pub(crate) fn runs(kind: Kind, seeds: impl IntoIterator<Item = u64>) -> Result<Tally> {
    let world = World::build(&format!("chaos.{kind:?}"), 3, 1)?;
    world.produce(..)?;
    let mut tally = Tally::default();
    for seed in seeds {
        let (point, nth) = chosen(seed);
        let outcome = run(&world, kind, seed, (point, nth)).map_err(|failure| {
            format!("seed {seed}, killed at {point}:{nth}: {}", failure.message().unwrap_or("failed"))
        })?;
        eprintln!("seed {seed}: {point}:{nth} {outcome:?}");
        tally = tally + outcome;
    }
    Ok(tally)
}

/// The point of a seed, and which pass of it. Seeds in a row go through all points.
fn chosen(seed: u64) -> (&'static str, u64) {
    let (point, most) = POINTS[(seed % POINTS.len() as u64) as usize];
    // SplitMix64, so that neighbouring seeds die at unlike moments.
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^= z >> 27;
    (point, 1 + z % most)
}

fn run(world: &World, kind: Kind, seed: u64, (point, nth): (&str, u64)) -> Result<Tally> {
    let directory = TempDir::new()?;
    let group = format!("chaos-{kind:?}-{seed}");
    let findings = format!("chaos.{kind:?}.findings.{seed}");
    shared()?.create_topic(&findings, 1)?;
    let plan = format!("{point}:{nth}");
    let settings = match kind {
        Kind::Sqlite => StoreSettings::Sqlite(directory.path().join("state/leadsman.db")),
        Kind::Postgres => database(directory.path())?,
    };
    let mut more = vec![("FAILPOINT", plan.as_str())];
    if point == "state-at-rest" {
        // A batch that just wrote the state down leaves nothing to write at the end.
        more.push(("LEADSMAN_STATE__SNAPSHOT_EVERY_EVENTS", "1000000"));
    }
    let mut victim = worker(world, directory.path(), (&group, &findings), &more)?;
    let died = wait_until("the process dies or has read all", LONG, || {
        if let Some(code) = victim.process.exit_code()? {
            return Ok(Some(code == 128 + 9));
        }
        // The state is written at rest only when it is told to stop.
        if point == "state-at-rest" && world.has_begun(&victim.http)? {
            victim.process.signal("TERM")?;
            return Ok(Some(victim.process.wait(DEADLINE)? == 128 + 9));
        }
        Ok((world.is_settled(&victim.http)?).then_some(false))
    })?;
    if !died {
        victim.process.stop()?;
    }
    std::fs::create_dir_all(directory.path().join("state"))?;
    // One runtime for all that is asked of the store: a pool of connections belongs to one.
    let runtime = runtime()?;
    let store = runtime.block_on(AnyStore::open(&settings))?;
    let mut successor = worker(world, directory.path(), (&group, &findings), &[])?;
    let settled = wait_until("the successor finds what the oracle found", LONG, || {
        Ok((world.is_settled(&successor.http)? && world.equals(&runtime, &store)?).then_some(()))
    });
    let outcome = world.compare(&runtime, &store, shared()?.as_ref(), &findings)?;
    if settled.is_err() && (outcome.lost, outcome.doubled) == (0, 0) {
        return Err(format!("it never settles:\n{}", crate::support::tail(&successor.process.stderr())).into());
    }
    assert_eq!(successor.process.stop()?, 0, "{}", successor.process.stderr());
    let lake = world.compare_lake(directory.path())?;
    Ok(Tally { runs: 1, killed: u64::from(died), ..outcome + lake })
}

/// A database of its own, named in the configuration of `directory`.
pub(crate) fn database(directory: &Path) -> Result<StoreSettings> {
    let server = postgres::shared()?;
    settings_of(directory, &server.url(&server.schema()?))
}

/// The database at `url`, named in the configuration of `directory`.
pub(crate) fn settings_of(directory: &Path, url: &str) -> Result<StoreSettings> {
    std::fs::write(directory.join("leadsman.toml"), format!("[store]\nurl = \"{url}\"\n"))?;
    Ok(StoreSettings::Postgres(PostgresSettings::parse(url)?))
}

/// The group protocol in which the broker assigns partitions (KIP-848); how long sessions last, it says as well.
pub(crate) const NEWER_PROTOCOL: (&str, &str) = ("LEADSMAN_KAFKA__PROPERTIES__GROUP_PROTOCOL", "consumer");

/// A process of the group, with `more` variables; it is not waited for.
pub(crate) fn worker(
    world: &World,
    directory: &Path,
    (group, findings): (&str, &str),
    more: &[(&str, &str)],
) -> Result<Serve> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let base = format!("http://{listen}");
    let broker = shared()?;
    let args = [
        ["serve", "--no-auth", "--model", "builtin:demo"].as_slice(),
        &["--budget", "1", "--data-dir", "state", "--listen", &listen],
    ]
    .concat();
    let topics = world.topic.clone();
    let mut variables = vec![
        ("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap()),
        ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS", "1"),
        ("LEADSMAN_STATE__SNAPSHOT_EVERY_EVENTS", "400"),
        ("LEADSMAN_KAFKA__AUDIT_TOPICS", topics.as_str()),
        ("LEADSMAN_KAFKA__METRICS_TOPICS", ""),
        ("LEADSMAN_LAKE__URL", "lake"),
        ("LEADSMAN_KAFKA__GROUP_ID", group),
        ("LEADSMAN_KAFKA__FINDINGS_TOPIC", findings),
        ("LEADSMAN_KAFKA__BATCH_RECORDS", "60"),
        ("LEADSMAN_KAFKA__PROPERTIES__STATISTICS_INTERVAL_MS", "200"),
    ];
    if !more.contains(&NEWER_PROTOCOL) {
        variables.push(("LEADSMAN_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "1000"));
        variables.push(("LEADSMAN_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "200"));
    }
    variables.extend(more);
    Serve::launch(&args, directory, &variables, (&base, None))
}

/// Findings by id.
pub(crate) type Findings = BTreeMap<String, Value>;
