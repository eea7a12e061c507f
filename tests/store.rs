//! The service on a real PostgreSQL server.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::{json, leadsman};
use crate::simulated::{ATTACK_DAY, audit, lines};
use crate::stream::{becomes, metric, offline, post, serve};
use crate::support::leadsman::run;
use crate::support::postgres::{Postgres, shared};
use crate::support::{Case, DEADLINE, Need, Result, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "store::findings_survive_a_kill_of_postgresql_and_of_the_service",
        needs: &[Need::Postgres],
        run: survives,
    },
    Case { name: "store::doctor_opens_the_configured_database", needs: &[Need::Postgres], run: doctor },
];

/// What `leadsman` reads as its configuration file in `directory`.
fn configure(directory: &Path, url: &str) -> Result<()> {
    Ok(std::fs::write(directory.join("leadsman.toml"), format!("[store]\nurl = \"{url}\"\n"))?)
}

fn survives() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let directory = TempDir::new()?;
    let wanted = offline(directory.path(), &lines(&events))?;
    assert!(wanted.len() >= 4, "the attack must be visible: {wanted:#?}");
    let mut database = Postgres::start()?;
    configure(directory.path(), &database.url(&database.schema()?))?;
    let mut before = serve(directory.path(), &[], "4", &[])?;
    post(&before.http, &events[..8_000])?;
    wait_until("a part is committed", DEADLINE, || {
        Ok((metric(&before.http, "leadsman_events_total")? >= 2_000.0).then_some(()))
    })?;
    database.kill()?;
    // What is posted meanwhile is durable in the inbox, and waits.
    post(&before.http, &events[8_000..12_000])?;
    wait_until("the service says that it is not ready", DEADLINE, || {
        Ok((before.http.get("/readyz")?.status == 503).then_some(()))
    })?;
    database.run()?;
    wait_until("the service is ready again", DEADLINE, || {
        Ok((before.http.get("/readyz")?.status == 200).then_some(()))
    })?;
    before.process.signal("KILL")?;
    before.process.wait(DEADLINE)?;
    let after = serve(directory.path(), &[], "4", &[])?;
    post(&after.http, &events[12_000..])?;
    becomes(&after.http, &wanted)?;
    assert!(!directory.path().join("state/leadsman.db").exists(), "it went to the database");
    Ok(())
}

fn doctor() -> Result<()> {
    let directory = TempDir::new()?;
    let here = directory.path();
    let database = shared()?;
    let schema = database.schema()?;
    let url = database.url(&schema);
    let verdict = || -> Result<Value> {
        let variables = [("LEADSMAN_DETECT__MODEL", "builtin:demo")];
        let output = run(&["doctor", "--json"], here, &variables, b"", DEADLINE)?;
        assert!(!output.stdout.contains("secret"), "a password is shown: {}", output.stdout);
        let checks = json(&output)?["checks"].clone();
        let store = checks.as_array().and_then(|checks| checks.iter().find(|check| check["check"] == "store"));
        Ok(store.ok_or("the store is not checked")?.clone())
    };
    configure(here, &url)?;
    assert_eq!(verdict()?["verdict"], "ok");
    let tables = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'");
    assert_eq!(database.sql(&tables)?, "0", "it looks and makes nothing");
    configure(here, &url.replace("/postgres?", "/nowhere?"))?;
    let missing = verdict()?;
    assert_eq!(missing["verdict"], "fail");
    assert!(missing["detail"].as_str().is_some_and(|text| text.contains("create the database")), "{missing}");

    let shown = leadsman(here, &["config", "show"])?.stdout;
    assert!(shown.contains("url = \"postgres://leadsman:(redacted)@127.0.0.1"), "{shown}");
    std::fs::write(here.join("password"), "wrong\n")?;
    configure(here, &format!("{url}\"\npassword_file = \"password"))?;
    assert!(verdict()?["detail"].as_str().is_some_and(|text| text.contains("pg_hba.conf")), "the file goes first");
    Ok(())
}
