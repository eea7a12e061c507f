//! Whether the audit policy lets detectors see what they look for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{ActorRules, Level, PayloadKind, RawRecord};

use super::{Check, Verdict, check};
use crate::clock;
use crate::inspection::Inspection;

/// What is read of a log: its end, because a policy can change.
const READ: u64 = 8 * 1024 * 1024;
/// From fewer events nothing can be said about what is missing.
const ENOUGH: u64 = 1_000;
/// What a policy decides, of all that an inspection may find missing.
const OF_POLICY: [&str; 8] = [
    "rbac_bodies",
    "workload_bodies",
    "no_secrets",
    "no_reads",
    "no_outcome",
    "no_user_agent",
    "no_source_ip",
    "no_code",
];

/// Looks at the end of an audit log; `None` when it is not there or holds too little.
pub(super) fn of_file(path: &Path) -> Option<Check> {
    let bytes = end(path).ok()?.into();
    let record = RawRecord { offset: 0, received_at: clock::now(), kind: PayloadKind::K8sAudit, bytes };
    judge(&path.display().to_string(), std::slice::from_ref(&record))
}

/// Looks at the newest records of a topic; `None` when they hold too little.
pub(super) fn of_records(topic: &str, records: &[RawRecord]) -> Option<Check> {
    judge(&format!("`{topic}`"), records)
}

/// The last part of a file, from the beginning of a line on.
fn end(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(READ);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(READ).read_to_end(&mut bytes)?;
    if from > 0 {
        let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..line);
    }
    Ok(bytes)
}

fn judge(name: &str, records: &[RawRecord]) -> Option<Check> {
    let context = DecodeContext { cluster: "doctor".to_owned(), rules: ActorRules::default(), redaction_key: None };
    let limits = Limits::default();
    let mut seen = Inspection::default();
    for record in records {
        seen.add(&leadsman_decode::record(&context, &limits, record));
    }
    let events = seen.account.events;
    if events < ENOUGH {
        return None;
    }
    let mut missing: Vec<_> =
        seen.blind().into_iter().filter(|b| OF_POLICY.contains(&b.id)).map(|b| b.detail).collect();
    missing.extend(bodies_of_secrets(&seen));
    let of = format!("{name}, its newest {events} events");
    Some(if missing.is_empty() {
        check("policy", Verdict::Ok, format!("{of}: everything that detectors look for is logged"))
    } else {
        check("policy", Verdict::Warn, format!("{of}: {}", missing.join("; ")))
    })
}

/// A policy can also log too much.
fn bodies_of_secrets(seen: &Inspection) -> Option<String> {
    let named = seen.resources.top(usize::MAX, |levels| levels.total());
    let (_, levels) = named.into_iter().find(|(name, _)| *name == "secrets")?;
    let with_body: u64 = levels
        .iter()
        .filter(|(level, _)| matches!(level, Level::Request | Level::RequestResponse))
        .map(|(_, n)| n)
        .sum();
    (with_body > 0).then(|| {
        format!(
            "{with_body} requests for secrets are logged with their bodies, and so with what is secret: the audit policy should log them at level Metadata"
        )
    })
}
