//! `leadsman demo`: a simulated week of a cluster through the real service, with a staged attack, and an
//! account of what was found. Nothing in the account is scripted: it compares what the service stored with
//! the labels the simulator kept to itself.

mod account;
mod feed;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use leadsman_decode::DecodeContext;
use leadsman_detect::rules::RuleSet;
use leadsman_domain::{Finding, FindingQuery, Store, Timestamp};
use leadsman_engine::Polarity;
use leadsman_sim::{AttackPlan, Scenario, SimConfig, Simulation, Style};
use leadsman_store::StoreSettings;

use self::account::Account;
use crate::cli::{DemoArgs, Global};
use crate::config::{LakeConfig, STORE_FILE, StoreConfig};
use crate::exit::Exit;
use crate::service::partition::SnapshotPolicy;
use crate::service::runner::{INBOX, Running, Setup, start};
use crate::{model, output};

/// The built-in model was trained on the 28 days before.
const FIRST_DAY: u32 = 28;
const DAYS: u32 = 7;
/// Thursday morning of the simulated week.
const ATTACK_AT: &str = "2026-04-02T09:40:00Z";
/// Incidents a day that the demo allows itself: one a week.
const BUDGET: f64 = 1.0 / 7.0;
const CLUSTER: &str = "demo";
/// The paced demo shows its week in about this time.
const SHOW: Duration = Duration::from_secs(45);
/// What must be found for the demo to succeed, and how many false incidents it may have.
const MUST_DETECT: usize = 5;
const MAY_BE_FALSE: usize = 1;
/// The service must have worked everything off this long after the last record.
const SETTLE: Duration = Duration::from_secs(60);

/// Runs the demo.
///
/// Errors: when the service fails; [`Exit::Gate`] when too little was found or too much was claimed.
pub fn run(args: &DemoArgs, global: &Global) -> Result<()> {
    let attack = AttackPlan {
        scenario: Scenario::TokenTheft,
        style: Style::Paced,
        at: Timestamp::parse(ATTACK_AT).context("the attack's time is malformed")?,
    };
    let config = SimConfig {
        seed: args.seed,
        from_day: FIRST_DAY,
        days: DAYS,
        attack: (!args.no_attack).then_some(attack),
        ..SimConfig::default()
    };
    let simulation = Simulation::new(&config).map_err(|e| Exit::Usage(e.to_string()))?;
    let directory = TemporaryDirectory::new()?;
    let model = model::demo()?;
    let context = DecodeContext { cluster: CLUSTER.to_owned(), rules: model.fitted.rules.clone(), redaction_key: None };
    let setup = Setup {
        data_dir: directory.path.clone(),
        store: StoreSettings::Sqlite(directory.path.join(STORE_FILE)),
        retention: StoreConfig::default().keep,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, if args.headless { 0 } else { args.port })),
        token: None,
        allowed_hosts: Vec::new(),
        max_body: 64 << 20,
        cluster: CLUSTER.to_owned(),
        model,
        budget_per_day: BUDGET,
        rules: RuleSet::shipped()?,
        polarity: if args.negate_scores { Polarity::Negated } else { Polarity::Normal },
        webhook: true,
        files: Vec::new(),
        lake: LakeConfig::default(),
        kafka: None,
        accept_partitions: false,
        snapshots: SnapshotPolicy { every: Duration::from_secs(30), records: 200_000 },
        idle_after: Duration::from_millis(500),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let running = start_somewhere(setup).await?;
        let url = format!("http://{}", running.address);
        eprintln!("SIMULATED cluster, seed {}. The API is on {url}", args.seed);
        let begun = Instant::now();
        let pace = (!args.fast).then_some(SHOW);
        let feeding = feed::run(simulation, url.clone(), context, pace, global.progress);
        let fed = tokio::task::spawn_blocking(feeding).await??;
        let findings = settled(&running, fed.records).await?;
        let account = Account::new(&fed, &findings, begun.elapsed());
        if global.json {
            output::json(&account)?;
        } else {
            output::text(&account.to_string())?;
        }
        let gate = gate(&account, args.no_attack);
        if args.headless {
            running.stop().await?;
            return gate;
        }
        eprintln!("\nServing on. Try:\n  curl {url}/v1/findings\n  curl {url}/metrics\nCtrl-C ends the demo.");
        running.until(super::serve::signal()).await?;
        gate
    })
}

/// Takes a free port when the wanted one is busy.
async fn start_somewhere(setup: Setup) -> Result<Running> {
    let busy = tokio::net::TcpListener::bind(setup.listen).await.is_err();
    let listen = if busy { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) } else { setup.listen };
    start(Setup { listen, ..setup }).await
}

/// Waits until the service has worked off all `records` and closed every window; then reads all findings.
async fn settled(running: &Running, records: u64) -> Result<Vec<Finding>> {
    let store = &running.service.store;
    let deadline = Instant::now() + SETTLE;
    loop {
        let inbox = store.checkpoints().await?.into_iter().find(|c| c.source.as_str() == INBOX);
        // Windows that idleness closed are part of a snapshot that stands at the end.
        if inbox.is_some_and(|c| c.next_offset >= records && c.state_offset >= records) {
            break;
        }
        if Instant::now() > deadline {
            return Err(Exit::Failed("the service did not work its inbox off in time".to_owned()).into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut all = Vec::new();
    let mut before = None;
    loop {
        let page = store.findings(FindingQuery { limit: 1_000, before, ..FindingQuery::default() }).await?;
        all.extend(page.items.into_iter().map(|(_, f)| f));
        before = page.next;
        if before.is_none() {
            return Ok(all);
        }
    }
}

fn gate(account: &Account, no_attack: bool) -> Result<()> {
    if !no_attack && account.detected < MUST_DETECT {
        return Err(Exit::Gate(format!("only {} of {} stages were found", account.detected, account.total)).into());
    }
    if account.false_incidents > MAY_BE_FALSE {
        return Err(Exit::Gate(format!("{} incidents were false alarms", account.false_incidents)).into());
    }
    Ok(())
}

/// A directory of the demo's own, removed at the end.
struct TemporaryDirectory {
    path: std::path::PathBuf,
}

impl TemporaryDirectory {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("leadsman-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("could not remove {}: {error}", self.path.display());
        }
    }
}
