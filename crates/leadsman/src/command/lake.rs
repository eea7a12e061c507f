//! `leadsman lake`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use leadsman_domain::Timestamp;
use serde_json::json;

use crate::cli::{Global, LakeArgs, LakeCommand, PruneArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::lake::{Contents, Filter, Hour, Kind, Lake};
use crate::progress::Progress;
use crate::{clock, output};

/// Runs a subcommand of `lake`.
///
/// Errors: when no lake is named, or it is out of reach.
pub fn run(command: &LakeCommand, global: &Global, config: &Config) -> Result<()> {
    match command {
        LakeCommand::List(args) => list(args, global, config),
        LakeCommand::Compact(args) => compact(args, global, config),
        LakeCommand::Prune(args) => prune(args, global, config),
    }
}

fn open(named: Option<&String>, config: &Config) -> Result<Lake> {
    let url = named.or(config.lake.url.as_ref()).ok_or_else(|| {
        Exit::Usage("no lake is named: give a folder or s3://bucket/prefix, or set lake.url".to_owned())
    })?;
    Ok(Lake::open(url, &config.lake.access)?)
}

/// The files of a kind, cluster and day.
#[derive(Debug, Default)]
struct Day {
    hours: BTreeSet<Hour>,
    logs: BTreeSet<(String, u32)>,
    files: u64,
    bytes: u64,
}

fn days(contents: &Contents) -> BTreeMap<(String, String, Kind), Day> {
    let mut days: BTreeMap<_, Day> = BTreeMap::new();
    for file in &contents.files {
        let name = &file.name;
        let day = days.entry((name.cluster.unescaped(), name.hour.date(), name.kind)).or_default();
        day.hours.insert(name.hour);
        day.logs.insert((name.range.source.unescaped(), name.range.partition));
        day.files += 1;
        day.bytes += file.bytes;
    }
    days
}

fn list(args: &LakeArgs, global: &Global, config: &Config) -> Result<()> {
    let lake = open(args.lake.as_ref(), config)?;
    let contents = lake.contents(&args.part.filter())?;
    let days = days(&contents);
    if global.json {
        let days: Vec<_> = days
            .iter()
            .map(|((cluster, date, kind), day)| {
                let logs: Vec<_> = day
                    .logs
                    .iter()
                    .map(|(source, partition)| json!({"source": source, "partition": partition}))
                    .collect();
                json!({
                    "cluster": cluster, "date": date, "kind": kind.as_str(), "hours": day.hours.len(), "logs": logs,
                    "files": day.files, "bytes": day.bytes,
                })
            })
            .collect();
        return output::json(&json!({
            "schema": "leadsman.lake/v1", "lake": lake.url(), "files": contents.files.len(), "bytes": contents.bytes(),
            "foreign_files": contents.foreign, "days": days,
        }));
    }
    let rows = days.iter().map(|((cluster, date, kind), day)| {
        vec![
            leadsman_domain::identifier(cluster).into_owned(),
            date.clone(),
            kind.to_string(),
            day.hours.len().to_string(),
            day.logs.len().to_string(),
            day.files.to_string(),
            day.bytes.to_string(),
        ]
    });
    output::table(&["CLUSTER", "DATE", "KIND", "HOURS", "LOGS", "FILES", "BYTES"], rows.collect())?;
    eprintln!("{} files, {} bytes in {}.", contents.files.len(), contents.bytes(), lake.url());
    if contents.foreign > 0 {
        eprintln!("{} files there are none of Leadsman's; they are left alone.", contents.foreign);
    }
    Ok(())
}

fn compact(args: &LakeArgs, global: &Global, config: &Config) -> Result<()> {
    let lake = open(args.lake.as_ref(), config)?;
    let mut progress = Progress::new(global.progress, "compact", 0);
    let done = lake.compact(&args.part.filter(), clock::now(), |hours, of| {
        progress.of(of);
        progress.at(hours, || format!("{hours} of {of} hours"));
    })?;
    progress.finish();
    eprintln!(
        "Merged {} files of {} bytes into {} of {} bytes; looked at {} hours.",
        done.removed, done.bytes_before, done.written, done.bytes_after, done.hours
    );
    if global.json {
        return output::json(&json!({
            "schema": "leadsman.lake.compaction/v1", "lake": lake.url(), "hours": done.hours, "removed": done.removed,
            "written": done.written, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after,
        }));
    }
    Ok(())
}

fn prune(args: &PruneArgs, global: &Global, config: &Config) -> Result<()> {
    let lake = open(args.lake.as_ref(), config)?;
    let keep = args.keep_days.or(config.lake.keep_days);
    let before = args.before.or_else(|| keep.map(|days| day_before(clock::now(), days))).ok_or_else(|| {
        Exit::Usage("nothing says what is old: give --before or --keep-days, or set lake.keep_days".to_owned())
    })?;
    let mut progress = Progress::new(global.progress, "prune", 0);
    let filter = Filter { cluster: args.cluster.clone(), ..Filter::default() };
    let done = lake.prune(&filter, before, |files, of| {
        progress.of(of);
        progress.at(files, || format!("{files} of {of} files"));
    })?;
    progress.finish();
    eprintln!("Removed {} files of {} bytes from before {before}.", done.files, done.bytes);
    if global.json {
        return output::json(&json!({
            "schema": "leadsman.lake.pruning/v1", "lake": lake.url(), "before": before, "files": done.files,
            "bytes": done.bytes,
        }));
    }
    Ok(())
}

/// The begin of the day that is `days` days before that of `now`: whole days are kept, and that many besides today.
#[must_use]
pub fn day_before(now: Timestamp, days: u32) -> Timestamp {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    now.window(DAY).start.minus(DAY * days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_days_are_kept() {
        let time = |text| Timestamp::parse(text).unwrap();
        assert_eq!(day_before(time("2026-03-10T23:59:59Z"), 7), time("2026-03-03T00:00:00Z"));
        assert_eq!(day_before(time("2026-03-10T00:00:00Z"), 7), time("2026-03-03T00:00:00Z"));
    }
}
