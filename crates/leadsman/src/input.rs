//! Telemetry from files, directories, standard input and lakes, decoded under limits, with every refusal counted
//! and named by file and line.

mod inspect;
mod lake;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use leadsman_decode::{AuditReader, DecodeContext, Limits};
use leadsman_domain::{Decoded, Timestamp};

use self::lake::LakeInput;
pub use self::lake::LakeOptions;
use crate::account::Account;
use crate::exit::Exit;
use crate::lake::{Filter, Lake};
use crate::progress::Progress;

/// Items decoded at a time.
const CHUNK: usize = 2_000;
/// Refusals kept for showing; all are counted.
const MAX_EXAMPLES: usize = 20;

/// What to read, in order.
pub struct Inputs {
    inputs: Vec<Input>,
    bytes: u64,
}

enum Input {
    File(PathBuf),
    Lake(LakeInput),
}

impl Input {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Lake(lake) => lake.name().to_owned(),
        }
    }
}

/// What reading gave.
#[derive(Debug, Default, Clone)]
pub struct ReadReport {
    /// Every item, by what became of it.
    pub account: Account,
    /// The first few refusals, as `file:line: reason: detail`.
    pub examples: Vec<String>,
}

impl ReadReport {
    /// Counts what `decoded` holds, which came from `file`.
    pub fn add(&mut self, file: &str, decoded: &Decoded) {
        self.account.add(decoded);
        let room = MAX_EXAMPLES - self.examples.len();
        self.examples.extend(
            decoded.rejects.iter().take(room).map(|r| format!("{file}:{}: {}: {}", r.line, r.reason, r.detail)),
        );
    }

    /// Tells people on stderr what was refused, passed over, or decoded for nobody yet.
    pub fn report(&self) {
        for e in &self.examples {
            eprintln!("refused {e}");
        }
        let more = self.account.rejected.total() - self.examples.len() as u64;
        if more > 0 {
            eprintln!("refused {more} more");
        }
        for sentence in self.account.unscored() {
            eprintln!("{sentence}");
        }
    }
}

/// How to read.
pub struct Reading<'a> {
    /// Cluster and declared accounts.
    pub context: &'a DecodeContext,
    /// Bounds.
    pub limits: Limits,
    /// The present: bounds event times from the future.
    pub now: Timestamp,
    /// Whether the first refusal ends it.
    pub strict: bool,
}

impl Inputs {
    /// Finds what is behind `paths`: a file, a directory (its `.json`, `.jsonl`, `.ndjson` and `.log` files,
    /// plain, `.gz` or `.zst`, by name), a lake (a directory of one, or `s3://bucket/prefix`), or `-` for standard input.
    ///
    /// Errors: when a path does not exist, a directory holds nothing readable, a lake holds nothing of the part asked
    /// for, or a part is asked for and there is no lake.
    pub fn find(paths: &[PathBuf], lakes: &LakeOptions) -> Result<Self> {
        let mut inputs = Vec::new();
        let mut bytes = 0;
        for path in paths {
            if path.as_os_str() == "-" {
                inputs.push(Input::File(path.clone()));
                continue;
            }
            if Lake::is_at(path) {
                let lake = LakeInput::find(path, lakes)?;
                bytes += lake.bytes();
                inputs.push(Input::Lake(lake));
                continue;
            }
            let about = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
            let files = if about.is_dir() { telemetry_files(path)? } else { vec![path.clone()] };
            if files.is_empty() {
                return Err(Exit::Usage(format!(
                    "{} holds no .json, .jsonl, .ndjson or .log file, and is no lake",
                    path.display()
                ))
                .into());
            }
            for file in files {
                bytes += std::fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
                inputs.push(Input::File(file));
            }
        }
        if lakes.filter != Filter::default() && !inputs.iter().any(|input| matches!(input, Input::Lake(_))) {
            let what = "--cluster, --from and --to choose a part of a lake, and the input is none";
            return Err(Exit::Usage(what.to_owned()).into());
        }
        Ok(Self { inputs, bytes })
    }

    /// Bytes on disk, as a measure of progress.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether standard input is among them: it can be read only once.
    #[must_use]
    pub fn has_stdin(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input, Input::File(path) if path.as_os_str() == "-"))
    }

    /// Decodes everything, chunk by chunk, in order.
    ///
    /// Errors: when a file cannot be read, `take` fails, or an item is refused under `strict`.
    pub fn read(
        &self,
        reading: &Reading<'_>,
        progress: &mut Progress,
        mut take: impl FnMut(Decoded) -> Result<()>,
    ) -> Result<ReadReport> {
        let mut report = ReadReport::default();
        let done = Arc::new(AtomicU64::new(0));
        let mut add = |name: &str, decoded: Decoded, done: u64| {
            report.add(name, &decoded);
            if reading.strict && !decoded.rejects.is_empty() {
                report.report();
                return Err(Exit::Failed(format!("{name} holds refused items, and --strict was given")).into());
            }
            take(decoded)?;
            progress.at(done, || format!("{} items", report.account.decoded()));
            anyhow::Ok(())
        };
        for input in &self.inputs {
            let name = input.name();
            let failed = || format!("cannot read {name}");
            match input {
                Input::File(path) => {
                    let (input, context) = (open(path, &done)?, reading.context.clone());
                    let mut reader =
                        AuditReader::new(input, context, reading.limits, reading.now).with_context(failed)?;
                    while let Some(decoded) = reader.next_chunk(CHUNK).with_context(failed)? {
                        add(&name, decoded, done.load(Ordering::Relaxed))?;
                    }
                }
                Input::Lake(lake) => {
                    let before = done.load(Ordering::Relaxed);
                    let mut items = lake.open()?;
                    while let Some(decoded) = items.next_chunk(reading.context, CHUNK)? {
                        add(&name, decoded, before + items.bytes_done())?;
                    }
                    done.store(before + lake.bytes(), Ordering::Relaxed);
                }
            }
        }
        Ok(report)
    }
}

fn telemetry_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed = || format!("cannot list {}", directory.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(failed)? {
        let path = entry.with_context(failed)?.path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        let telemetry = [".json", ".jsonl", ".ndjson", ".log"].iter().any(|e| stem.ends_with(e));
        if telemetry && path.is_file() && !stem.starts_with("labels") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Counts bytes as they are read.
struct Counted<R> {
    inner: R,
    done: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.done.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Whatever is read, from any thread.
type Source = Counted<Box<dyn Read + Send>>;

fn open(path: &Path, done: &Arc<AtomicU64>) -> Result<Source> {
    let inner: Box<dyn Read + Send> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    Ok(Counted { inner, done: Arc::clone(done) })
}
