//! `leadsman explain`.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};
use leadsman_domain::{Finding, FindingId, Store, identifier};
use leadsman_store::{AnyStore, StoreSettings};
use serde::Deserialize;

use crate::cli::{ExplainArgs, Global};
use crate::config::Config;
use crate::exit::Exit;
use crate::output;

/// Prints one finding with its reasons.
///
/// Errors: when the id is malformed or unknown, or store or file cannot be read.
pub fn run(args: &ExplainArgs, global: &Global, config: &Config) -> Result<()> {
    let id: FindingId = args.id.parse().map_err(|e| Exit::Usage(format!("`{}` is {e}", args.id)))?;
    let finding = match &args.from {
        Some(path) => in_file(path, id)?,
        None => in_store(&config.store.settings(&config.data_dir)?, id)?,
    };
    let finding = finding.ok_or_else(|| Exit::Failed(format!("there is no finding {id} there")))?;
    if global.json { output::json(&finding) } else { output::text(&text(&finding)) }
}

fn in_store(settings: &StoreSettings, id: FindingId) -> Result<Option<Finding>> {
    if let Some(path) = settings.path().filter(|path| !path.exists()) {
        return Err(Exit::Failed(format!(
            "there is no store at {}: name the service's --data-dir, or the output of `score --json` with --from",
            path.display()
        ))
        .into());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let found = runtime.block_on(async { AnyStore::attach(settings).await?.finding(id).await })?;
    Ok(found.map(|(_, f)| f))
}

fn in_file(path: &Path, id: FindingId) -> Result<Option<Finding>> {
    #[derive(Deserialize)]
    struct Document {
        findings: Vec<Finding>,
    }
    let mut text = String::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text)?;
    } else {
        text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    }
    let document: Document = serde_json::from_str(&text).context("that is not the output of `score --json`")?;
    Ok(document.findings.into_iter().find(|f| f.id == id))
}

fn text(f: &Finding) -> String {
    let mut out = format!("{} {}  {}\n\n{}\n\n", f.score, f.severity, f.title, f.explanation.sentence);
    for c in &f.explanation.contributions {
        out.push_str(&format!("{:>+4}  {:<28} {}", c.points, c.id, c.observed));
        if let Some(b) = &c.baseline {
            out.push_str(&format!("  (own {:.3} in {:.0} days", b.own, b.own_days));
            if b.peers_of > 0 {
                out.push_str(&format!(", peers {} of {}", b.peers, b.peers_of));
            }
            out.push(')');
        }
        out.push('\n');
    }
    let r = &f.rarity;
    out.push_str(&format!(
        "\nBenign windows of {} look this strange about {} times a day ({} windows calibrate it{}).\n",
        r.stratum,
        r.per_day,
        r.calibration_n,
        if r.extrapolated { "; beyond all of them" } else { "" }
    ));
    if let Some(c) = &f.explanation.counterfactual {
        out.push_str(&format!("{} Its score would have been {}.\n", c.sentence, c.score_after));
    }
    for t in &f.techniques {
        out.push_str(&format!("ATT&CK v{} {} {}: {}\n", t.version, t.id, t.tactic, t.name));
    }
    for r in &f.rules {
        out.push_str(&format!("Rule {} ({}): {}\n", r.id, r.level.as_str(), identifier(&r.title)));
    }
    for l in &f.links {
        out.push_str(&format!("Linked by {}: {}.\n", l.kind, identifier(&l.id)));
    }
    for l in &f.limits {
        out.push_str(&format!("Not seen: {l}.\n"));
    }
    out.push_str(&format!(
        "Window {} to {}, {} events; model {} v{}; incident {}.\n",
        f.window.from, f.window.to, f.evidence.total, f.model.name, f.model.version, f.incident_id
    ));
    out
}
