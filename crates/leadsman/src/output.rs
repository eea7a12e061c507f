//! Data on stdout, talk on stderr.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use comfy_table::{ContentArrangement, Table};
use leadsman_domain::Finding;
use serde::Serialize;

/// Writes one JSON document: indented on a terminal, one line in a pipe.
///
/// Errors: when stdout is closed.
pub fn json(document: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        serde_json::to_writer_pretty(&mut out, document)?
    } else {
        serde_json::to_writer(&mut out, document)?
    }
    writeln!(out)?;
    Ok(())
}

/// Writes text.
///
/// Errors: when stdout is closed.
pub fn text(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        writeln!(out)?;
    }
    Ok(())
}

/// Writes a table.
///
/// Errors: when stdout is closed.
pub fn table(header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(ToString::to_string));
    table.add_rows(rows);
    text(&table.to_string())
}

/// Findings for people: the strangest first.
///
/// Errors: when stdout is closed.
pub fn findings(findings: &[&Finding]) -> Result<()> {
    let mut sorted = findings.to_vec();
    sorted.sort_by(|a, b| b.score.cmp(&a.score).then(a.window.from.cmp(&b.window.from)).then(a.id.cmp(&b.id)));
    for f in sorted {
        text(&format!(
            "{:>3} {:<8} {}  {}\n    {}\n    {}\n",
            f.score, f.severity, f.window.from, f.title, f.explanation.sentence, f.id
        ))?;
    }
    Ok(())
}
