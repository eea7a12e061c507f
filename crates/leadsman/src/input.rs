//! Telemetry from files, directories and standard input, decoded under limits, with every refusal counted
//! and named by file and line.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use leadsman_decode::{AuditReader, DecodeContext, Limits, MetricReader};
use leadsman_domain::{Decoded, Reject, RejectReason, Timestamp};

use crate::exit::Exit;
use crate::progress::Progress;

/// Items decoded at a time.
const CHUNK: usize = 2_000;
/// Refusals kept for showing; all are counted.
const MAX_EXAMPLES: usize = 20;
/// Bytes looked at to tell audit events from metric samples.
const PEEK: u64 = 64 * 1024;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Audit,
    Metrics,
}

/// Files to read, in order.
pub struct Inputs {
    files: Vec<PathBuf>,
    bytes: u64,
}

/// What could not be read.
#[derive(Debug, Default, Clone)]
pub struct Rejects {
    /// How many, by reason.
    pub counts: BTreeMap<RejectReason, u64>,
    /// The first few, as `file:line: reason: detail`.
    pub examples: Vec<String>,
}

impl Rejects {
    /// How many in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    fn add(&mut self, file: &str, rejects: &[Reject]) {
        for r in rejects {
            *self.counts.entry(r.reason).or_default() += 1;
            if self.examples.len() < MAX_EXAMPLES {
                self.examples.push(format!("{file}:{}: {}: {}", r.line, r.reason, r.detail));
            }
        }
    }

    /// Tells people on stderr.
    pub fn report(&self) {
        for e in &self.examples {
            eprintln!("refused {e}");
        }
        let shown = self.examples.len() as u64;
        if self.total() > shown {
            eprintln!("refused {} more", self.total() - shown);
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
    /// Finds the files behind `paths`: a file, a directory (its `.json`, `.jsonl`, `.ndjson` and `.log` files,
    /// plain, `.gz` or `.zst`, by name), or `-` for standard input.
    ///
    /// Errors: when a path does not exist or a directory holds nothing readable.
    pub fn find(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        let mut bytes = 0;
        for path in paths {
            if path.as_os_str() == "-" {
                files.push(path.clone());
                continue;
            }
            let about = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
            if about.is_dir() {
                let mut inside = telemetry_files(path)?;
                if inside.is_empty() {
                    return Err(Exit::Usage(format!(
                        "{} holds no .json, .jsonl, .ndjson or .log file",
                        path.display()
                    ))
                    .into());
                }
                files.append(&mut inside);
            } else {
                files.push(path.clone());
            }
        }
        for f in files.iter().filter(|f| f.as_os_str() != "-") {
            bytes += std::fs::metadata(f).with_context(|| format!("cannot read {}", f.display()))?.len();
        }
        Ok(Self { files, bytes })
    }

    /// Bytes on disk, as a measure of progress.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether standard input is among them: it can be read only once.
    #[must_use]
    pub fn has_stdin(&self) -> bool {
        self.files.iter().any(|f| f.as_os_str() == "-")
    }

    /// Decodes everything, chunk by chunk, in order.
    ///
    /// Errors: when a file cannot be read, `take` fails, or an item is refused under `strict`.
    pub fn read(
        &self,
        reading: &Reading<'_>,
        progress: &mut Progress,
        mut take: impl FnMut(Decoded) -> Result<()>,
    ) -> Result<Rejects> {
        let mut rejects = Rejects::default();
        let (done, mut items) = (Arc::new(AtomicU64::new(0)), 0u64);
        for path in &self.files {
            let name = path.display().to_string();
            let (kind, input) = open(path, &done)?;
            let failed = || format!("cannot read {name}");
            let (context, limits) = (reading.context.clone(), reading.limits);
            let mut reader = match kind {
                Kind::Audit => {
                    Reader::Audit(AuditReader::new(input, context, limits, reading.now).with_context(failed)?)
                }
                Kind::Metrics => {
                    Reader::Metrics(MetricReader::new(input, context, limits, reading.now).with_context(failed)?)
                }
            };
            while let Some(decoded) = reader.next().with_context(failed)? {
                rejects.add(&name, &decoded.rejects);
                if reading.strict && !decoded.rejects.is_empty() {
                    rejects.report();
                    return Err(Exit::Failed(format!("{name} holds refused items, and --strict was given")).into());
                }
                items += (decoded.events.len() + decoded.samples.len()) as u64;
                take(decoded)?;
                progress.at(done.load(Ordering::Relaxed), || format!("{items} items"));
            }
        }
        Ok(rejects)
    }
}

enum Reader {
    Audit(AuditReader<Box<dyn Read>>),
    Metrics(MetricReader<Box<dyn Read>>),
}

impl Reader {
    fn next(&mut self) -> Result<Option<Decoded>, leadsman_decode::ReadError> {
        match self {
            Self::Audit(r) => r.next_chunk(CHUNK),
            Self::Metrics(r) => r.next_chunk(CHUNK),
        }
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

fn open(path: &Path, done: &Arc<AtomicU64>) -> Result<(Kind, Box<dyn Read>)> {
    let failed = || format!("cannot read {}", path.display());
    let raw: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(path).with_context(failed)?)
    };
    let mut input = BufReader::new(Counted { inner: raw, done: Arc::clone(done) });
    let mut head = Vec::new();
    input.by_ref().take(PEEK).read_to_end(&mut head).with_context(failed)?;
    let kind = kind_of(&head);
    Ok((kind, Box::new(std::io::Cursor::new(head).chain(input))))
}

/// Tells metric samples from audit events by the first line, never by the file's name.
fn kind_of(head: &[u8]) -> Kind {
    let mut plain = Vec::new();
    // A cut-off stream ends in an error after its first bytes came out, and those are enough to tell.
    let peek = match head {
        [0x1f, 0x8b, ..] => flate2::read::MultiGzDecoder::new(head).take(PEEK).read_to_end(&mut plain).is_ok(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::stream::read::Decoder::new(head).is_ok_and(|d| d.take(PEEK).read_to_end(&mut plain).is_ok())
        }
        _ => {
            plain = head.to_vec();
            true
        }
    };
    if !peek && plain.is_empty() {
        return Kind::Audit;
    }
    let text = String::from_utf8_lossy(&plain);
    let first = text.lines().find(|l| !l.trim().is_empty()).unwrap_or_default();
    let sample = first.contains("\"labels\"") && first.contains("\"value\"") && !first.contains("\"auditID\"");
    if sample { Kind::Metrics } else { Kind::Audit }
}
