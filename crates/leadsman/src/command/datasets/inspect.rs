//! `leadsman datasets inspect`.

use std::fmt::Display;

use anyhow::Result;
use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::identifier;
use serde_json::json;

use crate::cli::{Global, InspectArgs};
use crate::exit::Exit;
use crate::input::{Inputs, LakeOptions, ReadReport, Reading};
use crate::inspection::{Inspection, Levels};
use crate::progress::Progress;
use crate::{clock, output};

/// Resources listed with their levels.
const TOP_RESOURCES: usize = 30;

/// Reads files once and says what they hold.
///
/// Errors: when a file cannot be read, or nothing in it is telemetry.
pub(super) fn run(args: &InspectArgs, global: &Global) -> Result<()> {
    let inputs = Inputs::find(&args.data, &LakeOptions::default())?;
    let context = DecodeContext::default();
    let reading = Reading { context: &context, limits: Limits::default(), now: clock::now(), strict: false };
    let mut progress = Progress::new(global.progress, "inspect", inputs.bytes());
    let (inspection, report) = inputs.inspect(&reading, &mut progress)?;
    progress.finish();
    if global.json {
        output::json(&document(&inspection, &report, args.top))?;
    } else {
        output::text(&text(&inspection, &report, args.top))?;
    }
    if inspection.account.decoded() == 0 {
        return Err(Exit::Failed("nothing in the input could be read as telemetry".to_owned()).into());
    }
    Ok(())
}

fn document(i: &Inspection, report: &ReadReport, top: usize) -> serde_json::Value {
    let a = &i.account;
    let actors: Vec<_> = i
        .actors
        .top(top, |actor| actor.events)
        .into_iter()
        .map(|(name, actor)| json!({"name": name, "class": actor.class, "events": actor.events}))
        .collect();
    let resources: Vec<_> = i
        .resources
        .top(TOP_RESOURCES, Levels::total)
        .into_iter()
        .map(|(name, levels)| json!({"resource": name, "events": levels.total(), "levels": levels}))
        .collect();
    json!({
        "schema": "leadsman.inspection/v1",
        "formats": a.formats,
        "events": a.events, "samples": a.samples, "runtime": a.runtime, "flows": a.flows,
        "from": i.period.map(|(from, _)| from), "to": i.period.map(|(_, to)| to), "seconds": i.seconds(),
        "actors": {
            "distinct": i.actors.len(), "exact": i.actors.beyond == 0, "events_beyond": i.actors.beyond,
            "by_class": i.actors_by_class(), "events_by_class": i.classes, "top": actors,
        },
        "levels": i.levels,
        "resources": {"distinct": i.resources.len(), "exact": i.resources.beyond == 0, "top": resources},
        "verbs": i.verbs,
        "stages": i.stages,
        "skipped": a.skipped,
        "rejects": a.rejected,
        "reject_examples": report.examples,
        "blind": i.blind(),
    })
}

fn text(i: &Inspection, report: &ReadReport, top: usize) -> String {
    let a = &i.account;
    let mut out = String::new();
    let mut line = |head: &str, rest: &str| {
        out.push_str(&format!("{head:<10} {rest}\n"));
    };
    line("formats", &counts(a.formats.iter()));
    line(
        "items",
        &format!("{} audit events, {} samples, {} runtime events, {} flows", a.events, a.samples, a.runtime, a.flows),
    );
    if let Some((from, to)) = i.period {
        line("period", &format!("{from} to {to}, {}", crate::inspection::length(i.seconds())));
    }
    if a.events > 0 {
        let more = if i.actors.beyond == 0 {
            String::new()
        } else {
            format!(" and more: {} events of actors beyond this bound are counted by class only", i.actors.beyond)
        };
        line("actors", &format!("{}{more}: {}", i.actors.len(), counts(i.actors_by_class().into_iter())));
        line("events by", &counts(i.classes.iter()));
        for (name, actor) in i.actors.top(top, |actor| actor.events) {
            line("", &format!("{:>9}  {}", actor.events, identifier(name)));
        }
        line("levels", &levels(&i.levels));
        for (name, found) in i.resources.top(TOP_RESOURCES, Levels::total) {
            line("", &format!("{:>9}  {}: {}", found.total(), identifier(name), levels(found)));
        }
        let unlisted = i.resources.len().saturating_sub(TOP_RESOURCES);
        if unlisted > 0 {
            line("", &format!("and {unlisted} more resources"));
        }
        line("verbs", &counts(i.verbs.iter()));
        line("stages", &counts(i.stages.iter().map(|(stage, n)| (stage.as_str(), n))));
    }
    if !a.skipped.is_empty() {
        line("skipped", &counts(a.skipped.iter()));
    }
    if !a.rejected.is_empty() {
        line("refused", &counts(a.rejected.iter()));
        for example in &report.examples {
            line("", example);
        }
    }
    for (n, blind) in i.blind().iter().enumerate() {
        line(if n == 0 { "blind to" } else { "" }, &blind.detail);
    }
    out
}

fn levels(levels: &Levels) -> String {
    counts(levels.iter().map(|(level, n)| (format!("{level:?}"), n)))
}

fn counts<K: Display, N: Display>(counts: impl Iterator<Item = (K, N)>) -> String {
    let all: Vec<String> = counts.map(|(key, n)| format!("{key} {n}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
