//! What must hold whatever bytes arrive: shared by the fuzz targets and by the ordinary tests.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use leadsman_decode::canonical;
use leadsman_decode::envelope::readers_agree;
use leadsman_decode::{AuditReader, AuditScanner, DecodeContext, EventView, Limits, Memory, Part, record, redacted};
use leadsman_domain::{Decoded, PayloadKind, RawRecord, RuntimeEvent, Timestamp, Untrusted};

/// Small limits, so that small inputs reach them.
pub(crate) const TIGHT: Limits = Limits { max_item_bytes: 700, max_depth: 8, max_decompressed: 5_000, max_ratio: 10 };
/// 2026-03-02T10:00:10Z, a few seconds after the seeds.
const NOW: Timestamp = Timestamp::from_millis(1_772_445_610_000);
const MAX_PAYLOAD: usize = 4 << 10;
const MAX_REJECTS: usize = 1_001;

/// The targets, one per decoder.
#[allow(dead_code, reason = "a fuzz target knows its own name")]
pub(crate) const TARGETS: [&str; 15] = [
    "aks",
    "audit",
    "aws",
    "canonical",
    "cloud_events",
    "envelope",
    "falco",
    "gke",
    "hubble",
    "metrics",
    "mixed",
    "remote_write",
    "shipper",
    "tetragon",
    "tracee",
];

/// Everything: decodes `bytes` as they are, twice, as a file too, and where the decoder of `target` would find them.
pub(crate) fn check(target: &str, bytes: &[u8]) {
    for limits in [TIGHT, Limits::default()] {
        let decoded = check_once(target, bytes, &limits);
        assert_eq!(decoded, check_once(target, bytes, &limits), "decoding is deterministic");
    }
    for limits in [TIGHT, Limits::default()] {
        check_scanner(bytes, limits);
    }
    if let Some(framed) = framed(target, bytes) {
        check_once(target, &framed, &Limits::default());
    }
}

/// What a file of canonical lines gives is the same when it is written and read again. Lines that came any other way
/// than in a file are refused.
fn check_stored(bytes: &[u8], limits: Limits) {
    let first = read_file(bytes, limits);
    let mut lines = Vec::new();
    canonical::write(&first, &mut lines).expect("what was decoded can be written");
    // A line may be longer than it was, by the fields that were left out.
    let second = read_file(&lines, Limits::default());
    assert_eq!(second.rejects, []);
    let shown = |d: &Decoded| format!("{:?} {:?} {:?} {:?}", d.events, d.samples, d.runtime, d.flows);
    assert_eq!(shown(&second), shown(&first));
}

fn read_file(bytes: &[u8], limits: Limits) -> Decoded {
    let mut read = Decoded::default();
    let mut reader = AuditReader::new(bytes, context(), limits, NOW).expect("memory can be read");
    while let Some(chunk) = reader.next_chunk(3).expect("memory can be read") {
        read.append(chunk);
    }
    read
}

/// Looking at a file sees what reading it gives.
pub(crate) fn check_scanner(bytes: &[u8], limits: Limits) {
    let mut read = read_file(bytes, limits);
    let (mut seen, mut rest) = (Vec::new(), Decoded::default());
    let mut watch =
        |event: &EventView<'_>| seen.push((event.event_time, event.verb, redacted(event.actor, None).into_owned()));
    let mut scanner = AuditScanner::new(bytes, context(), limits, NOW).expect("memory can be read");
    let mut memory = Memory::default();
    while let Some(part) = scanner.next(std::mem::take(&mut memory), &mut watch).expect("memory can be read") {
        match part {
            Part::Read(decoded) => rest.append(decoded),
            Part::Lines(block) => {
                rest.append(block.read(&context(), &limits, NOW, &mut watch));
                memory = block.into_memory();
            }
        }
    }
    let events: Vec<_> = read.events.drain(..).map(|e| (e.event_time, e.verb, e.actor.name.to_string())).collect();
    assert_eq!(seen, events);
    // Items count from the beginning of a block there, and of the file here.
    read.rejects.iter_mut().chain(&mut rest.rejects).for_each(|reject| reject.item = 0);
    assert_eq!(rest, read);
}

/// Every reader of audit events takes the same from `bytes`: the portable one, those of the vector instructions and
/// `serde_json`, as far as it accepts them.
pub(crate) fn check_readers(bytes: &[u8]) {
    for max_depth in [TIGHT.max_depth, Limits::default().max_depth] {
        assert!(readers_agree(bytes, max_depth), "readers differ within {max_depth} brackets");
    }
}

/// Decodes `bytes` as they are.
pub(crate) fn check_once(target: &str, bytes: &[u8], limits: &Limits) -> Decoded {
    if target == "envelope" {
        check_readers(bytes);
    }
    if target == "canonical" {
        check_stored(bytes, *limits);
    }
    let kind = match target {
        "metrics" => PayloadKind::MetricJson,
        "remote_write" => PayloadKind::PrometheusRemoteWrite,
        _ => PayloadKind::K8sAudit,
    };
    let raw = RawRecord { offset: 0, received_at: NOW, kind, bytes: bytes.to_vec().into() };
    let decoded = record(&context(), limits, &raw);
    check_decoded(&decoded, &raw, limits);
    decoded
}

fn check_decoded(decoded: &Decoded, raw: &RawRecord, limits: &Limits) {
    let bytes = &raw.bytes;
    let taken = decoded.events.len() + decoded.runtime.len() + decoded.flows.len() + decoded.samples.len();
    let accounted = taken as u64 + decoded.rejects.len() as u64 + decoded.skipped.total();
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    assert!(blank || accounted > 0, "something went in and nothing is said of it");
    // An empty remote write is refused: it has no length.
    let mut most = bytes.len().max(1) as u64;
    if raw.kind == PayloadKind::PrometheusRemoteWrite || may_inflate(bytes) {
        most += 2 * limits.max_decompressed;
    }
    assert!(accounted <= most, "{accounted} from {} bytes", bytes.len());
    assert!(decoded.rejects.len() <= MAX_REJECTS);
    for reject in &decoded.rejects {
        assert!(reject.line >= 1 && reject.payload.len() <= MAX_PAYLOAD);
    }
    for event in &decoded.runtime {
        check_runtime(event);
    }
    assert!(decoded.flows.iter().all(|f| f.event_time >= Timestamp::default()));
}

fn check_runtime(event: &RuntimeEvent) {
    let within = |text: &Option<Untrusted>, max: usize| text.as_ref().is_none_or(|t| t.raw().len() <= max);
    assert!(within(&event.process.command_line, 4 << 10) && within(&event.message, 4 << 10));
    assert!(within(&event.process.exe, 1 << 10) && within(&event.workload.pod, 1 << 10));
    assert!(event.rule.raw().len() <= 1 << 10 && event.tags.len() <= 65);
    assert!(event.event_time >= Timestamp::default());
}

/// Whether anything in `bytes` could be compressed, by itself or in base64, or be escaped so that it hides that.
fn may_inflate(bytes: &[u8]) -> bool {
    let magic: [&[u8]; 5] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"H4s", b"KLUv", b"\\u"];
    magic.iter().any(|m| bytes.windows(m.len()).any(|w| w == *m))
}

fn context() -> DecodeContext {
    DecodeContext { cluster: "prod".to_owned(), ..DecodeContext::default() }
}

/// `bytes` in the place where the decoder looks deepest: mutation alone rarely gets through gzip and base64.
fn framed(target: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let around = |before: &str, after: &str| Some([before.as_bytes(), bytes, after.as_bytes()].concat());
    match target {
        "aks" => around(r#"{"category":"kube-audit","properties":"#, "}"),
        "audit" => around(r#"{"kind":"EventList","items":["#, "]}"),
        "aws" => {
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(bytes).ok()?;
            Some(format!(r#"{{"awslogs":{{"data":"{}"}}}}"#, STANDARD.encode(gzip.finish().ok()?)).into_bytes())
        }
        "cloud_events" => around(r#"{"specversion":"1.0","data":"#, "}"),
        "falco" => around(r#"{"rule":"r","priority":"Error","time":"2026-03-02T10:00:00Z","output_fields":"#, "}"),
        "gke" => around(r#"{"insertId":"1","timestamp":"2026-03-02T10:00:00Z","protoPayload":"#, "}"),
        "hubble" => around(r#"{"flow":"#, "}"),
        "shipper" => around(r#"{"message":"#, "}"),
        "tetragon" => around(r#"{"time":"2026-03-02T10:00:00Z","process_kprobe":"#, "}"),
        "tracee" => around(r#"{"eventName":"e","timestamp":1772445601250000000,"args":"#, "}"),
        _ => None,
    }
}
