//! `leadsman serve`.

use std::time::Duration;

use anyhow::{Context, Result};
use leadsman_engine::Polarity;

use crate::cli::ServeArgs;
use crate::config::{Auth, Config};
use crate::model;
use crate::service::events::CertificatesRenewed;
use crate::service::partition::SnapshotPolicy;
use crate::service::rotation::Certificates;
use crate::service::runner::{Setup, start};
use crate::service::token::read_or_make;

use super::score::DEFAULT_MODEL;

/// Serves until SIGTERM or Ctrl-C, then drains. A second signal ends at once; every commit is crash-safe.
///
/// Errors: when something cannot be opened, or a part of the service fails.
pub fn run(args: &ServeArgs, config: &Config) -> Result<()> {
    let spec = config.detect.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let model = model::load(spec, &config.data_dir.join("models")).with_context(|| {
        format!("no usable model `{spec}`: train one with `leadsman train DATA`, or try --model {}", model::DEMO)
    })?;
    if model.fitted.is_learning() {
        tracing::warn!("the model was calibrated on less than a day: it is learning, and its scores stay low");
    }
    let rules = config.detect.rule_set()?;
    if !model.fitted.is_calibrated_with(&rules) {
        tracing::warn!("{}", model::OTHER_RULES);
    }
    std::fs::create_dir_all(&config.data_dir).with_context(|| format!("cannot make {}", config.data_dir.display()))?;
    let token_file = config.server.token_file.clone().unwrap_or_else(|| config.data_dir.join("token"));
    let token = match config.server.auth {
        Auth::Token => Some(read_or_make(&token_file)?),
        Auth::None => None,
    };
    let store = config.store.settings(&config.data_dir)?;
    let setup = || Setup {
        data_dir: config.data_dir.clone(),
        store: store.clone(),
        retention: config.store.keep,
        listen: config.server.listen,
        token: token.clone(),
        allowed_hosts: config.server.allowed_hosts.clone(),
        max_body: config.server.max_body,
        cluster: config.cluster.name.clone(),
        model: model.clone(),
        budget_per_day: config.detect.budget_per_day,
        polarity: Polarity::Normal,
        rules: rules.clone(),
        webhook: config.sources.webhook,
        files: if args.files.is_empty() { config.sources.files.clone() } else { args.files.clone() },
        lake: config.lake.clone(),
        kafka: config.kafka.clone(),
        accept_partitions: args.accept_partitions,
        snapshots: SnapshotPolicy { every: config.state.snapshot_every, records: config.state.snapshot_every_events },
        idle_after: config.sources.idle_after,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(async {
        let end = signal();
        tokio::pin!(end);
        loop {
            let mut certificates = config.kafka.as_ref().map(|kafka| Certificates::of(&kafka.properties));
            let running = start(setup()).await?;
            eprintln!("Leadsman serves on http://{}", running.address);
            match config.server.auth {
                Auth::Token => eprintln!("The API token is in {}", token_file.display()),
                Auth::None => eprintln!("The API is open to every program on this machine"),
            }
            let mut renewed = false;
            let renewal = async {
                match &mut certificates {
                    Some(certificates) => certificates.changed().await,
                    None => std::future::pending().await,
                }
            };
            let over = async {
                tokio::select! {
                    () = &mut end => {}
                    () = renewal => renewed = true,
                }
            };
            running.until(over).await?;
            if !renewed {
                return Ok(());
            }
            CertificatesRenewed.emit();
        }
    });
    // A call that hangs in a client or on a disk must not keep the process: every commit is crash-safe.
    runtime.shutdown_timeout(Duration::from_secs(2));
    served
}

/// Completes at the first SIGTERM or Ctrl-C; a second one ends the process.
pub async fn signal() {
    wait().await;
    tracing::info!("draining");
    tokio::spawn(async {
        wait().await;
        std::process::exit(130);
    });
}

async fn wait() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = terminate.recv() => {}
            // A missing Ctrl-C handler leaves SIGTERM.
            result = tokio::signal::ctrl_c() => if result.is_err() { terminate.recv().await; },
        },
        Err(error) => {
            tracing::error!(%error, "cannot listen for signals: ending");
        }
    }
}
