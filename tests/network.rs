//! Networks that stand still, lose and delay, and a store that is restarted: nothing lost, nothing doubled.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leadsman_domain::SourceId;
use leadsman_store::AnyStore;

use crate::chaos::settings_of;
use crate::faults::{LONG, Stage, read};
use crate::stream::metric;
use crate::support::broker::{Broker, Extras, runtime, shared};
use crate::support::leadsman::Serve;
use crate::support::postgres::{self, Postgres};
use crate::support::relay::{Mode, Relay};
use crate::support::router::Router;
use crate::support::{Case, DEADLINE, Need, Result, wait_until};
use crate::workers::{assigned, produce_evenly};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "network::a_partition_from_the_broker_costs_nothing",
        needs: &[Need::Broker, Need::Postgres],
        run: || broker_out_of_reach(Layer::Bytes),
    },
    Case {
        name: "network::a_broker_that_no_packet_reaches_costs_nothing",
        needs: &[Need::Broker, Need::Postgres, Need::Router],
        run: || broker_out_of_reach(Layer::Packets),
    },
    Case { name: "network::loss_and_delay_cost_nothing", needs: &[Need::Broker], run: || lossy(Layer::Bytes) },
    Case {
        name: "network::lost_packets_cost_nothing",
        needs: &[Need::Broker, Need::Router],
        run: || lossy(Layer::Packets),
    },
    Case {
        name: "network::a_partition_from_the_store_is_waited_for",
        needs: &[Need::Broker, Need::Postgres],
        run: || store_out_of_reach(Layer::Bytes),
    },
    Case {
        name: "network::a_store_that_no_packet_reaches_is_waited_for",
        needs: &[Need::Broker, Need::Postgres, Need::Router],
        run: || store_out_of_reach(Layer::Packets),
    },
    Case {
        name: "network::a_worker_without_its_store_is_replaced",
        needs: &[Need::Broker, Need::Postgres],
        run: store_out_of_reach_of_one,
    },
    Case {
        name: "network::a_restarted_postgresql_costs_nothing",
        needs: &[Need::Broker, Need::Postgres],
        run: postgresql_restarted,
    },
];

const BOOTSTRAP: &str = "LEADSMAN_KAFKA__BOOTSTRAP_SERVERS";
/// How long the store is out of reach: longer than its server lets a transaction stand still.
const PARTITION: Duration = Duration::from_secs(15);
/// By then an orchestrator must be told that a process cannot work.
const TOLD: Duration = Duration::from_secs(10);

/// Share of the packets that a lossy router loses in each direction: a bad network, and connections still get through.
const LOST: f64 = 0.1;

/// What a network may lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// Bytes that were taken over already, and connections: a relay, anywhere.
    Bytes,
    /// Packets, which TCP sends again: a router, where networks may be made.
    Packets,
}

/// The way from clients to a server.
struct Way {
    relay: Relay,
    router: Option<Router>,
}

impl Way {
    fn to(server: &Postgres, layer: Layer, seed: u64) -> Result<Self> {
        let (listener, router) = listen(layer)?;
        let relay = Relay::start(listener, format!("127.0.0.1:{}", server.port()), seed)?;
        Ok(Self { relay, router })
    }

    /// From now on.
    fn set(&self, mode: Mode) -> Result<()> {
        match &self.router {
            None => self.relay.set(mode),
            Some(router) => router.lose(match mode {
                Mode::Pass => 0.0,
                Mode::Lossy => LOST,
                Mode::Stall | Mode::Cut => 1.0,
            })?,
        }
        Ok(())
    }

    /// Connections or packets that were lost since the mode was set, so that a test can tell that there was something to bear.
    fn lost(&self) -> Result<u64> {
        self.router.as_ref().map_or_else(|| Ok(self.relay.lost()), Router::lost)
    }

    fn address(&self) -> SocketAddr {
        self.relay.address()
    }
}

/// A broker of one's own, and the way to a listener that sends its clients back on this way.
fn behind(layer: Layer, seed: u64) -> Result<(Broker, Way)> {
    let (listener, router) = listen(layer)?;
    let settings = format!(
        "\nadvertised.listeners=PLAINTEXT://@BROKER@,CONTROLLER://@CONTROLLER@,RELAYED://{}\n",
        listener.local_addr()?
    );
    let broker = Broker::start_with(&Extras { listeners: &["RELAYED"], settings, ..Extras::default() })?;
    let relay = Relay::start(listener, broker.further()[0].clone(), seed)?;
    Ok((broker, Way { relay, router }))
}

/// Where clients come in, behind a router if need be.
fn listen(layer: Layer) -> Result<(TcpListener, Option<Router>)> {
    Ok(match layer {
        Layer::Bytes => (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, None),
        Layer::Packets => {
            let router = Router::start()?;
            (router.listen()?, Some(router))
        }
    })
}

/// A worker that hears nothing of the broker any more is replaced, and comes back when it hears again.
fn broker_out_of_reach(layer: Layer) -> Result<()> {
    // Longer than any pause of the producer or of a hand-over: nothing may be closed before the log has ended.
    const IDLE: (&str, &str) = ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS", "10");
    // The attack begins a little later.
    const FIRST: usize = 10_400;
    let name = if layer == Layer::Bytes { "partitioned" } else { "unrouted" };
    let stage = Stage::new(name, 3)?;
    let (broker, way) = behind(layer, 1)?;
    stage.world.create_on(&broker)?;
    broker.create_topic(&stage.findings, 1)?;
    stage.world.produce_part_to(&broker, ..FIRST)?;
    let [first, second] = ["first", "second"].map(|name| stage.here.path().join(name));
    let server = postgres::shared()?;
    let url = server.url(&server.schema()?);
    for directory in [&first, &second] {
        std::fs::create_dir_all(directory)?;
        settings_of(directory, &url)?;
    }
    let settings = settings_of(&first, &url)?;
    let over = AtomicBool::new(false);
    let mut cut_off = stage.worker(&first, &[(BOOTSTRAP, &way.address().to_string()), IDLE])?;
    wait_until("the first part is read", LONG, || Ok((read(&cut_off) >= FIRST as f64).then_some(())))?;
    std::thread::scope(|scope| -> Result<()> {
        let producer = scope.spawn(|| produce_evenly(&broker, &stage.world, FIRST, &over));
        let played = || -> Result<()> {
            let amid_the_attack = FIRST as f64 + 700.0;
            wait_until("it is at work", LONG, || Ok((read(&cut_off) > amid_the_attack).then_some(())))?;
            way.set(Mode::Stall)?;
            let mut successor = stage.worker(&second, &[(BOOTSTRAP, broker.bootstrap()), IDLE])?;
            wait_until("it is replaced", DEADLINE, || Ok((assigned(&successor) == 3).then_some(())))?;
            wait_until("it knows that", DEADLINE, || {
                Ok(cut_off.process.stderr().contains("partitions lost").then_some(()))
            })?;
            assert_eq!(cut_off.http.get("/livez")?.status, 200, "a network that is away is no reason to die");
            let enough = (read(&successor) + 200.0).min(stage.world.len() as f64);
            wait_until("its successor is at work", DEADLINE, || Ok((read(&successor) >= enough).then_some(())))?;
            way.set(Mode::Pass)?;
            wait_until("it is a member again", DEADLINE, || {
                let shares = [assigned(&cut_off), assigned(&successor)];
                Ok((shares.iter().all(|share| *share > 0) && shares.iter().sum::<usize>() == 3).then_some(()))
            })?;
            assert_eq!(successor.process.stop()?, 0, "{}", successor.process.stderr());
            Ok(())
        };
        let played = played();
        over.store(true, Ordering::Relaxed);
        let produced = producer.join().map_err(|_| "the producer panicked")?;
        played?;
        stage.world.produce_part_to(&broker, produced?..)
    })?;
    stage.settles_on(&broker, &cut_off, &settings)?;
    assert_eq!(cut_off.process.stop()?, 0, "{}", cut_off.process.stderr());
    Ok(())
}

fn lossy(layer: Layer) -> Result<()> {
    let stage = Stage::new(if layer == Layer::Bytes { "lossy" } else { "lostpackets" }, 3)?;
    let (broker, way) = behind(layer, 2)?;
    broker.create_topic(&stage.findings, 1)?;
    stage.world.produce_to(&broker)?;
    way.set(Mode::Lossy)?;
    let settings = [
        (BOOTSTRAP, way.address().to_string()),
        // An answer that never gets through as a whole would be asked for for ever.
        ("LEADSMAN_KAFKA__PROPERTIES__MAX_PARTITION_FETCH_BYTES", "65536".to_owned()),
        ("LEADSMAN_KAFKA__PROPERTIES__RECONNECT_BACKOFF_MAX_MS", "200".to_owned()),
    ];
    let mut serve =
        stage.worker(stage.here.path(), &settings.each_ref().map(|(name, value)| (*name, value.as_str())))?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 500.0).then_some(())))?;
    // Then for two seconds nothing gets through at all.
    way.set(Mode::Cut)?;
    std::thread::sleep(Duration::from_secs(2));
    way.set(Mode::Lossy)?;
    stage.settles_on(&broker, &serve, &stage.sqlite()?)?;
    assert!(way.lost()? > 5, "only {} were lost", way.lost()?);
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    Ok(())
}

fn store_out_of_reach(layer: Layer) -> Result<()> {
    let stage = Stage::new(if layer == Layer::Bytes { "storeaway" } else { "storeunrouted" }, 3)?;
    let server = postgres::shared()?;
    let schema = server.schema()?;
    let way = Way::to(&server, layer, 3)?;
    let settings = settings_of(stage.here.path(), &server.url(&schema))?;
    // Beyond this machine, to do without encryption has to be asked for.
    settings_of(stage.here.path(), &(server.url_through(way.address(), &schema) + "&sslmode=disable"))?;
    stage.world.produce(..)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 500.0).then_some(())))?;
    way.set(Mode::Stall)?;
    let since = Instant::now();
    says_not_ready(&serve)?;
    wait_until("the partition lasts", DEADLINE, || {
        assert_eq!(serve.http.get("/livez")?.status, 200, "a store that is away is no reason to die");
        assert_eq!(serve.http.get("/readyz")?.status, 503);
        assert!(metric(&serve.http, "leadsman_events_total")? > 0.0, "metrics are needed most now");
        Ok((since.elapsed() > PARTITION).then_some(()))
    })?;
    way.set(Mode::Pass)?;
    wait_until("it is ready again", DEADLINE, || Ok((serve.http.get("/readyz")?.status == 200).then_some(())))?;
    stage.settles(&serve, &settings)?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    Ok(())
}

/// A worker that hears nothing of the store that the others work on leaves its partitions to them, those of the re-key
/// stage, too, and comes back when it hears again.
fn store_out_of_reach_of_one() -> Result<()> {
    const LEAVE: (&str, &str) = ("LEADSMAN_KAFKA__LEAVE_AFTER_SECONDS", "3");
    for rekeyed in [false, true] {
        let stage = Stage::new(if rekeyed { "storelostrekeyed" } else { "storelost" }, 3)?;
        let events = format!("{}.events", stage.findings);
        shared()?.create_topic(&events, 3)?;
        let rekey = [("LEADSMAN_KAFKA__REKEY", "true"), ("LEADSMAN_KAFKA__EVENTS_TOPIC", events.as_str())];
        let settings = |more: &[_]| [more, if rekeyed { rekey.as_slice() } else { &[] }].concat();
        let server = postgres::shared()?;
        let schema = server.schema()?;
        let way = Way::to(&server, Layer::Bytes, 4)?;
        let [first, second] = ["first", "second"].map(|name| stage.here.path().join(name));
        [&first, &second].into_iter().try_for_each(std::fs::create_dir_all)?;
        settings_of(&first, &server.url_through(way.address(), &schema))?;
        let direct = settings_of(&second, &server.url(&schema))?;
        stage.world.produce(..)?;
        let mut cut_off = stage.worker(&first, &settings(&[LEAVE]))?;
        wait_until("it is at work", LONG, || Ok((read(&cut_off) > 500.0).then_some(())))?;
        way.set(Mode::Stall)?;
        // It has the brokers still, so nobody else would take it for dead.
        let mut successor = stage.worker(&second, &settings(&[]))?;
        let all = if rekeyed { 6 } else { 3 };
        wait_until("it is replaced", LONG, || Ok((assigned(&successor) == all).then_some(())))?;
        assert_eq!(cut_off.http.get("/livez")?.status, 200, "a store that is away is no reason to die");
        assert_eq!(assigned(&cut_off), 0);
        assert!(cut_off.process.stderr().contains("left the consumer group"), "{}", cut_off.process.stderr());
        if rekeyed {
            // Every input is delivered and committed: no record was passed over when it changed hands.
            let runtime = runtime()?;
            let store = runtime.block_on(AnyStore::open(&direct))?;
            let topic = SourceId::new(format!("rekey:{}", stage.world.topic));
            wait_until("all is re-keyed", LONG, || {
                let stands = runtime.block_on(store.checkpoints())?.into_iter().filter(|at| at.source == topic);
                let ends: Vec<u64> = stands.map(|at| at.next_offset).collect();
                Ok((ends == stage.world.ends()).then_some(()))
            })?;
        } else {
            stage.settles(&successor, &direct)?;
        }
        way.set(Mode::Pass)?;
        wait_until("it is a member again", LONG, || {
            let shares = [assigned(&cut_off), assigned(&successor)];
            Ok((shares.iter().all(|share| *share > 0) && shares.iter().sum::<usize>() == all).then_some(()))
        })?;
        assert_eq!(successor.process.stop()?, 0, "{}", successor.process.stderr());
        wait_until("it has all", LONG, || Ok((assigned(&cut_off) == all).then_some(())))?;
        if !rekeyed {
            stage.settles(&cut_off, &direct)?;
        }
        assert_eq!(cut_off.process.stop()?, 0, "{}", cut_off.process.stderr());
    }
    Ok(())
}

/// Each answer comes in time as well: one that is waited for too long tells nothing.
fn says_not_ready(serve: &Serve) -> Result<()> {
    wait_until("it says that it is not ready", TOLD, || {
        Ok(serve.http.get("/readyz").is_ok_and(|answer| answer.status == 503).then_some(()))
    })
}

fn postgresql_restarted() -> Result<()> {
    let stage = Stage::new("restarted", 3)?;
    let mut server = Postgres::start()?;
    let settings = settings_of(stage.here.path(), &server.url(&server.schema()?))?;
    stage.world.produce(..)?;
    let mut serve = stage.worker(stage.here.path(), &[])?;
    wait_until("it is at work", LONG, || Ok((read(&serve) > 500.0).then_some(())))?;
    server.kill()?;
    says_not_ready(&serve)?;
    assert_eq!(serve.http.get("/livez")?.status, 200, "a store that is away is no reason to die");
    // Some attempts of the service fail while it is down.
    std::thread::sleep(Duration::from_secs(3));
    server.run()?;
    wait_until("it is ready again", DEADLINE, || Ok((serve.http.get("/readyz")?.status == 200).then_some(())))?;
    stage.settles(&serve, &settings)?;
    assert_eq!(serve.process.stop()?, 0, "{}", serve.process.stderr());
    Ok(())
}
