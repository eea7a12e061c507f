//! Finding, reading and writing models.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use leadsman_detect::{FittedModel, model};
use leadsman_domain::{ModelAlias, ModelManifest, ModelRef};
use leadsman_engine::{DataSummary, TrainReport, TrainSpec};
use leadsman_features::audit_schema;
use leadsman_store::{LoadedModel, ManifestDraft, ModelDirectory, ModelFiles, read_model, verify};

use crate::exit::Exit;

/// The model of the demo cluster, inside the binary. Trained on simulated data: useless anywhere else.
const DEMO_MANIFEST: &[u8] = include_bytes!("../../../models/demo/1/manifest.json");
const DEMO_WEIGHTS: &[u8] = include_bytes!("../../../models/demo/1/weights.bin");
/// Name under which the built-in demo model can be asked for.
pub const DEMO: &str = "builtin:demo";

/// What to say when a model meets other rules than those it was calibrated with.
pub const OTHER_RULES: &str = "the model was calibrated with other rules: its alert line may miss the budget until it \
                               is trained again";

/// A model that is ready to score.
#[derive(Clone)]
pub struct ReadyModel {
    /// What it is.
    pub manifest: ModelManifest,
    /// Its parts.
    pub fitted: Arc<FittedModel>,
}

impl ReadyModel {
    /// How findings refer to it.
    #[must_use]
    pub fn reference(&self) -> ModelRef {
        ModelRef {
            name: self.manifest.name.clone(),
            version: self.manifest.version,
            digest: self.manifest.weights_digest.clone(),
        }
    }

    fn new(manifest: ModelManifest, weights: &[u8]) -> Result<Self> {
        let whose = || format!("model {}/{}", manifest.name, manifest.version);
        let fitted = FittedModel::from_bytes(weights).with_context(whose)?;
        fitted.check_schema(&audit_schema()).with_context(whose)?;
        Ok(Self { manifest, fitted: Arc::new(fitted) })
    }
}

/// Loads a model by directory, by registry name (`NAME`, `NAME@challenger`, `NAME/3`), or [`DEMO`].
///
/// Errors: when it does not exist, or is refused before it is parsed because its digest is wrong.
pub fn load(spec: &str, registry: &Path) -> Result<ReadyModel> {
    if spec == DEMO {
        return demo();
    }
    let path = Path::new(spec);
    if path.join("manifest.json").exists() || path.is_absolute() || spec.starts_with('.') {
        return ready(read_model(path)?);
    }
    let models = ModelDirectory::new(registry);
    let loaded = if let Some((name, version)) = spec.split_once('/') {
        let version =
            version.parse().map_err(|_| Exit::Usage(format!("`{spec}`: a version is a number, as in NAME/3")))?;
        models.load(name, version)?
    } else {
        let (name, alias) = match spec.split_once('@') {
            None => (spec, ModelAlias::Champion),
            Some((name, "champion")) => (name, ModelAlias::Champion),
            Some((name, "challenger")) => (name, ModelAlias::Challenger),
            Some(_) => return Err(Exit::Usage(format!("`{spec}`: an alias is champion or challenger")).into()),
        };
        models.load_alias(name, alias)?
    };
    ready(loaded)
}

/// The built-in demo model.
///
/// Errors: when the binary was built with a damaged model.
pub fn demo() -> Result<ReadyModel> {
    let manifest = verify(DEMO_MANIFEST, DEMO_WEIGHTS)?;
    ReadyModel::new(manifest, DEMO_WEIGHTS)
}

fn ready(loaded: LoadedModel) -> Result<ReadyModel> {
    ReadyModel::new(loaded.manifest, &loaded.weights)
}

/// Puts a trained model into the registry. The first version of a name has nobody to challenge and becomes the
/// champion; every later one is a challenger: making it the champion is a decision of people.
///
/// Errors: when the registry cannot be written.
pub fn register(registry: &Path, files: &ModelFiles) -> Result<ModelManifest> {
    let models = ModelDirectory::new(registry);
    let manifest = models.put(files)?;
    let alias = if manifest.version == 1 { ModelAlias::Champion } else { ModelAlias::Challenger };
    models.set_alias(&manifest.name, alias, manifest.version)?;
    Ok(manifest)
}

/// The files of a freshly trained model. Nothing in them depends on the clock: the same data, seed and
/// release give the same bytes.
///
/// Errors: when the model cannot be encoded.
pub fn files(
    name: &str,
    fitted: &FittedModel,
    report: &TrainReport,
    spec: &TrainSpec,
    summary: &DataSummary,
) -> Result<ModelFiles> {
    let (data_from, data_to) = summary.span().context("the training data is empty")?;
    let draft = ManifestDraft {
        name: name.to_owned(),
        format: model::FORMAT,
        feature_schema: format!("{:032x}", fitted.schema_digest()),
        data_digest: summary.digest(),
        seed: spec.seed,
        trained_by: format!("leadsman {}", env!("CARGO_PKG_VERSION")),
        data_from,
        data_to,
        events: summary.events,
    };
    let card = card(name, report, spec, &draft);
    Ok(ModelFiles { weights: fitted.to_bytes()?, metrics: serde_json::to_value(report)?, card, draft })
}

fn card(name: &str, r: &TrainReport, spec: &TrainSpec, draft: &ManifestDraft) -> String {
    let groups: Vec<String> = r.peer_groups.iter().map(|(g, n)| format!("- {g}: {n}")).collect();
    let health = if r.health == "learning" {
        "\n**Learning.** Less than a day of data calibrates this model, so it cannot say how rare anything is: its \
         scores stay low. Train on at least two weeks.\n"
    } else {
        ""
    };
    format!(
        "# Model card: {name}\n{health}\n\
         ## What it is\n\
         Novelty of actors against their own history, their peers and the cluster; isolation forests over \
         {window}-second windows of actors and workloads; calibration of both. Detectors: {detectors}.\n\n\
         ## Data\n\
         {from} to {to}: {events} audit events and {samples} metric samples over {days:.2} days, digest \
         `{digest}`. It was not reviewed: what was going on then counts as normal.\n\n\
         ## Fit\n\
         {actors} actors; {fitted} windows fitted the forest (none of one entity above its quota), {calibration} \
         windows of the last {calibration_days:.2} days calibrate it and were not fitted on. Seed {seed}.\n\n\
         Peer groups:\n{groups}\n\n\
         ## Alert line\n\
         {lines}\n\n\
         ## Limits\n\
         - It knows only what the audit policy logged. Bodies that were not logged are unknown, not harmless.\n\
         - An attacker who was active during training is part of the baseline.\n\
         - Rarer than once in ten calibration periods cannot be claimed.\n",
        window = spec.window.as_secs(),
        detectors = spec.detectors,
        from = draft.data_from,
        to = draft.data_to,
        events = r.events,
        samples = r.samples,
        days = r.days,
        digest = draft.data_digest,
        actors = r.actors,
        fitted = r.fitted_windows,
        calibration = r.calibration_windows,
        calibration_days = r.calibration_days,
        seed = spec.seed,
        groups = groups.join("\n"),
        lines = r.alert_line.iter().map(|(b, s)| format!("- {b}: score {s}")).collect::<Vec<_>>().join("\n"),
    )
}
