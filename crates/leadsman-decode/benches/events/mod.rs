//! The events that the benchmarks read, and the readers' job.
//!
//! They come from `gen_audit.py` of the bench kit. `LEADSMAN_BENCH_KIT` names its directory; by default it is
//! `../shared/bench` beside the workspace.

use std::path::{Path, PathBuf};
use std::process::Command;

use leadsman_decode::Envelope;
use leadsman_decode::envelope::{Field, Kernel, Text};

use crate::report::Failure;

const DEPTH: usize = 128;

/// A file of so many events, generated once.
#[expect(clippy::disallowed_methods, reason = "a benchmark is its own main")]
pub(crate) fn file(out: &Path, count: usize) -> Result<PathBuf, Failure> {
    let file = out.join(format!("audit-{count}.ndjson"));
    if !file.exists() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let kit = std::env::var("LEADSMAN_BENCH_KIT").map_or_else(|_| root.join("../shared/bench"), PathBuf::from);
        let generator = kit.join("gen_audit.py");
        if !generator.exists() {
            return Err(format!(
                "no {}: set LEADSMAN_BENCH_KIT to the bench kit's directory; nothing was measured",
                generator.display()
            )
            .into());
        }
        let part = out.join("audit.part");
        run(Command::new("python3").arg(generator).arg(count.to_string()).arg(&part))?;
        std::fs::rename(part, &file)?;
    }
    Ok(file)
}

/// The events of a file.
pub(crate) fn of<'a>(bytes: &'a [u8], file: &Path, count: usize) -> Result<Vec<&'a [u8]>, Failure> {
    let events: Vec<&[u8]> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
    if events.len() != count {
        return Err(format!("{} holds {} events: remove it and run again", file.display(), events.len()).into());
    }
    Ok(events)
}

/// Reads an event in the fast way and weighs it.
pub(crate) fn read(kernel: Kernel, event: &[u8], room: &mut Vec<u8>) -> Result<u64, Failure> {
    let mut envelope = Envelope::default();
    if !kernel.read_into(&mut envelope, event, DEPTH) {
        return Err("the fast reader refused an event of the API server".into());
    }
    weight(&envelope, room).ok_or_else(|| "a text is none".into())
}

/// The sum that every reader of this benchmark takes of the 20 fields.
pub(crate) fn weight(e: &Envelope<'_>, room: &mut Vec<u8>) -> Option<u64> {
    let mut sum = 0;
    let mut add = |text: Field<Text<'_>>| {
        match text {
            Field::Absent => {}
            Field::Given(text) => sum += text.get_in(room)?.len(),
            Field::Wrong => return None,
        }
        Some(())
    };
    for text in [e.level, e.audit_id, e.stage, e.request_uri, e.verb, e.user_agent, e.request_received, e.stage_time] {
        add(text)?;
    }
    add(e.decision)?;
    add(e.reason)?;
    if let Field::Given(object) = e.object_ref {
        for text in [object.resource, object.namespace, object.name, object.api_group, object.subresource] {
            add(text)?;
        }
    }
    if let Field::Given(user) = e.user {
        add(user.name)?;
        add(user.uid)?;
        sum += user.groups;
    }
    if let Field::Given(addresses) = e.source_ips {
        sum += addresses.count;
    }
    if let Field::Given(Field::Given(code)) = e.response_status {
        sum += usize::from(code);
    }
    Some(sum as u64)
}

pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
