//! Parse, load the configuration, run one command, say how it ended.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, Parser};
use leadsman::allocator;
use leadsman::cli::{Cli, Command, ConfigCommand};
use leadsman::command::{backtest, datasets, demo, doctor, explain, lake, models, replay, score, serve, train};
use leadsman::config::{self, Loaded, LogFormat};
use leadsman::exit::{self, Exit};
use leadsman::output;
use serde_json::json;

fn main() -> ExitCode {
    allocator::give_back();
    let cli = Cli::parse();
    #[cfg(feature = "failpoints")]
    if let Some(plan) = std::env::var_os("FAILPOINT")
        && !plan.to_str().is_some_and(leadsman_store::failpoint::arm)
    {
        eprintln!("error: FAILPOINT must be name:n");
        return ExitCode::FAILURE;
    }
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of a pipe left: nobody is there to be told.
        Err(e) if broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            match e.downcast_ref::<Exit>() {
                // It lists its problems itself, each with its place.
                Some(Exit::Configuration(problems)) => eprintln!("{problems}"),
                Some(_) | None => eprintln!("error: {e:#}"),
            }
            exit::code(&e)
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Version if global.json => output::json(&json!({"version": env!("CARGO_PKG_VERSION")})),
        Command::Version => output::text(concat!("leadsman ", env!("CARGO_PKG_VERSION"))),
        Command::Openapi => output::text(&leadsman_api::openapi_json()),
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "leadsman", &mut text);
            Ok(std::io::stdout().write_all(&text)?)
        }
        Command::Backtest(args) => backtest::run(args, global, || Ok(load(cli)?.config)),
        Command::Datasets(command) => datasets::run(command, global, || Ok(load(cli)?.config)),
        Command::Demo(args) => {
            log("warn", global.log.as_deref(), false)?;
            demo::run(args, global)
        }
        configured => {
            let Loaded { config, effective } = load(cli)?;
            log(config.log.level.as_str(), global.log.as_deref(), config.log.format == LogFormat::Json)?;
            match configured {
                Command::Serve(args) => serve::run(args, &config),
                Command::Train(args) => train::run(args, global, &config),
                Command::Score(args) => score::run(args, global, &config),
                Command::Replay(args) => replay::run(args, global, &config),
                Command::Explain(args) => explain::run(args, global, &config),
                Command::Models(command) => models::run(command, global, &config),
                Command::Lake(command) => lake::run(command, global, &config),
                Command::Doctor => doctor::run(global, &config),
                Command::Config(ConfigCommand::Show { .. }) if global.json => output::json(&effective.to_json()),
                Command::Config(ConfigCommand::Show { origin }) => output::text(&effective.to_toml(*origin)),
                Command::Version
                | Command::Openapi
                | Command::Completions { .. }
                | Command::Backtest(_)
                | Command::Datasets(_)
                | Command::Demo(_) => Ok(()),
            }
        }
    }
}

/// Everything that flags say about the configuration.
fn overrides(cli: &Cli) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut set = |key: &str, value: Option<String>| all.extend(value.map(|v| (key.to_owned(), v)));
    set("data_dir", cli.global.data_dir.as_ref().map(|d| d.display().to_string()));
    if let Command::Serve(args) = &cli.command {
        set("server.listen", args.listen.clone());
        set("server.auth", args.no_auth.then(|| "none".to_owned()));
        set("detect.model", args.model.clone());
        set("detect.budget_per_day", args.budget.map(|b| b.to_string()));
        set("kafka.bootstrap_servers", args.kafka.clone());
    }
    all
}

/// The environment is read once, here.
fn load(cli: &Cli) -> Result<Loaded> {
    // What is not UTF-8 cannot be a setting of ours.
    let environment: Vec<(String, String)> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let loaded = config::from_system(cli.global.config.as_deref(), &environment, &overrides(cli));
    Ok(loaded.map_err(Exit::Configuration)?)
}

/// Logs go to stderr; `wanted` is a level or a tracing filter.
fn log(level: &str, wanted: Option<&str>, json: bool) -> Result<()> {
    let wanted = wanted.unwrap_or(level);
    let filter = tracing_subscriber::EnvFilter::try_new(wanted)
        .map_err(|e| Exit::Usage(format!("--log {wanted}: {e}: give a level such as info, or a tracing filter")))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        builder.json().init()
    } else {
        builder.init()
    }
    Ok(())
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| {
        let io = e.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        let json = e.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(std::io::ErrorKind::BrokenPipe)
    })
}
