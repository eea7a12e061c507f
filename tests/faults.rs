//! What goes wrong around the service: a zombie, a broker that dies, topics that change under it.

use std::path::Path;
use std::time::Duration;

use leadsman_domain::{Commit, FindingKind, FindingQuery, Snapshot, Span, Store};
use leadsman_store::{AnyStore, StoreSettings};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

use crate::chaos::{database, worker};
use crate::chaos_world::World;
use crate::outbox;
use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::stream::{becomes, metric, offline, post, serve};
use crate::support::broker::{Broker, block_on, runtime, shared};
use crate::support::leadsman::{Serve, run};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "faults::a_zombie_is_fenced", needs: &[Need::Broker, Need::Postgres], run: zombie },
    Case { name: "faults::a_broker_that_dies_costs_nothing", needs: &[Need::Broker], run: broker_dies },
    Case { name: "faults::clean_stops_leave_nothing_to_replay", needs: &[Need::Broker], run: clean_stops },
    Case { name: "faults::a_topic_replayed_into_itself_changes_nothing", needs: &[Need::Broker], run: replayed_topic },
    Case {
        name: "faults::deleted_records_are_a_finding",
        needs: &[Need::Broker],
        run: || deleted_records("deleted", &[]),
    },
    Case {
        name: "faults::deleted_records_of_unkeyed_topics_are_a_finding",
        needs: &[Need::Broker],
        run: deleted_unkeyed,
    },
    Case { name: "faults::a_recreated_topic_is_not_read_on", needs: &[Need::Broker], run: recreated_topic },
    Case { name: "faults::added_partitions_refuse_to_start", needs: &[Need::Broker], run: added_partitions },
    Case { name: "faults::clusters_of_equal_names_share_no_state", needs: &[Need::Broker], run: two_clusters },
    Case { name: "faults::a_fenced_partition_is_claimed_anew", needs: &[Need::Broker], run: fenced_by_mistake },
    Case { name: "faults::a_spoilt_state_is_told_and_costs_no_event", needs: &[Need::Broker], run: spoilt_state },
    Case { name: "faults::a_lake_out_of_reach_costs_nothing", needs: &[Need::Broker], run: lake_away },
    Case { name: "faults::an_inbox_waits_for_the_lake", needs: &[], run: inbox_without_lake },
];

pub(crate) const LONG: Duration = Duration::from_secs(180);

/// A world, a place, and the topic of findings of one test.
pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) here: TempDir,
    name: &'static str,
    pub(crate) findings: String,
}

impl Stage {
    pub(crate) fn new(name: &'static str, partitions: i32) -> Result<Self> {
        let (world, findings) = (World::build(name, partitions, 11)?, format!("{name}.findings"));
        shared()?.create_topic(&findings, 1)?;
        Ok(Self { world, here: TempDir::new()?, name, findings })
    }

    pub(crate) fn worker(&self, directory: &Path, more: &[(&str, &str)]) -> Result<Serve> {
        worker(&self.world, directory, (self.name, &self.findings), more)
    }

    pub(crate) fn sqlite(&self) -> Result<StoreSettings> {
        let state = self.here.path().join("state");
        std::fs::create_dir_all(&state)?;
        Ok(StoreSettings::Sqlite(state.join("leadsman.db")))
    }

    /// Waits until the service holds what the oracle found; nothing lost, nothing doubled.
    pub(crate) fn settles(&self, serve: &Serve, settings: &StoreSettings) -> Result<()> {
        self.settles_on(shared()?.as_ref(), serve, settings)
    }

    pub(crate) fn settles_on(&self, broker: &Broker, serve: &Serve, settings: &StoreSettings) -> Result<()> {
        let runtime = runtime()?;
        let store = runtime.block_on(AnyStore::open(settings))?;
        let settled = wait_until("the findings are the oracle's", LONG, || {
            Ok((self.world.is_settled(&serve.http)? && self.world.equals(&runtime, &store)?).then_some(()))
        });
        let outcome = self.world.compare(&runtime, &store, broker, &self.findings)?;
        assert_eq!((outcome.lost, outcome.doubled), (0, 0), "{outcome:?}\n{}", serve.process.stderr());
        settled
    }
}

/// A process that stands still past its session is taken for dead; when it goes on, what it still holds is refused.
fn zombie() -> Result<()> {
    let stage = Stage::new("zombie", 3)?;
    let settings = database(stage.here.path())?;
    let [first, second] = ["first", "second"].map(|name| stage.here.path().join(name));
    for directory in [&first, &second] {
        std::fs::create_dir_all(directory)?;
        std::fs::copy(stage.here.path().join("leadsman.toml"), directory.join("leadsman.toml"))?;
    }
    stage.world.produce(..)?;
    let mut zombie = stage.worker(&first, &[])?;
    wait_until("it is at work", LONG, || Ok((read(&zombie) > 500.0).then_some(())))?;
    zombie.process.signal("STOP")?;
    let mut successor = stage.worker(&second, &[])?;
    stage.settles(&successor, &settings)?;
    zombie.process.signal("CONT")?;
    // Mostly a batch was in hand, whose commit comes before it hears of its loss; sometimes it had none.
    wait_until("the zombie is refused", DEADLINE, || {
        let fenced = metric(&zombie.http, "leadsman_fenced_commits_total").unwrap_or(0.0);
        let lost = zombie.process.stderr().contains("partitions lost");
        Ok((fenced > 0.0 || lost).then_some(()))
    })?;
    assert_eq!(zombie.process.stop()?, 0, "{}", zombie.process.stderr());
    let store = block_on(AnyStore::open(&settings))??;
    let stands: Vec<u64> = block_on(store.checkpoints())??
        .into_iter()
        .filter(|c| c.source.as_str().starts_with("kafka:"))
        .map(|c| c.next_offset)
        .collect();
    assert_eq!(stands, stage.world.ends(), "the zombie moved a checkpoint back");
    assert_eq!(successor.process.stop()?, 0, "{}", successor.process.stderr());
    let successor = stage.worker(&second, &[])?;
    stage.settles(&successor, &settings)
}

pub(crate) fn read(serve: &Serve) -> f64 {
    metric(&serve.http, "leadsman_position_records{source=\"kafka:").unwrap_or(0.0)
}

fn broker_dies() -> Result<()> {
    let stage = Stage::new("dies", 3)?;
    let mut broker = Broker::start()?;
    broker.create_topic(&stage.findings, 1)?;
    stage.world.produce_to(&broker)?;
    let address = broker.bootstrap().to_owned();
    let mut serve = stage.worker(stage.here.path(), &[("LEADSMAN_KAFKA__BOOTSTRAP_SERVERS", &address)])?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 500.0).then_some(())))?;
    broker.kill_now([1])?;
    wait_until("its absence is noticed", DEADLINE, || {
        Ok(serve.process.stderr().contains("kafka connection disturbed").then_some(()))
    })?;
    assert_eq!(serve.http.get("/livez")?.status, 200, "a broker that is away is no reason to die");
    broker.start_again()?;
    stage.settles_on(&broker, &serve, &stage.sqlite()?)?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    Ok(())
}

fn clean_stops() -> Result<()> {
    let stage = Stage::new("stops", 3)?;
    stage.world.produce(..)?;
    let mut last = 0.0;
    for _ in 0..4 {
        let mut serve = stage.worker(stage.here.path(), &[])?;
        wait_until("it went on", LONG, || Ok((read(&serve) > last).then_some(())))?;
        last = read(&serve);
        assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
        let store = block_on(AnyStore::open(&stage.sqlite()?))??;
        for stands in block_on(store.checkpoints())?? {
            assert_eq!(stands.state_offset, stands.next_offset, "{} {}", stands.source, stands.partition);
        }
    }
    stage.settles(&stage.worker(stage.here.path(), &[])?, &stage.sqlite()?)
}

fn replayed_topic() -> Result<()> {
    let mut stage = Stage::new("replayed", 3)?;
    stage.world.produce(..)?;
    stage.world.produce_again()?;
    stage.settles(&stage.worker(stage.here.path(), &[])?, &stage.sqlite()?)
}

fn deleted_unkeyed() -> Result<()> {
    shared()?.create_topic("unkeyed.events", 2)?;
    let rekey = [("LEADSMAN_KAFKA__REKEY", "true"), ("LEADSMAN_KAFKA__EVENTS_TOPIC", "unkeyed.events")];
    deleted_records("unkeyed", &rekey)
}

fn deleted_records(name: &'static str, settings: &[(&str, &str)]) -> Result<()> {
    let stage = Stage::new(name, 1)?;
    let half = stage.world.len() / 2;
    stage.world.produce(..half)?;
    let mut serve = stage.worker(stage.here.path(), settings)?;
    wait_until("a part is read", LONG, || Ok((read(&serve) > 200.0).then_some(())))?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    stage.world.produce(half..)?;
    let mut until = TopicPartitionList::new();
    let low = i64::try_from(half + 100)?;
    until.add_partition_offset(&stage.world.topic, 0, Offset::Offset(low))?;
    block_on(shared()?.admin()?.delete_records(&until, &AdminOptions::new()))??;
    let serve = stage.worker(stage.here.path(), settings)?;
    wait_until("the rest is read", LONG, || Ok((read(&serve) >= stage.world.len() as f64).then_some(())))?;
    let store = block_on(AnyStore::open(&stage.sqlite()?))??;
    let gaps = wait_until("the gap is told", DEADLINE, || {
        let query = FindingQuery { limit: 1_000, ..FindingQuery::default() };
        let found = block_on(store.findings(query))??.items;
        let gaps: Vec<_> = found.into_iter().map(|(_, f)| f).filter(|f| f.kind == FindingKind::DataGap).collect();
        Ok((!gaps.is_empty()).then_some(gaps))
    })?;
    assert_eq!(gaps.len(), 1, "told once: {gaps:#?}");
    assert!(gaps[0].explanation.sentence.contains(&format!("to {low}")), "{}", gaps[0].explanation.sentence);
    Ok(())
}

fn recreated_topic() -> Result<()> {
    let stage = Stage::new("recreated", 1)?;
    stage.world.produce(..2_000)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("all is read", LONG, || Ok((read(&serve) >= 2_000.0).then_some(())))?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    let (broker, topic) = (shared()?, stage.world.topic.as_str());
    for outcome in block_on(broker.admin()?.delete_topics(&[topic], &AdminOptions::new()))?? {
        outcome.map_err(|(topic, code)| format!("cannot delete {topic}: {code}"))?;
    }
    wait_until("the topic is created anew", DEADLINE, || Ok(broker.create_topic(topic, 1).ok()))?;
    // As long as before, with other records: only their contents tell.
    stage.world.produce(1_000..4_000)?;
    let serve = stage.worker(stage.here.path(), &[])?;
    wait_until("the partition is stopped", LONG, || {
        Ok((metric(&serve.http, "leadsman_stopped_partitions_total").unwrap_or(0.0) > 0.0).then_some(()))
    })?;
    assert!(serve.process.stderr().contains("recreated"), "{}", serve.process.stderr());
    assert_eq!(serve.http.get("/livez")?.status, 200);
    Ok(())
}

fn added_partitions() -> Result<()> {
    let stage = Stage::new("added", 1)?;
    stage.world.produce(..500)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("it is read", LONG, || Ok((read(&serve) >= 500.0).then_some(())))?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    let grown = NewPartitions::new(&stage.world.topic, 2);
    for outcome in block_on(shared()?.admin()?.create_partitions([&grown], &AdminOptions::new()))?? {
        outcome.map_err(|(topic, code)| format!("cannot grow {topic}: {code}"))?;
    }
    let mut refused = stage.worker(stage.here.path(), &[])?;
    let code = refused.process.wait(DEADLINE)?;
    let said = refused.process.stderr();
    assert!(code != 0 && said.contains("--accept-partitions"), "{code}: {said}");
    Ok(())
}

/// The same records from two clusters: each is scored by itself, and neither makes the other's usual or double.
fn two_clusters() -> Result<()> {
    let stage = Stage::new("twice", 1)?;
    let other = "twice.other";
    stage.world.produce(..)?;
    shared()?.create_topic(other, 1)?;
    shared()?.produce_all(other, stage.world.records())?;
    let topics = format!("{},{other}=other", stage.world.topic);
    let serve = stage.worker(stage.here.path(), &[("LEADSMAN_KAFKA__AUDIT_TOPICS", &topics)])?;
    let runtime = runtime()?;
    let store = runtime.block_on(AnyStore::open(&stage.sqlite()?))?;
    let of = |cluster: &str| -> Result<Vec<(String, u64, u8)>> {
        let query = FindingQuery { limit: 1_000, cluster: Some(cluster.to_owned()), ..FindingQuery::default() };
        let page = runtime.block_on(store.findings(query))?;
        let mut all: Vec<_> = page.items.into_iter().map(|(_, f)| (f.entity.id, f.rev, f.score)).collect();
        all.sort();
        Ok(all)
    };
    wait_until("both have the same findings", LONG, || {
        let (ours, others) = (of("default")?, of("other")?);
        Ok((ours.len() == stage.world.wanted_len() && ours == others).then_some(()))
    })?;
    drop(serve);
    Ok(())
}

/// Somebody claims what the group holds, and goes away: Kafka knows nothing of it, and takes the partitions for ours.
fn fenced_by_mistake() -> Result<()> {
    let stage = Stage::new("fenced", 2)?;
    stage.world.produce(..1_000)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 0.0).then_some(())))?;
    let store = block_on(AnyStore::open(&stage.sqlite()?))??;
    let source = leadsman_kafka::source_id(&stage.world.topic);
    for number in 0..2 {
        block_on(store.claim(&source, number))??;
    }
    stage.world.produce(1_000..)?;
    wait_until("both are refused", LONG, || {
        Ok((metric(&serve.http, "leadsman_fenced_commits_total").unwrap_or(0.0) >= 2.0).then_some(()))
    })?;
    stage.settles(&serve, &stage.sqlite()?)?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    Ok(())
}

/// A state that cannot be read is begun anew where it stood: what was found stays, and what comes is read.
fn spoilt_state() -> Result<()> {
    let stage = Stage::new("spoilt", 1)?;
    stage.world.produce(..4_000)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("a part is read", LONG, || Ok((read(&serve) >= 4_000.0).then_some(())))?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    let runtime = runtime()?;
    let store = runtime.block_on(AnyStore::open(&stage.sqlite()?))?;
    let source = leadsman_kafka::source_id(&stage.world.topic);
    let held = runtime.block_on(store.claim(&source, 0))?;
    assert!(held.snapshot.is_some(), "a clean stop writes the state down");
    let at = held.next_offset;
    runtime.block_on(store.commit(Commit {
        span: Span { source, partition: 0, from: at, to: at },
        epoch: held.epoch,
        findings: Vec::new(),
        dead_letters: Vec::new(),
        snapshot: Some(Snapshot { at, body: b"spoilt".repeat(1_000) }),
        roll_to: None,
        source_tag: None,
        sinks: Vec::new(),
    }))?;
    stage.world.produce(4_000..)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("all is read", LONG, || Ok(stage.world.is_settled(&serve.http)?.then_some(())))?;
    assert_eq!(metric(&serve.http, "leadsman_state_resets_total")? as u64, 1);
    assert!(serve.process.stderr().contains("detection state"), "{}", serve.process.stderr());
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    let published = outbox::read(shared()?.as_ref(), &stage.findings)?;
    assert!(!published.is_empty(), "what came later is judged");
    assert!(published.windows(2).all(|pair| pair[0] != pair[1]), "published twice: {published:#?}");
    let tally = stage.world.compare_lake(stage.here.path())?;
    assert_eq!((tally.lost, tally.doubled), (0, 0), "{tally:?}");
    Ok(())
}

/// A mount that goes away is no reason to die: what was read is read again when it is back.
fn lake_away() -> Result<()> {
    let stage = Stage::new("lakeaway", 2)?;
    let (lake, away) = (stage.here.path().join("lake"), stage.here.path().join("away"));
    stage.world.produce(..4_000)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 0.0).then_some(())))?;
    std::fs::rename(&lake, &away)?;
    std::fs::write(&lake, "in the way")?;
    stage.world.produce(4_000..)?;
    wait_until("each partition was refused", LONG, || {
        Ok((metric(&serve.http, "leadsman_lake_retries_total").unwrap_or(0.0) >= 2.0).then_some(()))
    })?;
    assert_eq!(serve.http.get("/livez")?.status, 200);
    std::fs::remove_file(&lake)?;
    std::fs::rename(&away, &lake)?;
    stage.settles(&serve, &stage.sqlite()?)?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    let tally = stage.world.compare_lake(stage.here.path())?;
    assert_eq!((tally.lost, tally.doubled), (0, 0), "{tally:?}");
    Ok(())
}

/// What was posted waits in the inbox until the lake takes it.
fn inbox_without_lake() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(14_000).collect();
    let wanted = offline(here, &lines(&events))?;
    assert!(!wanted.is_empty());
    let settings = [("LEADSMAN_LAKE__URL", "lake"), ("LEADSMAN_STATE__SNAPSHOT_EVERY_EVENTS", "400")];
    let mut service = serve(here, &[], "1", &settings)?;
    let (lake, away) = (here.join("lake"), here.join("away"));
    post(&service.http, &events[..2_000])?;
    wait_until("the lake is written", DEADLINE, || {
        Ok((metric(&service.http, "leadsman_commits_total")? >= 2.0).then_some(()))
    })?;
    std::fs::rename(&lake, &away)?;
    std::fs::write(&lake, "in the way")?;
    post(&service.http, &events[2_000..])?;
    wait_until("the lake is missed twice", LONG, || {
        Ok((metric(&service.http, "leadsman_lake_retries_total")? >= 2.0).then_some(()))
    })?;
    std::fs::remove_file(&lake)?;
    std::fs::rename(&away, &lake)?;
    becomes(&service.http, &wanted)?;
    assert_eq!(service.process.stop()?, 0, "{}", service.process.stderr());
    let scored = run(&["score", "--model", "builtin:demo", "lake", "--json"], here, &[], b"", DEADLINE)?;
    let document: serde_json::Value =
        serde_json::from_str(&scored.stdout).map_err(|e| format!("{e}: {}", scored.stderr))?;
    assert_eq!(document["events"], events.len(), "{}", scored.stderr);
    Ok(())
}
