//! One model in one directory.

use std::fs;
use std::path::Path;

use leadsman_domain::{ModelManifest, Timestamp, Untrusted};
use serde_json::Value;

use super::error::{Fault, RegistryError};
use super::files::{ModelFile, io_error, look_at_directory, parent_of, write_directory};
use super::manifest::{
    MANIFEST, MANIFEST_SCHEMA, WEIGHTS, check_weights, check_weights_size, is_model_name, open_manifest, seal_manifest,
    verify_as,
};
use super::{MAX_TEXT_BYTES, MAX_WEIGHTS_BYTES};

const METRICS: &str = "metrics.json";
const CARD: &str = "MODEL_CARD.md";

/// What training hands over: all of a manifest but what the registry fills in (schema, version, digest and
/// size of the weights). The fields mean what they mean in [`ModelManifest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestDraft {
    /// Model name: `[a-z0-9][a-z0-9-]{0,62}`.
    pub name: String,
    /// Format of the weights file.
    pub format: u32,
    /// Digest of the feature schemas, hexadecimal.
    pub feature_schema: String,
    /// BLAKE3 digest of the training data, hexadecimal.
    pub data_digest: String,
    /// Seed of the training run.
    pub seed: u64,
    /// Release that trained it.
    pub trained_by: String,
    /// Event time of the first training event.
    pub data_from: Timestamp,
    /// Event time of the last training event.
    pub data_to: Timestamp,
    /// Events trained and calibrated on.
    pub events: u64,
}

/// A model to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFiles {
    /// The weights; they begin with [`WEIGHTS_MAGIC`](super::WEIGHTS_MAGIC).
    pub weights: Vec<u8>,
    /// How well it did in evaluation.
    pub metrics: Value,
    /// The model card, in Markdown.
    pub card: String,
    /// What it was made from.
    pub draft: ManifestDraft,
}

/// A model whose manifest and weights are what training wrote. `metrics` and `card` are for people: their
/// size and form are checked, their content is not.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedModel {
    /// What it is and what it was made from.
    pub manifest: ModelManifest,
    /// The weights, still unparsed.
    pub weights: Vec<u8>,
    /// How well it did in evaluation.
    pub metrics: Value,
    /// The model card, in Markdown.
    pub card: String,
}

/// Writes one model as the directory `dir`, creating parents: all files or none, on disk when it returns.
///
/// The same input gives the same bytes: nothing here reads a clock. An empty `dir` is filled; one that holds
/// something is left alone.
///
/// Errors: `BadName`, `BadVersion`, `Exists`, `Io`; `Unwritable` for a model that
/// [`read_model`] would refuse.
pub fn write_model(dir: &Path, files: &ModelFiles, version: u64) -> Result<ModelManifest, RegistryError> {
    write_as(&dir.display().to_string(), dir, files, version)
}

/// Reads the model in the directory `dir`.
///
/// Manifest and weights are verified before either is parsed further: size, schema, digest, magic bytes.
/// Symbolic links are refused, `dir` included.
///
/// Errors: `NotFound` when `dir` does not exist, `Foreign` for something else than a model of this release,
/// `Corrupt` for a model that changed after training, `Io`.
pub fn read_model(dir: &Path) -> Result<LoadedModel, RegistryError> {
    read_as(&dir.display().to_string(), dir)
}

pub(super) fn write_as(
    model: &str,
    dir: &Path,
    files: &ModelFiles,
    version: u64,
) -> Result<ModelManifest, RegistryError> {
    let name = &files.draft.name;
    check_name(name)?;
    if version == 0 {
        return Err(RegistryError::BadVersion { name: name.clone(), version });
    }
    let manifest = manifest_of(files, version);
    let refuse = |file| move |fault| unwritable(model, file, fault);
    let sealed = seal_manifest(&manifest).map_err(refuse(MANIFEST))?;
    let mut metrics = serde_json::to_vec_pretty(&files.metrics).map_err(|e| unwritable(model, METRICS, e.into()))?;
    metrics.push(b'\n');
    let card = files.card.as_bytes();
    // Whatever reading would refuse is refused now, while it can still be trained again.
    let reread = open_manifest(&sealed).map_err(refuse(MANIFEST))?;
    check_weights(&reread, &files.weights).map_err(refuse(WEIGHTS))?;
    check_text_size(&metrics).map_err(refuse(METRICS))?;
    check_text_size(card).map_err(refuse(CARD))?;

    let parent = parent_of(dir);
    fs::create_dir_all(parent).map_err(io_error("create", parent))?;
    let contents = [(MANIFEST, &*sealed), (WEIGHTS, &*files.weights), (METRICS, &*metrics), (CARD, card)];
    if write_directory(dir, &contents)? { Ok(manifest) } else { Err(RegistryError::Exists { model: model.to_owned() }) }
}

pub(super) fn read_as(model: &str, dir: &Path) -> Result<LoadedModel, RegistryError> {
    check_directory(model, dir)?;
    let sealed = read_file(model, dir, MANIFEST, MAX_TEXT_BYTES)?;
    let manifest = open_manifest(&sealed).map_err(|fault| RegistryError::of(model, MANIFEST, fault))?;
    // The size is compared before anything of that size is allocated.
    check_size_on_disk(model, dir, &manifest)?;
    let weights = read_file(model, dir, WEIGHTS, MAX_WEIGHTS_BYTES)?;
    let manifest = verify_as(model, &sealed, &weights)?;
    let metrics = read_file(model, dir, METRICS, MAX_TEXT_BYTES)?;
    let metrics = serde_json::from_slice(&metrics).map_err(|e| RegistryError::of(model, METRICS, e.into()))?;
    let card = String::from_utf8(read_file(model, dir, CARD, MAX_TEXT_BYTES)?)
        .map_err(|_| RegistryError::of(model, CARD, Fault::NotText))?;
    Ok(LoadedModel { manifest, weights, metrics, card })
}

/// The manifest alone, verified; of the weights only the size is looked at.
pub(super) fn read_manifest(model: &str, dir: &Path) -> Result<ModelManifest, RegistryError> {
    check_directory(model, dir)?;
    let sealed = read_file(model, dir, MANIFEST, MAX_TEXT_BYTES)?;
    let manifest = open_manifest(&sealed).map_err(|fault| RegistryError::of(model, MANIFEST, fault))?;
    check_size_on_disk(model, dir, &manifest)?;
    Ok(manifest)
}

pub(super) fn check_name(name: &str) -> Result<(), RegistryError> {
    if is_model_name(name) { Ok(()) } else { Err(RegistryError::BadName(Untrusted::new(name))) }
}

/// Errors: `NotFound` when nothing is there, `Corrupt` when it is a link or a file.
pub(super) fn check_directory(model: &str, dir: &Path) -> Result<(), RegistryError> {
    look_at_directory(dir)?.map_err(|fault| {
        if matches!(fault, Fault::Missing) {
            RegistryError::NotFound { model: model.to_owned() }
        } else {
            RegistryError::of(model, "its directory", fault)
        }
    })
}

pub(super) fn read_file(model: &str, dir: &Path, file: &'static str, limit: u64) -> Result<Vec<u8>, RegistryError> {
    let fault = |fault| RegistryError::of(model, file, fault);
    ModelFile::look(dir, file)?.map_err(fault)?.read(limit)?.map_err(fault)
}

fn check_size_on_disk(model: &str, dir: &Path, manifest: &ModelManifest) -> Result<(), RegistryError> {
    let fault = |fault| RegistryError::of(model, WEIGHTS, fault);
    let weights = ModelFile::look(dir, WEIGHTS)?.map_err(fault)?;
    check_weights_size(manifest, weights.len()).map_err(fault)
}

fn check_text_size(bytes: &[u8]) -> Result<(), Fault> {
    let found = bytes.len() as u64;
    if found > MAX_TEXT_BYTES { Err(Fault::TooLarge { found, limit: MAX_TEXT_BYTES }) } else { Ok(()) }
}

fn unwritable(model: &str, file: &'static str, fault: Fault) -> RegistryError {
    RegistryError::Unwritable { model: model.to_owned(), file, fault }
}

fn manifest_of(files: &ModelFiles, version: u64) -> ModelManifest {
    let draft = files.draft.clone();
    ModelManifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        name: draft.name,
        version,
        format: draft.format,
        weights_digest: blake3::hash(&files.weights).to_hex().to_string(),
        weights_bytes: files.weights.len() as u64,
        feature_schema: draft.feature_schema,
        data_digest: draft.data_digest,
        seed: draft.seed,
        trained_by: draft.trained_by,
        data_from: draft.data_from,
        data_to: draft.data_to,
        events: draft.events,
    }
}
