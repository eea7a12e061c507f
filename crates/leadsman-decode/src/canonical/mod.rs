//! Leadsman's own form of telemetry: one JSON object a line, complete as to what detectors read, without secrets.
//!
//! `datasets convert` writes it, and files of it are read back as the same events, identities included. Because it
//! carries identities it is read from files only, which somebody names, and from records that the re-key stage wrote,
//! never out of a wrapping or from another live source: whoever can write a log line must not choose under which
//! identity an event is known.
//!
//! `apiVersion` is [`API_VERSION`]; `kind` is `AuditEvent`, `MetricSample`, `RuntimeEvent` or `NetworkFlow`. Names are
//! those of `audit.k8s.io/v1` where it has them. A field that is added makes a new version.

mod audit;
mod flow;
mod runtime;
mod sample;

use std::borrow::Cow;

use leadsman_domain::{Decoded, Format, RejectReason, Untrusted};
use serde::{Deserialize, Serialize};

use crate::collect::{Collector, Terms};
use crate::formats::Document;
use crate::json::{self, fields};
use crate::refusal::Refusal;

/// The version that is written, and the only one so far.
pub const API_VERSION: &str = "leadsman/v1";
/// How the versions of every release begin.
const GROUP: &str = "leadsman/";
/// How an audit event begins as it is written here.
const HEAD: &[u8] = br#"{"apiVersion":"leadsman/v1","kind":"AuditEvent","#;

/// Text that is borrowed from an event when it is written, and its own when it is read.
type Text<'a> = Cow<'a, str>;

/// The one value of `apiVersion`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Version {
    #[serde(rename = "leadsman/v1")]
    V1,
}

/// What a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    AuditEvent,
    MetricSample,
    RuntimeEvent,
    NetworkFlow,
}

/// Writes everything that `decoded` holds, one line each: audit events, samples, runtime events, flows, in their orders.
///
/// Errors: those of `serde_json`; none for what was decoded.
pub fn write(decoded: &Decoded, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    for event in &decoded.events {
        line(&audit::Body::from(event), to)?;
    }
    for sample in &decoded.samples {
        line(&sample::Body::from(sample), to)?;
    }
    for event in &decoded.runtime {
        line(&runtime::Body::from(event), to)?;
    }
    for flow in &decoded.flows {
        line(&flow::Body::from(flow), to)?;
    }
    Ok(())
}

fn line(body: &impl Serialize, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *to, body)?;
    to.push(b'\n');
    Ok(())
}

/// Whether `bytes` begin as an audit event does that was written here: it needs no other attempt.
pub(crate) fn is_event(bytes: &[u8]) -> bool {
    bytes.starts_with(HEAD)
}

/// Whether `version` belongs to this form.
pub(crate) fn is_version(version: &str) -> bool {
    version.starts_with(GROUP)
}

/// Decodes a record that holds one item of this form, and of no other.
pub(crate) fn record(bytes: &[u8], terms: Terms<'_>, out: &mut Collector) {
    if json::is_blank(bytes) {
        return;
    }
    match json::checked(bytes, terms.limits.max_depth) {
        Ok(json) => decode(Document { json, line: 1, terms }, out),
        Err(refusal) => out.reject(1, refusal, bytes),
    }
}

/// Decodes a document of this form.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) {
    if let Err(refusal) = take(document, out) {
        out.reject(document.line, refusal, document.json.as_bytes());
    }
}

fn take(document: Document<'_>, out: &mut Collector) -> Result<(), Refusal> {
    let terms = document.terms;
    if !terms.from_file || terms.depth > 0 {
        let detail = "the canonical form carries identities, so it is read from files only; send the original events";
        return Err(Refusal::new(RejectReason::UnknownShape, detail));
    }
    match kind_of(document.json)? {
        Kind::AuditEvent => {
            let event = parse::<audit::Body<'_>>(document.json)?.event(terms.ctx);
            terms.plausible(terms.after_1970(event.event_time, "requestReceivedTimestamp")?)?;
            out.push(event, false, Format::Canonical);
        }
        Kind::MetricSample => {
            let sample = parse::<sample::Body<'_>>(document.json)?.sample(terms)?;
            out.sample(sample, Format::Canonical);
        }
        Kind::RuntimeEvent => {
            let event = parse::<runtime::Body<'_>>(document.json)?.event();
            terms.after_1970(event.event_time, "timestamp")?;
            out.runtime(document, Ok((Format::Canonical, event)));
        }
        Kind::NetworkFlow => {
            let flow = parse::<flow::Body<'_>>(document.json)?.flow();
            terms.after_1970(flow.event_time, "timestamp")?;
            out.flow(document, Ok(flow), Format::Canonical);
        }
    }
    Ok(())
}

fn kind_of(json: &str) -> Result<Kind, Refusal> {
    if is_event(json.as_bytes()) {
        return Ok(Kind::AuditEvent);
    }
    let [version, kind] = fields(json, &["apiVersion", "kind"]).map_err(|e| Refusal::json(&e, "not an object"))?;
    if version.and_then(json::text).as_deref() != Some(API_VERSION) {
        let detail = "a version of the canonical form that this release does not know; use a newer release";
        return Err(Refusal::new(RejectReason::UnknownApiVersion, detail));
    }
    kind.and_then(|kind| serde_json::from_str(kind.get()).ok())
        .ok_or_else(|| Refusal::invalid("kind", "one of AuditEvent, MetricSample, RuntimeEvent and NetworkFlow"))
}

/// Parses strictly: what is unknown, missing or there twice is an error, and the payload is not quoted.
fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Refusal> {
    serde_json::from_str(json).map_err(|e| {
        if !e.is_data() {
            return Refusal::json(&e, "not an object");
        }
        let place = format!("not as {API_VERSION} has it, at line {} column {} of the item", e.line(), e.column());
        Refusal::new(RejectReason::InvalidField, place)
    })
}

fn text(text: &Untrusted) -> Text<'_> {
    Cow::Borrowed(text.raw())
}

fn texts(all: &[Untrusted]) -> Vec<Text<'_>> {
    all.iter().map(text).collect()
}

fn untrusted(text: Text<'_>) -> Untrusted {
    Untrusted::new(text)
}
