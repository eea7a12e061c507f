//! All models below one root.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use leadsman_domain::{ModelAlias, ModelManifest, ModelSummary};
use serde::{Deserialize, Serialize};

use super::MAX_TEXT_BYTES;
use super::error::{Fault, RegistryError};
use super::files::{ModelFile, io_error, look_at_directory, replace_file};
use super::manifest::{MANIFEST, is_model_name};
use super::model::{LoadedModel, ModelFiles, check_directory, check_name, read_as, read_file, read_manifest, write_as};

const ALIASES: &str = "aliases.json";
const LOCK: &str = ".lock";

/// The model registry: a directory that people can list, copy and back up.
///
/// Methods block on the disk. Reading takes no lock and works on a read-only disk; writers of one model,
/// in any process, take turns. The root itself may be a symbolic link, nothing below it.
#[derive(Debug, Clone)]
pub struct ModelDirectory {
    root: PathBuf,
}

/// `aliases.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Aliases {
    #[serde(skip_serializing_if = "Option::is_none")]
    champion: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenger: Option<u64>,
}

impl ModelDirectory {
    /// The registry below `root`, which is created with the first model.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Stores a model as the next version of its name: one above the highest there is.
    ///
    /// Errors: those of [`write_model`](super::write_model).
    pub fn put(&self, files: &ModelFiles) -> Result<ModelManifest, RegistryError> {
        let name = &files.draft.name;
        let dir = self.model_path(name)?;
        fs::create_dir_all(&self.root).map_err(io_error("create", &self.root))?;
        match look_at_directory(&dir)? {
            Err(Fault::Missing) => create_directory(&dir)?,
            Err(fault) => return Err(RegistryError::of(name, "its directory", fault)),
            Ok(()) => {}
        }
        let _lock = lock(name, &dir)?;
        let last = versions(&dir)?.into_iter().max().unwrap_or(0);
        let version = last.checked_add(1).ok_or(RegistryError::BadVersion { name: name.clone(), version: last })?;
        write_as(&format!("{name}/{version}"), &dir.join(version.to_string()), files, version)
    }

    /// All versions of all models, by name and version.
    ///
    /// Manifests are verified; of the weights only the size is, because reading them all takes long. What is
    /// not named like a model or a version is not ours and is passed over (`lost+found`, say).
    ///
    /// Errors: one broken model fails the list and is named: leaving it out would hide it.
    pub fn list(&self) -> Result<Vec<ModelSummary>, RegistryError> {
        let mut models = Vec::new();
        for name in names(&self.root)? {
            let dir = self.root.join(&name);
            let aliases = read_aliases(&name, &dir)?;
            let mut numbers = versions(&dir)?;
            numbers.sort_unstable();
            for version in numbers {
                let (model, path) = (format!("{name}/{version}"), dir.join(version.to_string()));
                let manifest = read_manifest(&model, &path)?;
                check_place(&model, &manifest)?;
                models.push(ModelSummary { manifest, aliases: aliases.of(version) });
            }
        }
        Ok(models)
    }

    /// Reads one version, as [`read_model`](super::read_model) does.
    ///
    /// Errors: in addition `Corrupt` when the manifest describes another name or version.
    pub fn load(&self, name: &str, version: u64) -> Result<LoadedModel, RegistryError> {
        let dir = self.model_path(name)?;
        let model = format!("{name}/{version}");
        check_directory(name, &dir)?;
        let loaded = read_as(&model, &dir.join(version.to_string()))?;
        check_place(&model, &loaded.manifest)?;
        Ok(loaded)
    }

    /// The version that an alias points to.
    ///
    /// Errors: `NotFound` when there is no such model, `NoAlias` when it has no such alias.
    pub fn resolve(&self, name: &str, alias: ModelAlias) -> Result<u64, RegistryError> {
        let dir = self.model_path(name)?;
        check_directory(name, &dir)?;
        let aliases = read_aliases(name, &dir)?;
        aliases.get(alias).ok_or_else(|| RegistryError::NoAlias { name: name.to_owned(), alias })
    }

    /// Reads the version that an alias points to.
    pub fn load_alias(&self, name: &str, alias: ModelAlias) -> Result<LoadedModel, RegistryError> {
        self.load(name, self.resolve(name, alias)?)
    }

    /// Points an alias to a version, in one step: readers see the old or the new.
    ///
    /// Errors: those of [`load`](Self::load): an alias is never set to a model that could not be loaded.
    pub fn set_alias(&self, name: &str, alias: ModelAlias, version: u64) -> Result<(), RegistryError> {
        self.load(name, version)?;
        let dir = self.model_path(name)?;
        let _lock = lock(name, &dir)?;
        let mut aliases = read_aliases(name, &dir)?;
        aliases.set(alias, version);
        let unreadable = |error: serde_json::Error| RegistryError::of(name, ALIASES, error.into());
        let mut bytes = serde_json::to_vec(&aliases).map_err(unreadable)?;
        bytes.push(b'\n');
        replace_file(&dir.join(ALIASES), &bytes)
    }

    fn model_path(&self, name: &str) -> Result<PathBuf, RegistryError> {
        // The one place where a caller's text becomes part of a path.
        check_name(name)?;
        Ok(self.root.join(name))
    }
}

// === impl Aliases ===

impl Aliases {
    fn get(&self, alias: ModelAlias) -> Option<u64> {
        match alias {
            ModelAlias::Champion => self.champion,
            ModelAlias::Challenger => self.challenger,
        }
    }

    fn set(&mut self, alias: ModelAlias, version: u64) {
        match alias {
            ModelAlias::Champion => self.champion = Some(version),
            ModelAlias::Challenger => self.challenger = Some(version),
        }
    }

    fn of(&self, version: u64) -> Vec<ModelAlias> {
        let all = [ModelAlias::Champion, ModelAlias::Challenger];
        all.into_iter().filter(|alias| self.get(*alias) == Some(version)).collect()
    }
}

/// No file means no alias was set yet; a file that cannot be read is an error.
fn read_aliases(name: &str, dir: &Path) -> Result<Aliases, RegistryError> {
    if let Err(Fault::Missing) = ModelFile::look(dir, ALIASES)? {
        return Ok(Aliases::default());
    }
    let bytes = read_file(name, dir, ALIASES, MAX_TEXT_BYTES)?;
    serde_json::from_slice(&bytes).map_err(|error| RegistryError::of(name, ALIASES, error.into()))
}

fn check_place(model: &str, manifest: &ModelManifest) -> Result<(), RegistryError> {
    let described = format!("{}/{}", manifest.name, manifest.version);
    if described == model { Ok(()) } else { Err(RegistryError::of(model, MANIFEST, Fault::Misplaced(described))) }
}

/// Model names below `root`, sorted. A link in the place of a model is an error; a file is not ours.
fn names(root: &Path) -> Result<Vec<String>, RegistryError> {
    let mut names = Vec::new();
    for name in entries(root)?.into_iter().filter(|name| is_model_name(name)) {
        match look_at_directory(&root.join(&name))? {
            Ok(()) => names.push(name),
            // A stray file, or a model removed since it was listed.
            Err(Fault::Missing | Fault::WrongType) => {}
            Err(fault) => return Err(RegistryError::of(&name, "its directory", fault)),
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Version numbers in `dir`: entries in the one form that we write, so not `01` or `+1`.
fn versions(dir: &Path) -> Result<Vec<u64>, RegistryError> {
    let number = |name: String| name.parse::<u64>().ok().filter(|n| *n > 0 && n.to_string() == name);
    Ok(entries(dir)?.into_iter().filter_map(number).collect())
}

/// The names in `dir` that are UTF-8, as all of ours are; none when it does not exist.
fn entries(dir: &Path) -> Result<Vec<String>, RegistryError> {
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", dir)(error)),
    };
    let mut names = Vec::new();
    for entry in listed {
        let entry = entry.map_err(io_error("list", dir))?;
        names.extend(entry.file_name().into_string().ok());
    }
    Ok(names)
}

fn create_directory(dir: &Path) -> Result<(), RegistryError> {
    match fs::create_dir(dir) {
        Ok(()) => Ok(()),
        // Another writer was faster.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(io_error("create", dir)(error)),
    }
}

/// Held until dropped, and given up by the system when the process dies.
fn lock(name: &str, dir: &Path) -> Result<File, RegistryError> {
    match ModelFile::look(dir, LOCK)? {
        Ok(_) | Err(Fault::Missing) => {}
        Err(fault) => return Err(RegistryError::of(name, LOCK, fault)),
    }
    let path = dir.join(LOCK);
    let file = File::options().create(true).append(true).open(&path).map_err(io_error("open", &path))?;
    file.lock().map_err(io_error("lock", &path))?;
    Ok(file)
}
