//! The manifest file and the checks that stand between a file and its parser.
//!
//! `manifest.json` is the JSON of [`ModelManifest`] with one more field at its end, `manifest_digest`: the
//! BLAKE3 digest of all bytes before it. So one changed byte anywhere is found before any field is believed.

use leadsman_domain::{ModelManifest, Untrusted};
use serde::Deserialize;
use serde_json::Value;

use super::error::{Fault, RegistryError};
use super::{MAX_TEXT_BYTES, MAX_WEIGHTS_BYTES};

/// The schema that manifests of this release follow.
pub const MANIFEST_SCHEMA: &str = "leadsman.model/v1";
/// The first bytes of every weights file.
pub const WEIGHTS_MAGIC: &[u8; 8] = b"LDSMODEL";

pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const WEIGHTS: &str = "weights.bin";

/// Checks a model that is not in a directory, such as one embedded in the binary.
///
/// Nothing of the weights is parsed; when this returns, they are the bytes that training wrote.
///
/// Errors: `Foreign` or `Corrupt`, as for [`read_model`](super::read_model).
pub fn verify(manifest_json: &[u8], weights: &[u8]) -> Result<ModelManifest, RegistryError> {
    verify_as("embedded in the program", manifest_json, weights)
}

pub(super) fn verify_as(model: &str, manifest_json: &[u8], weights: &[u8]) -> Result<ModelManifest, RegistryError> {
    let manifest = open_manifest(manifest_json).map_err(|fault| RegistryError::of(model, MANIFEST, fault))?;
    check_weights(&manifest, weights).map_err(|fault| RegistryError::of(model, WEIGHTS, fault))?;
    Ok(manifest)
}

/// The manifest as it is written to disk.
pub(super) fn seal_manifest(manifest: &ModelManifest) -> Result<Vec<u8>, Fault> {
    let mut text = serde_json::to_string_pretty(manifest)?;
    // The seal closes the object itself.
    let body = text.trim_end_matches("\n}").len();
    text.truncate(body);
    let seal = seal_of(text.as_bytes());
    text.push_str(&seal);
    Ok(text.into_bytes())
}

/// Reads a manifest: size, then schema, then digest, then everything else.
pub(super) fn open_manifest(bytes: &[u8]) -> Result<ModelManifest, Fault> {
    let size = bytes.len() as u64;
    if size > MAX_TEXT_BYTES {
        return Err(Fault::TooLarge { found: size, limit: MAX_TEXT_BYTES });
    }
    // The schema comes first because it says how the rest is protected: a later one may do it otherwise.
    check_schema(bytes)?;
    let body_len = bytes.len().checked_sub(seal_of(b"").len()).ok_or(Fault::Digest)?;
    let (body, seal) = bytes.split_at(body_len);
    if seal != seal_of(body).as_bytes() {
        return Err(Fault::Digest);
    }
    let mut value: Value = serde_json::from_slice(bytes)?;
    if let Some(object) = value.as_object_mut() {
        object.remove("manifest_digest");
    }
    let manifest: ModelManifest = serde_json::from_value(value)?;
    if manifest.version == 0 || !is_model_name(&manifest.name) {
        return Err(Fault::Identity);
    }
    Ok(manifest)
}

pub(super) fn check_weights(manifest: &ModelManifest, weights: &[u8]) -> Result<(), Fault> {
    check_weights_size(manifest, weights.len() as u64)?;
    // Before the digest: a stranger's file is named as such whatever its digest.
    if !weights.starts_with(WEIGHTS_MAGIC) {
        return Err(Fault::Magic);
    }
    if blake3::hash(weights).to_hex().as_str() != manifest.weights_digest {
        return Err(Fault::Digest);
    }
    Ok(())
}

pub(super) fn check_weights_size(manifest: &ModelManifest, found: u64) -> Result<(), Fault> {
    if found > MAX_WEIGHTS_BYTES {
        return Err(Fault::TooLarge { found, limit: MAX_WEIGHTS_BYTES });
    }
    if found != manifest.weights_bytes {
        return Err(Fault::Size { found, expected: manifest.weights_bytes });
    }
    Ok(())
}

/// `[a-z0-9][a-z0-9-]{0,62}`: a directory name on every system, never `.`, `..` or hidden.
pub(super) fn is_model_name(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 63
        && name.bytes().next().is_some_and(alphanumeric)
        && name.bytes().all(|b| alphanumeric(b) || b == b'-')
}

fn check_schema(bytes: &[u8]) -> Result<(), Fault> {
    #[derive(Deserialize)]
    struct Head {
        schema: Option<String>,
    }
    let head: Head = serde_json::from_slice(bytes)?;
    match head.schema {
        Some(schema) if schema == MANIFEST_SCHEMA => Ok(()),
        Some(schema) => Err(Fault::Schema(Untrusted::new(schema))),
        None => Err(Fault::NoSchema),
    }
}

/// The end of a manifest file whose beginning is `body`; its length does not depend on `body`.
fn seal_of(body: &[u8]) -> String {
    format!(",\n  \"manifest_digest\": \"{}\"\n}}\n", blake3::hash(body).to_hex())
}
