//! `leadsman doctor`: what is wrong with the set-up, in one list.

mod certificates;
mod clock;
mod disk;
mod kafka;
mod model;
mod policy;
mod position;

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};
use leadsman_domain::{Checkpoint, StoreError};
use leadsman_store::AnyStore;
use serde::Serialize;
use serde_json::json;

use super::score::DEFAULT_MODEL;
use crate::cli::Global;
use crate::config::Config;
use crate::exit::Exit;
use crate::output;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    check: &'static str,
    verdict: Verdict,
    /// What was found; of what is not well, what to do as well.
    detail: String,
}

/// Checks the set-up. The only thing it leaves behind is the data directory, if there was none.
///
/// Errors: [`Exit::Failed`] when a check fails.
pub fn run(global: &Global, config: &Config) -> Result<()> {
    let mut checks = disk::checks(&config.data_dir);
    checks.push(port(config));
    let (found, checkpoints) = store(config);
    checks.push(found);
    let spec = config.detect.model.as_deref().unwrap_or(DEFAULT_MODEL);
    let mut trained_to = None;
    match crate::model::load(spec, &config.data_dir.join("models")) {
        Ok(m) => {
            checks.push(model::model_health(&m));
            checks.push(model::polarity(&m));
            checks.push(model::rules(&m, config));
            // The built-in model knows a simulated cluster, whose days are made up.
            trained_to = (spec != crate::model::DEMO).then_some(m.manifest.data_to);
        }
        Err(e) => checks.push(check("model", Verdict::Fail, format!("`{spec}`: {e:#}"))),
    }
    for path in &config.sources.files {
        checks.push(tail(path));
        checks.extend(policy::of_file(path));
    }
    let mut newest = Vec::new();
    if let Some(settings) = &config.kafka {
        checks.extend(certificates::checks(&settings.properties, crate::clock::now()));
        let seen = kafka::look(settings);
        checks.extend(seen.checks);
        checks.extend(position::checks(&seen.topics, &checkpoints));
        newest = seen.newest;
    }
    checks.push(clock::check_clock(crate::clock::now(), trained_to, &newest));
    if global.json {
        output::json(&json!({"schema": "leadsman.doctor/v1", "checks": checks}))?;
    } else {
        for c in &checks {
            let verdict = match c.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Fail => "fail",
            };
            output::text(&format!("{verdict}  {:<10} {}", c.check, c.detail))?;
        }
    }
    let failed = checks.iter().filter(|c| c.verdict == Verdict::Fail).count();
    if failed == 0 { Ok(()) } else { Err(Exit::Failed(format!("{failed} checks failed")).into()) }
}

fn check(name: &'static str, verdict: Verdict, detail: impl Into<String>) -> Check {
    Check { check: name, verdict, detail: detail.into() }
}

fn port(config: &Config) -> Check {
    match std::net::TcpListener::bind(config.server.listen) {
        Ok(_) => check("listen", Verdict::Ok, format!("{} is free", config.server.listen)),
        Err(e) => check(
            "listen",
            Verdict::Warn,
            format!("{} cannot be taken ({e}); fine if leadsman is running there", config.server.listen),
        ),
    }
}

/// Whether the store opens, and where each partition stands in it.
fn store(config: &Config) -> (Check, Vec<Checkpoint>) {
    let open = || -> Result<(Check, Vec<Checkpoint>)> {
        let settings = config.store.settings(&config.data_dir)?;
        if settings.path().is_some_and(|path| !path.exists()) {
            return Ok((
                check("store", Verdict::Ok, format!("{settings} will be made at the first start")),
                Vec::new(),
            ));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let look = async { AnyStore::attach(&settings).await?.checkpoints().await };
        let checkpoints = match runtime.block_on(look) {
            Err(StoreError::OlderSchema { found: 0, .. }) => {
                let made = format!("{settings} has no tables of leadsman yet; they are made at the first start");
                return Ok((check("store", Verdict::Ok, made), Vec::new()));
            }
            Err(older @ StoreError::OlderSchema { .. }) => {
                return Ok((check("store", Verdict::Warn, format!("{settings}: {older}")), Vec::new()));
            }
            other => other.with_context(|| settings.to_string())?,
        };
        let opens = format!("{settings} opens, and knows {} partitions", checkpoints.len());
        Ok((check("store", Verdict::Ok, opens), checkpoints))
    };
    open().unwrap_or_else(|e| (check("store", Verdict::Fail, format!("{e:#}")), Vec::new()))
}

fn tail(path: &Path) -> Check {
    match std::fs::metadata(path) {
        Ok(_) => check("tail", Verdict::Ok, format!("{} can be read", path.display())),
        Err(e) => check("tail", Verdict::Warn, format!("{} is not there yet: {e}", path.display())),
    }
}
