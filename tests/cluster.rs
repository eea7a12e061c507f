//! Several brokers of which some are away: partitions and groups move to others, nothing lost, nothing doubled.

use std::time::{Duration, Instant};

use crate::chaos::settings_of;
use crate::faults::{LONG, Stage, read};
use crate::support::broker::{Broker, Extras};
use crate::support::leadsman::Serve;
use crate::support::{Case, DEADLINE, Need, Result, postgres, wait_until};
use crate::workers::assigned;

pub(crate) const CASES: &[Case] = &[Case {
    name: "cluster::brokers_that_die_one_by_one_and_all_at_once_cost_nothing",
    needs: &[Need::Broker, Need::Postgres],
    run: brokers_die,
}];

const NAME: &str = "cluster";
/// How long no broker is there at all.
const ALL_DOWN: Duration = Duration::from_secs(60);
/// Longer than that: nothing may be closed before the log has ended.
const IDLE: &str = "120";

/// Amid reading, the leader of a partition dies, is back and leads again; the group's coordinator dies, and a member
/// leaves meanwhile; then every broker dies.
fn brokers_die() -> Result<()> {
    let stage = Stage::new(NAME, 3)?;
    let mut brokers = Broker::start_with(&Extras { more_nodes: 2, ..Extras::default() })?;
    brokers.create_topic(&stage.findings, 1)?;
    stage.world.create_on(&brokers)?;
    let (server, bootstrap) = (postgres::shared()?, brokers.bootstrap().to_owned());
    let url = server.url(&server.schema()?);
    let start = |name: &str, idle: &str| -> Result<Serve> {
        let directory = stage.here.path().join(name);
        std::fs::create_dir_all(&directory)?;
        settings_of(&directory, &url)?;
        let settings =
            [("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", bootstrap.as_str()), ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS", idle)];
        stage.worker(&directory, &settings)
    };
    let mut workers = [start("first", IDLE)?, start("second", IDLE)?];
    let shared = || Ok(workers.iter().all(|worker| assigned(worker) > 0).then_some(()));
    stage.world.produce_part_to(&brokers, ..1_000)?;
    wait_until("both have their part", LONG, shared)?;

    stage.world.produce_part_to(&brokers, 1_000..3_000)?;
    let leader = brokers.leader(&stage.world.topic, 0)?;
    brokers.kill_now([leader])?;
    stage.world.produce_part_to(&brokers, 3_000..5_000)?;
    reads(&workers, 5_000)?;
    assert_ne!(brokers.leader(&stage.world.topic, 0)?, leader);
    brokers.start_again()?;

    stage.world.produce_part_to(&brokers, 5_000..7_000)?;
    wait_until("it leads again", DEADLINE, || {
        brokers.tool(
            "org.apache.kafka.tools.LeaderElectionCommand",
            &["--election-type", "preferred", "--all-topic-partitions"],
        )?;
        Ok((brokers.leader(&stage.world.topic, 0)? == leader).then_some(()))
    })?;
    stage.world.produce_part_to(&brokers, 7_000..9_000)?;
    reads(&workers, 9_000)?;

    stage.world.produce_part_to(&brokers, 9_000..11_000)?;
    brokers.kill_now([coordinator(&brokers)?])?;
    let [first, second] = &mut workers;
    assert_eq!(first.process.stop()?, 0, "{}", first.process.stderr());
    stage.world.produce_part_to(&brokers, 11_000..13_000)?;
    wait_until("what it had is taken over", LONG, || Ok((assigned(second) == 3).then_some(())))?;
    reads(std::slice::from_ref(second), 13_000)?;
    brokers.start_again()?;

    stage.world.produce_part_to(&brokers, 13_000..15_000)?;
    brokers.kill_now(brokers.ids())?;
    let since = Instant::now();
    wait_until("nobody is there for a while", 2 * ALL_DOWN, || {
        assert_eq!(second.http.get("/livez")?.status, 200, "brokers that are away are no reason to die");
        Ok((since.elapsed() > ALL_DOWN).then_some(()))
    })?;
    brokers.start_again()?;
    stage.world.produce_part_to(&brokers, 15_000..)?;
    reads(std::slice::from_ref(second), stage.world.len())?;
    assert_eq!(second.process.stop()?, 0, "{}", second.process.stderr());
    // What the log ended with is closed by one that waits less.
    let mut last = start("last", "1")?;
    stage.settles_on(&brokers, &last, &settings_of(stage.here.path(), &url)?)?;
    assert_eq!(last.process.stop()?, 0, "{}", last.process.stderr());
    Ok(())
}

/// Waits until the workers have read the first records of the log, as many as are there.
fn reads(workers: &[Serve], records: usize) -> Result<()> {
    wait_until(&format!("{records} records are read"), LONG, || {
        Ok((workers.iter().map(read).sum::<f64>() >= records as f64).then_some(()))
    })
}

/// The node that the group's members talk to.
fn coordinator(brokers: &Broker) -> Result<i32> {
    let class = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    let said = brokers.tool(class, &["--describe", "--state", "--group", NAME])?;
    // The heading says `COORDINATOR (ID)`, the row `127.0.0.1:9092  (1)`.
    let id = said.rsplit_once(" (").and_then(|(_, rest)| rest.split_once(')'));
    Ok(id.ok_or_else(|| format!("no coordinator in {said:?}"))?.0.parse()?)
}
