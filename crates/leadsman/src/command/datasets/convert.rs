//! `leadsman datasets convert`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use leadsman_decode::{DecodeContext, Limits, canonical};
use leadsman_domain::{AuditEvent, Decoded, MetricSample};
use leadsman_features::TableWriter;
use serde_json::json;
use tempfile::NamedTempFile;

use super::LEVEL;
use crate::account::Account;
use crate::cli::{ConvertArgs, Global, TableKind};
use crate::config::Config;
use crate::exit::Exit;
use crate::input::{Inputs, LakeOptions, ReadReport, Reading};
use crate::progress::Progress;
use crate::{clock, output};

/// Writes the telemetry of files in the canonical form, or as a table.
///
/// The output appears whole or not at all.
///
/// Errors: when the name of the output says no form, a file cannot be read or written, nothing was telemetry, or the
/// table asked for stays empty.
pub(super) fn run(args: &ConvertArgs, global: &Global, config: &Config) -> Result<()> {
    let form = Form::of(args)?;
    let inputs =
        Inputs::find(&args.data, &LakeOptions { access: config.lake.access.clone(), ..LakeOptions::default() })?;
    let context = DecodeContext {
        cluster: config.cluster.name.clone(),
        rules: config.cluster.rules.clone(),
        redaction_key: None,
    };
    let reading = Reading { context: &context, limits: Limits::default(), now: clock::now(), strict: args.strict };
    let mut to = Output::create(&args.out, form)?;
    let mut progress = Progress::new(global.progress, "convert", inputs.bytes());
    let report = inputs.read(&reading, &mut progress, |decoded| to.write(decoded))?;
    progress.finish();
    report.report();
    if report.account.decoded() == 0 {
        return Err(
            Exit::Failed("nothing in the input could be read as telemetry; nothing was written".to_owned()).into()
        );
    }
    let left_out = form.left_out(&report.account);
    if left_out == report.account.decoded() {
        return Err(Exit::Failed(format!(
            "the input holds no {form}; nothing was written: choose another --table, or OUT.jsonl.zst for everything"
        ))
        .into());
    }
    let bytes = to.finish(&args.out)?;
    let written = report.account.decoded() - left_out;
    let also = if left_out == 0 {
        String::new()
    } else {
        format!(" {left_out} items of other kinds are not in this table; OUT.jsonl.zst holds every kind.")
    };
    eprintln!(
        "Wrote {written} {form}, {bytes} bytes; {} refused, {} skipped.{also}",
        report.account.rejected.total(),
        report.account.skipped.total(),
    );
    if global.json {
        output::json(&document(args, form, &report, bytes))
    } else {
        output::text(&args.out.display().to_string())
    }
}

fn document(args: &ConvertArgs, form: Form, report: &ReadReport, bytes: u64) -> serde_json::Value {
    let a = &report.account;
    let left_out = form.left_out(a);
    json!({
        "schema": "leadsman.conversion/v1", "path": args.out.display().to_string(), "bytes": bytes,
        "written": a.decoded() - left_out, "left_out": left_out,
        "events": a.events, "samples": a.samples, "runtime": a.runtime, "flows": a.flows,
        "formats": a.formats, "skipped": a.skipped, "rejects": a.rejected, "reject_examples": report.examples,
    })
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Lines of the canonical form, of every kind.
    Lines,
    /// A Parquet table of one kind.
    Table(TableKind),
}

impl Form {
    /// The form that the name of the output asks for.
    fn of(args: &ConvertArgs) -> Result<Self> {
        let name = args.out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.ends_with(".parquet") {
            Ok(Self::Table(args.table.unwrap_or(TableKind::Audit)))
        } else if !name.ends_with(".jsonl.zst") {
            Err(Exit::Usage(format!("{}: name the output .jsonl.zst or .parquet", args.out.display())).into())
        } else if args.table.is_some() {
            Err(Exit::Usage(
                "--table chooses what a .parquet file holds; a .jsonl.zst file holds every kind".to_owned(),
            )
            .into())
        } else {
            Ok(Self::Lines)
        }
    }

    /// How many of the decoded items this form has no place for.
    fn left_out(self, account: &Account) -> u64 {
        match self {
            Self::Lines => 0,
            Self::Table(TableKind::Audit) => account.decoded() - account.events,
            Self::Table(TableKind::Samples) => account.decoded() - account.samples,
        }
    }
}

impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Lines => "items",
            Self::Table(TableKind::Audit) => "audit events",
            Self::Table(TableKind::Samples) => "metric samples",
        })
    }
}

/// A temporary file beside the output, and how it is filled.
struct Output {
    file: NamedTempFile,
    body: Body,
}

enum Body {
    Lines { to: zstd::Encoder<'static, File>, lines: Vec<u8> },
    Audit(TableWriter<File, AuditEvent>),
    Samples(TableWriter<File, MetricSample>),
}

impl Output {
    fn create(path: &Path, form: Form) -> Result<Self> {
        let failed = || format!("cannot write {}", path.display());
        let file = beside(path).with_context(failed)?;
        let to = file.reopen().with_context(failed)?;
        let body = match form {
            Form::Lines => Body::Lines { to: zstd::Encoder::new(to, LEVEL).with_context(failed)?, lines: Vec::new() },
            Form::Table(TableKind::Audit) => Body::Audit(TableWriter::new(to)),
            Form::Table(TableKind::Samples) => Body::Samples(TableWriter::new(to)),
        };
        Ok(Self { file, body })
    }

    fn write(&mut self, decoded: Decoded) -> Result<()> {
        match &mut self.body {
            Body::Lines { to, lines } => {
                lines.clear();
                canonical::write(&decoded, lines)?;
                to.write_all(lines)?;
            }
            Body::Audit(table) => table.write(decoded.events)?,
            Body::Samples(table) => table.write(decoded.samples)?,
        }
        Ok(())
    }

    /// Makes the file durable, and then visible under its name; returns its size.
    fn finish(self, path: &Path) -> Result<u64> {
        let failed = || format!("cannot write {}", path.display());
        match self.body {
            Body::Lines { to, .. } => drop(to.finish().with_context(failed)?),
            Body::Audit(table) => drop(table.finish().with_context(failed)?),
            Body::Samples(table) => drop(table.finish().with_context(failed)?),
        }
        publish(self.file, path).with_context(failed)
    }
}

/// A temporary file in the directory of `path`, as readable as any new file.
fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(directory(path))
}

fn publish(file: NamedTempFile, path: &Path) -> io::Result<u64> {
    file.as_file().sync_all()?;
    let bytes = file.as_file().metadata()?.len();
    file.persist(path)?;
    File::open(directory(path))?.sync_all()?;
    Ok(bytes)
}

fn directory(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}
