//! What can be typed.

mod data;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use leadsman_detect::Detectors;

use crate::progress::ProgressMode;

pub use data::{
    ConvertArgs, DatasetsCommand, GenerateArgs, InspectArgs, LakeArgs, LakeCommand, PartArgs, PruneArgs, TableKind,
};

/// Exit codes, shown by `--help`.
const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 failed, 2 bad usage or configuration, 3 findings at or above --fail-on,
4 quality gate failed, 5 integrity failure of a model, 130 interrupted.
Data goes to standard output, everything else to standard error.";

/// ML anomaly detection over Kubernetes cluster telemetry.
#[derive(Debug, Parser)]
#[command(name = "leadsman", version, about, after_help = EXIT_CODES, disable_version_flag = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Configuration file (else ./leadsman.toml, the user's and the system's are read).
    #[arg(long, global = true, value_name = "FILE", env = "LEADSMAN_CONFIG")]
    pub config: Option<PathBuf>,
    /// Directory of state, models and datasets.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// One JSON document on standard output.
    #[arg(long, global = true)]
    pub json: bool,
    /// How progress is shown on standard error.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub progress: ProgressMode,
    /// What is logged: error, warn, info, debug, trace, or a tracing filter.
    #[arg(long, global = true, value_name = "LEVEL", env = "LEADSMAN_LOG")]
    pub log: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A simulated cluster, a staged attack, and what Leadsman says about it.
    Demo(DemoArgs),
    /// The service: API, ingest and scoring.
    Serve(ServeArgs),
    /// Fit and calibrate a model on historic telemetry.
    Train(TrainArgs),
    /// Score historic telemetry with a model.
    Score(ScoreArgs),
    /// Score a range of a Kafka topic again, or decode dead letters again. The service is not disturbed.
    Replay(ReplayArgs),
    /// How much detectors find of attacks they never saw, at how many false incidents a day.
    Backtest(BacktestArgs),
    /// Why a finding has its score.
    Explain(ExplainArgs),
    /// Models in the registry.
    #[command(subcommand)]
    Models(ModelsCommand),
    /// The lake: every event that was scored, in Parquet.
    #[command(subcommand)]
    Lake(LakeCommand),
    /// Telemetry to train and test with.
    #[command(subcommand)]
    Datasets(DatasetsCommand),
    /// Check the set-up: disk, clock, store, model, audit policy, Kafka with its topics, rights and positions.
    Doctor,
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The OpenAPI document of the REST API.
    Openapi,
    /// Completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// The version.
    Version,
}

/// Options of `demo`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent switches of a command line")]
pub struct DemoArgs {
    /// Seed of the simulated cluster. The built-in model knows the habits of seed 1.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the result and end, instead of serving on.
    #[arg(long)]
    pub headless: bool,
    /// As fast as the machine can, instead of at a pace one can watch.
    #[arg(long)]
    pub fast: bool,
    /// The same week without an attack: it must stay quiet.
    #[arg(long)]
    pub no_attack: bool,
    /// Self-test: negate the model's scores. The demo must then fail.
    #[arg(long)]
    pub negate_scores: bool,
    /// Port of the API on the loopback interface; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
}

/// Options of `backtest`.
#[derive(Debug, Args)]
pub struct BacktestArgs {
    /// What to test on: `sim` is the simulated cluster, another one for each seed.
    #[arg(long, value_enum, default_value_t = Suite::Sim)]
    pub suite: Suite,
    /// Test on logs of your own instead: the first four fifths train, and attacks by accounts of the log are injected
    /// into the rest. Files, or directories of them, in the order of time, or a lake.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub inject: Vec<PathBuf>,
    /// Part of a lake.
    #[command(flatten)]
    pub part: PartArgs,
    /// How many clusters; with `--inject`, how many plans of attack.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub seeds: u64,
    /// Seed of the first cluster; the next ones count on from it.
    #[arg(long, value_name = "SEED", default_value_t = 101)]
    pub first_seed: u64,
    /// Which detectors are on, such as `novelty,forest`.
    #[arg(long, value_name = "LIST", default_value_t)]
    pub detectors: Detectors,
    /// Only recall and budget: no baselines, no ablation, no poisoning, no cold start, no weeks of upheaval.
    #[arg(long)]
    pub quick: bool,
    /// Run the baselines under `--quick`, too.
    #[arg(long)]
    pub baselines: bool,
    /// Also write the report as one HTML page.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Self-test: negate the model's scores. Recall must then collapse.
    #[arg(long)]
    pub negate_scores: bool,
    /// Fail with exit code 4 when the recall at one false incident a day is below this, whatever the style.
    #[arg(long, value_name = "RECALL", value_parser = share)]
    pub fail_under: Option<f64>,
}

/// A share; not NaN, which no recall is below.
fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share.filter(|s| (0.0..=1.0).contains(s)).ok_or_else(|| "give a number from 0 to 1".to_owned())
}

/// What a back-test runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// The simulated cluster.
    Sim,
}

/// Options of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Model to score with: a registry name (NAME, NAME@challenger, NAME/3), a directory, or builtin:demo.
    #[arg(long)]
    pub model: Option<String>,
    /// Audit log file to follow; may be given several times.
    #[arg(long = "tail", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Kafka bootstrap servers.
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka: Option<String>,
    /// Incidents a day that people are willing to look at.
    #[arg(long, value_name = "PER_DAY")]
    pub budget: Option<f64>,
    /// Go on although a topic has another number of partitions than its state was built with: what accounts did
    /// before counts as new where their events moved.
    #[arg(long)]
    pub accept_partitions: bool,
    /// Serve without a token; only on a loopback address.
    #[arg(long)]
    pub no_auth: bool,
}

/// Options of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Files, directories or lakes (directories, s3://bucket/prefix) of audit events and metric samples.
    #[arg(required = true, value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Write the model into this directory instead of the registry.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Name of the model.
    #[arg(long, default_value = "default")]
    pub name: String,
    /// Seed of everything random: the same data and seed give the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Stop at the first event that cannot be decoded.
    #[arg(long)]
    pub strict: bool,
    /// Part of a lake.
    #[command(flatten)]
    pub part: PartArgs,
}

/// Options of `score`.
#[derive(Debug, Args)]
pub struct ScoreArgs {
    /// Files, directories or lakes (directories, s3://bucket/prefix); `-` is standard input.
    #[arg(required_unless_present = "table", value_name = "DATA")]
    pub data: Vec<PathBuf>,
    /// Model to score with: a directory, a registry name (NAME, NAME@challenger, NAME/3), or builtin:demo.
    #[arg(long)]
    pub model: Option<String>,
    /// Incidents a day that people are willing to look at.
    #[arg(long, value_name = "PER_DAY")]
    pub budget: Option<f64>,
    /// List this many of the strangest windows, findings or not.
    #[arg(long, default_value_t = 20)]
    pub top: usize,
    /// Exit with code 3 when a finding has this score or more.
    #[arg(long, value_name = "SCORE")]
    pub fail_on: Option<u8>,
    /// Stop at the first event that cannot be decoded.
    #[arg(long)]
    pub strict: bool,
    /// Part of a lake.
    #[command(flatten)]
    pub part: PartArgs,
    /// Options of a plain table.
    #[command(flatten)]
    pub forest: ForestArgs,
}

/// Options of `replay`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["source", "dead_letters"]))]
pub struct ReplayArgs {
    /// Topic to read, or one partition of it, as kafka:TOPIC or kafka:TOPIC/PARTITION. Checkpoints stay as they are.
    #[arg(long, value_name = "SOURCE", requires = "start")]
    pub source: Option<String>,
    /// First offset to read, of each partition.
    #[arg(long, value_name = "OFFSET", group = "start", conflicts_with = "dead_letters")]
    pub from_offset: Option<u64>,
    /// First time of receipt to read (RFC 3339).
    #[arg(long, value_name = "TIME", group = "start", conflicts_with = "dead_letters")]
    pub since: Option<String>,
    /// End before this time of receipt instead of at the present end (RFC 3339).
    #[arg(long, value_name = "TIME", requires = "source")]
    pub until: Option<String>,
    /// Model to score with, as in `score`.
    #[arg(long, requires = "source")]
    pub model: Option<String>,
    /// Incidents a day that people are willing to look at.
    #[arg(long, value_name = "PER_DAY", requires = "source")]
    pub budget: Option<f64>,
    /// List this many of the strangest windows, findings or not.
    #[arg(long, default_value_t = 20, requires = "source")]
    pub top: usize,
    /// Decode the dead letters of the store with this release and say which it would take.
    #[arg(long)]
    pub dead_letters: bool,
    /// Only dead letters that were refused for this reason, such as unknown_shape.
    #[arg(long, value_name = "REASON", requires = "dead_letters")]
    pub reason: Option<String>,
    /// Feed what is taken now to the inbox of the data directory, on which no service may run, and delete the letters.
    #[arg(long, requires = "dead_letters")]
    pub apply: bool,
    /// Post it to a running service instead.
    #[arg(long, value_name = "URL", requires = "apply")]
    pub to: Option<String>,
    /// Token of that service, if it is not the one in the data directory.
    #[arg(long, value_name = "TOKEN", env = "LEADSMAN_TOKEN", hide_env_values = true)]
    pub token: Option<String>,
}

/// Options of `score --forest`: an isolation forest over any table of numbers.
#[derive(Debug, Args)]
pub struct ForestArgs {
    /// Score the rows of this CSV table of numbers, with or without a header, instead of telemetry.
    #[arg(id = "table", long = "forest", value_name = "FILE.csv", conflicts_with_all = ["data", "model", "budget", "top", "fail_on", "strict", "cluster", "from", "to"])]
    pub table: Option<PathBuf>,
    /// Write one score a line into this file instead of standard output; higher is stranger.
    #[arg(long, value_name = "SCORES.csv", requires = "table")]
    pub out: Option<PathBuf>,
    /// Fit on the rows of this table instead of those that are scored.
    #[arg(long, value_name = "TRAIN.csv", requires = "table")]
    pub train: Option<PathBuf>,
    /// How the trees are grown.
    #[arg(long, value_enum, default_value_t = ForestMode::Guided, requires = "table")]
    pub mode: ForestMode,
    /// Seed of the forest: the same tables and seed give the same scores.
    #[arg(long, default_value_t = 1, requires = "table")]
    pub seed: u64,
}

/// How the trees of a forest are grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ForestMode {
    /// Random columns and thresholds, as in the paper.
    Standard,
    /// Columns with few and far values first, thresholds of the largest gain.
    Guided,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Finding id, as in fnd_….
    pub id: String,
    /// Look into this output of `score --json` instead of the store; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub from: Option<PathBuf>,
}

/// Subcommands of `models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// All versions with their aliases.
    List,
    /// Manifest, metrics and card of one model.
    Show {
        /// NAME, NAME@challenger, NAME/3, a directory, or builtin:demo.
        model: String,
    },
}

/// Subcommands of `config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// The effective configuration.
    Show {
        /// Say where each value comes from.
        #[arg(long)]
        origin: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_nothing_can_fail_is_refused() {
        let gate = |value| Cli::try_parse_from(["leadsman", "backtest", "--fail-under", value]).is_ok();
        assert!(gate("0.9") && gate("0") && gate("1"));
        assert!(!gate("NaN") && !gate("90") && !gate("-0.1") && !gate("high"));
    }

    #[test]
    fn a_style_without_an_attack_is_refused() {
        let generate = |more: &[&str]| {
            let args = ["leadsman", "datasets", "generate", "--out", "week"].iter().chain(more);
            Cli::try_parse_from(args).is_ok()
        };
        assert!(generate(&[]) && generate(&["--attack-at", "2026-04-02T09:40:00Z", "--attack-style", "noisy"]));
        assert!(!generate(&["--attack-style", "noisy"]));
    }
}
