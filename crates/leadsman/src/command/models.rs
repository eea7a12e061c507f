//! `leadsman models`.

use anyhow::Result;
use leadsman_domain::ModelAlias;
use leadsman_store::{LoadedModel, ModelDirectory, read_model};
use serde_json::json;

use crate::cli::{Global, ModelsCommand};
use crate::config::Config;
use crate::{model, output};

/// Lists or shows models.
///
/// Errors: when the registry or the model cannot be read.
pub fn run(command: &ModelsCommand, global: &Global, config: &Config) -> Result<()> {
    let registry = config.data_dir.join("models");
    match command {
        ModelsCommand::List => list(&ModelDirectory::new(registry), global),
        ModelsCommand::Show { model: spec } => show(spec, &registry, global),
    }
}

fn list(models: &ModelDirectory, global: &Global) -> Result<()> {
    let all = models.list()?;
    if global.json {
        return output::json(&json!({"schema": "leadsman.models/v1", "items": all}));
    }
    if all.is_empty() {
        eprintln!("No models yet: `leadsman train DATA` makes one. The demo model is `{}`.", model::DEMO);
        return Ok(());
    }
    let rows = all
        .iter()
        .map(|m| {
            let aliases: Vec<String> = m.aliases.iter().map(ModelAlias::to_string).collect();
            let f = &m.manifest;
            vec![
                f.name.clone(),
                f.version.to_string(),
                aliases.join(", "),
                f.events.to_string(),
                format!("{} to {}", f.data_from, f.data_to),
                f.weights_digest.chars().take(12).collect(),
            ]
        })
        .collect();
    output::table(&["NAME", "VERSION", "ALIASES", "EVENTS", "DATA", "DIGEST"], rows)
}

fn show(spec: &str, registry: &std::path::Path, global: &Global) -> Result<()> {
    let ready = model::load(spec, registry)?;
    let loaded: Option<LoadedModel> = if spec == model::DEMO {
        None
    } else {
        let m = &ready.manifest;
        let path = std::path::Path::new(spec);
        Some(if path.join("manifest.json").exists() {
            read_model(path)?
        } else {
            ModelDirectory::new(registry).load(&m.name, m.version)?
        })
    };
    let metrics = loaded.as_ref().map(|l| &l.metrics);
    if global.json {
        return output::json(&json!({"schema": "leadsman.model/v1", "manifest": ready.manifest, "metrics": metrics}));
    }
    output::text(&serde_json::to_string_pretty(&ready.manifest)?)?;
    match loaded {
        Some(l) => output::text(&format!("\n{}", l.card)),
        None => Ok(()),
    }
}
