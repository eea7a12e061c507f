//! What can be typed about data: data sets, and the lake.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use leadsman_domain::Timestamp;
use leadsman_sim::{Change, ChangeKind, ClusterSize};

use crate::lake::Filter;

/// A change and its day.
fn change(text: &str) -> Result<Change, String> {
    let (kind, day) = text.split_once('@').ok_or("give a kind and a day, such as node-upgrade@9")?;
    let kind = kind.parse().map_err(|_| {
        let kinds: Vec<&str> = ChangeKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("there is no change {kind:?}: give one of {}", kinds.join(", "))
    })?;
    let day = day.parse().map_err(|_| format!("{day:?} is no day: give the number of days since the start"))?;
    Ok(Change { kind, day })
}

/// Which part of a lake is read.
#[derive(Debug, Clone, Default, Args)]
pub struct PartArgs {
    /// Of a lake: only this cluster; needed when it holds several.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Of a lake: only what happened at or after this time (RFC 3339) or day, such as 2026-03-02.
    #[arg(long, value_name = "TIME", value_parser = time_or_day)]
    pub from: Option<Timestamp>,
    /// Of a lake: only what happened before this time or day.
    #[arg(long, value_name = "TIME", value_parser = time_or_day)]
    pub to: Option<Timestamp>,
}

impl PartArgs {
    /// The same as the lake takes it.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter { cluster: self.cluster.clone(), from: self.from, to: self.to }
    }
}

/// A time, or the begin of a day in UTC.
fn time_or_day(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text)
        .or_else(|_| Timestamp::parse(&format!("{text}T00:00:00Z")))
        .map_err(|_| "give a time such as 2026-03-02T10:00:00Z, or a day such as 2026-03-02".to_owned())
}

/// Subcommands of `lake`.
#[derive(Debug, Subcommand)]
pub enum LakeCommand {
    /// What the lake holds, by cluster and day.
    List(LakeArgs),
    /// Merge the small files of hours that are over into large ones.
    Compact(LakeArgs),
    /// Remove old events.
    Prune(PruneArgs),
}

/// Options of the subcommands of `lake`.
#[derive(Debug, Args)]
pub struct LakeArgs {
    /// A folder or s3://bucket/prefix; else `lake.url` of the configuration.
    #[arg(value_name = "LAKE")]
    pub lake: Option<String>,
    /// Which part.
    #[command(flatten)]
    pub part: PartArgs,
}

/// Options of `lake prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// A folder or s3://bucket/prefix; else `lake.url` of the configuration.
    #[arg(value_name = "LAKE")]
    pub lake: Option<String>,
    /// Only this cluster.
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Remove the hours that ended at or before this time (RFC 3339) or day, such as 2026-03-02.
    #[arg(long, value_name = "TIME", value_parser = time_or_day)]
    pub before: Option<Timestamp>,
    /// Remove the days that are more than this many days ago; else `lake.keep_days` of the configuration.
    #[arg(long, value_name = "DAYS", conflicts_with = "before", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub keep_days: Option<u32>,
}

/// Subcommands of `datasets`.
#[derive(Debug, Subcommand)]
pub enum DatasetsCommand {
    /// Telemetry of the simulated cluster, as the API server would log it, with labels beside it.
    Generate(GenerateArgs),
    /// What is in a log: formats, period, actors, audit levels, refusals, and what detectors cannot see in it.
    Inspect(InspectArgs),
    /// Telemetry of any format as one canonical form, without secrets: lines that train, score and inspect read like
    /// the original, or a table for other tools.
    Convert(ConvertArgs),
}

/// Options of `datasets convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Files or directories; `-` is standard input.
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// The file to write, whole or not at all: OUT.jsonl.zst or OUT.parquet.
    #[arg(required = true, value_name = "OUT")]
    pub out: PathBuf,
    /// What a .parquet file holds; audit events if not given.
    #[arg(long, value_enum)]
    pub table: Option<TableKind>,
    /// Stop at the first item that cannot be decoded.
    #[arg(long)]
    pub strict: bool,
}

/// What a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum TableKind {
    /// Audit events.
    Audit,
    /// Metric samples.
    Samples,
}

/// Options of `datasets inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Files or directories; `-` is standard input.
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// List this many of the busiest actors.
    #[arg(long, default_value_t = 10)]
    pub top: usize,
}

/// Options of `datasets generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// Directory to write audit.jsonl.zst, metrics.jsonl.zst and labels.json into.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Seed of the cluster and its habits.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// First day of the period, counted from Monday 2026-03-02.
    #[arg(long, default_value_t = 0)]
    pub from_day: u32,
    /// Days.
    #[arg(long, default_value_t = 28)]
    pub days: u32,
    /// How big the cluster is: small, medium or large.
    #[arg(long, default_value_t)]
    pub size: ClusterSize,
    /// An honest change that looks like an attack, from this day on, such as `node-upgrade@9`; may be given several times.
    #[arg(long = "change", value_name = "KIND@DAY", value_parser = change)]
    pub changes: Vec<Change>,
    /// Stage an attack at this time (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub attack_at: Option<String>,
    /// Which one: `token-theft`, the attack of the demo, or a technique of docs/simulator.md such as `list-secrets`.
    #[arg(long, value_name = "NAME", default_value = "token-theft", requires = "attack_at")]
    pub attack: String,
    /// Whose credential is stolen for a technique: human, ci or workload.
    #[arg(long, value_name = "KIND", default_value = "workload", requires = "attack_at")]
    pub attack_identity: String,
    /// How the attacker goes about it: noisy, paced or mimicry (of the stolen identity's program and address).
    #[arg(long, value_name = "STYLE", default_value = "paced", requires = "attack_at")]
    pub attack_style: String,
    /// Without metric samples.
    #[arg(long)]
    pub no_metrics: bool,
}
