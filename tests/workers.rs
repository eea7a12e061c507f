//! More workers when one is not enough, and fewer again: the same findings as one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leadsman_domain::Timestamp;
use leadsman_store::AnyStore;
use serde_json::Value;
use tempfile::TempDir;

use crate::chaos::{NEWER_PROTOCOL, database, worker};
use crate::chaos_world::World;
use crate::support::broker::{Broker, runtime, shared};
use crate::support::leadsman::Serve;
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "workers::one_to_three_and_back_finds_the_same_as_one",
        needs: &[Need::Broker, Need::Postgres],
        run: || few("few", &[]),
    },
    Case {
        name: "workers::a_group_whose_broker_assigns_finds_the_same_as_one",
        needs: &[Need::Broker, Need::Postgres],
        run: || few("newer", &[NEWER_PROTOCOL]),
    },
];

fn few(name: &str, settings: &[(&str, &str)]) -> Result<()> {
    let pauses = one_to_three_and_back(name, 3, settings)?;
    assert!(pauses.len() >= 6, "partitions changed hands: {pauses:?}");
    Ok(())
}

const PARTITIONS: i32 = 6;
const LONG: Duration = Duration::from_secs(180);
/// Longer than any pause of the producer: nothing may be closed as idle before the log has ended.
const IDLE: &str = "15";

/// Goes from one worker to three and back, `times` over, while records come in; gives the pause of every hand-over in
/// seconds, sorted.
pub(crate) fn one_to_three_and_back(name: &str, times: usize, settings: &[(&str, &str)]) -> Result<Vec<f64>> {
    let world = World::build(&format!("workers.{name}"), PARTITIONS, 7)?;
    let findings = format!("workers.{name}.findings");
    shared()?.create_topic(&findings, 1)?;
    let here = TempDir::new()?;
    let database = database(here.path())?;
    let start = |n: usize| -> Result<Serve> {
        let directory = here.path().join(format!("worker-{n}"));
        std::fs::create_dir_all(&directory)?;
        std::fs::copy(here.path().join("leadsman.toml"), directory.join("leadsman.toml"))?;
        let more = [
            ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS", IDLE),
            ("LEADSMAN_LOG__LEVEL", "debug"),
            ("LEADSMAN_LOG__FORMAT", "json"),
        ];
        worker(&world, &directory, (name, &findings), &[&more, settings].concat())
    };
    let (broker, over) = (shared()?, AtomicBool::new(false));
    let mut first = start(0)?;
    std::thread::scope(|scope| -> Result<()> {
        let producer = scope.spawn(|| produce_evenly(broker.as_ref(), &world, 0, &over));
        let cycles: Result<()> = (1..=times).try_for_each(|cycle| {
            let mut others = [start(2 * cycle)?, start(2 * cycle + 1)?];
            for other in &others {
                wait_until("every worker has its share", DEADLINE, || Ok((assigned(other) > 0).then_some(())))?;
            }
            // Some load on three before they leave.
            std::thread::sleep(Duration::from_millis(700));
            for other in &mut others {
                assert_eq!(other.process.stop()?, 0, "{}", other.process.stderr());
            }
            Ok(())
        });
        over.store(true, Ordering::Relaxed);
        let produced = producer.join().map_err(|_| "the producer panicked")?;
        cycles?;
        world.produce_part_to(broker.as_ref(), produced?..)
    })?;
    let runtime = runtime()?;
    let store = runtime.block_on(AnyStore::open(&database))?;
    let settled = wait_until("the last worker finds what one would have", LONG, || {
        Ok((world.is_settled(&first.http)? && world.equals(&runtime, &store)?).then_some(()))
    });
    let outcome = world.compare(&runtime, &store, shared()?.as_ref(), &findings)?;
    assert_eq!((outcome.lost, outcome.doubled), (0, 0), "{outcome:?}");
    settled?;
    assert_eq!(first.process.stop()?, 0, "{}", first.process.stderr());
    let mut commits = Vec::new();
    for n in 0..=2 * times + 1 {
        let log = here.path().join(format!("worker-{n}/leadsman.err"));
        commits.extend(std::fs::read_to_string(log).unwrap_or_default().lines().filter_map(|line| commit(line, n)));
    }
    Ok(pauses(commits))
}

/// Produces the log behind its first `done` records a little at a time until `over`; how many records there are then.
pub(crate) fn produce_evenly(broker: &Broker, world: &World, mut done: usize, over: &AtomicBool) -> Result<usize> {
    const PART: usize = 50;
    while !over.load(Ordering::Relaxed) && done + PART < world.len() {
        world.produce_part_to(broker, done..done + PART)?;
        done += PART;
        std::thread::sleep(Duration::from_millis(150));
    }
    Ok(done)
}

/// How many partitions a worker has committed for.
pub(crate) fn assigned(worker: &Serve) -> usize {
    let answer = worker.http.get("/metrics").map(|answer| answer.text).unwrap_or_default();
    answer.lines().filter(|line| line.starts_with("leadsman_position_records{source=\"kafka:")).count()
}

/// A commit of a worker.
#[derive(Debug, PartialEq)]
struct Commit {
    partition: u64,
    to: u64,
    worker: usize,
    at: Timestamp,
}

fn commit(line: &str, worker: usize) -> Option<Commit> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let of_topic = fields["source"].as_str()?.starts_with("kafka:");
    (of_topic && fields["message"] == "batch committed").then_some(())?;
    let at = Timestamp::parse(line["timestamp"].as_str()?).ok()?;
    Some(Commit { partition: fields["partition"].as_u64()?, to: fields["to"].as_u64()?, worker, at })
}

/// Between the last commit of one owner and the first of the next.
fn pauses(commits: Vec<Commit>) -> Vec<f64> {
    let mut by_partition: BTreeMap<u64, Vec<Commit>> = BTreeMap::new();
    for commit in commits {
        by_partition.entry(commit.partition).or_default().push(commit);
    }
    let mut pauses = Vec::new();
    for mut commits in by_partition.into_values() {
        commits.sort_by_key(|commit| (commit.to, commit.at));
        for pair in commits.windows(2) {
            if pair[0].worker != pair[1].worker {
                pauses.push((pair[1].at.as_micros() - pair[0].at.as_micros()) as f64 / 1e6);
            }
        }
    }
    pauses.sort_by(f64::total_cmp);
    pauses
}
