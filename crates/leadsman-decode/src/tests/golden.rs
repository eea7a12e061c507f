//! Every format once, as its specification has it, and what becomes of it.
//!
//! Each line of a golden file is one decoded thing. The ids are stored by every deployment: a change of one is a
//! migration. The samples are the fuzzer's seeds too.

use leadsman_domain::{AuditEvent, Decoded, FlowEndpoint, FlowEvent, Format, PayloadKind, RuntimeEvent, Untrusted};

use super::{context, raw, read_all};
use crate::{Limits, record};

fn or_dash(text: Option<&Untrusted>) -> String {
    text.map_or("-".to_owned(), ToString::to_string)
}

fn audit_line(e: &AuditEvent) -> String {
    format!(
        "audit {} {} {} {:?} {} {} ({}) {} {} in {} named {} uri {} from {} by {} code {:?} forbidden {} risks {:?}",
        e.id,
        e.stage.as_str(),
        e.audit_id,
        e.level,
        e.event_time.to_micro_time(),
        e.actor.name,
        e.actor.class,
        e.verb,
        e.object.api(),
        or_dash(e.object.namespace.as_ref()),
        or_dash(e.object.name.as_ref()),
        e.request_uri,
        or_dash(e.source_ip.as_ref()),
        or_dash(e.user_agent.as_ref()),
        e.code,
        e.forbidden,
        e.risk.is_observed().then(|| e.risk.iter().collect::<Vec<_>>()),
    )
}

fn runtime_line(e: &RuntimeEvent) -> String {
    let w = &e.workload;
    let p = &e.process;
    format!(
        "runtime {} {} {} rule {} operation {} severity {} ({}) at {}/{}/{}/{} image {} exe {} command {} pid {:?} parent {} user {} tags {:?} message {}",
        e.id,
        e.event_time.to_micro_time(),
        e.tool,
        e.rule,
        or_dash(e.operation.as_ref()),
        e.severity,
        or_dash(e.priority.as_ref()),
        or_dash(w.node.as_ref()),
        or_dash(w.namespace.as_ref()),
        or_dash(w.pod.as_ref()),
        or_dash(w.container.as_ref()),
        or_dash(w.image.as_ref()),
        or_dash(p.exe.as_ref()),
        or_dash(p.command_line.as_ref()),
        p.pid,
        or_dash(p.parent.as_ref()),
        or_dash(e.user.as_ref()),
        e.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        or_dash(e.message.as_ref()),
    )
}

fn end(e: &FlowEndpoint) -> String {
    let texts = |all: &[Untrusted]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    format!(
        "{}/{} of {} identity {:?} {:?}:{:?} labels [{}] names [{}]",
        or_dash(e.namespace.as_ref()),
        or_dash(e.pod.as_ref()),
        or_dash(e.workload.as_ref()),
        e.identity,
        e.ip,
        e.port,
        texts(&e.labels),
        texts(&e.names),
    )
}

fn flow_line(e: &FlowEvent) -> String {
    format!(
        "flow {} {} {} {} reply {:?} {:?} from {} to {} dns {} dropped for {} at {}",
        e.id,
        e.event_time.to_micro_time(),
        e.verdict,
        e.direction,
        e.reply,
        e.protocol,
        end(&e.source),
        end(&e.destination),
        or_dash(e.dns_query.as_ref()),
        or_dash(e.drop_reason.as_ref()),
        or_dash(e.node.as_ref()),
    )
}

fn shown(decoded: &Decoded) -> String {
    let mut lines: Vec<String> = decoded.events.iter().map(audit_line).collect();
    lines.extend(decoded.runtime.iter().map(runtime_line));
    lines.extend(decoded.flows.iter().map(flow_line));
    lines.extend(decoded.samples.iter().map(|s| format!("sample {} {} {}", s.name, s.entity(), s.value)));
    lines.extend(
        decoded.rejects.iter().map(|r| format!("reject {} line {} item {}: {}", r.reason, r.line, r.item, r.detail)),
    );
    lines.extend(decoded.skipped.iter().map(|(reason, n)| format!("skipped {reason} {n}")));
    lines.extend(decoded.formats.iter().map(|(format, n)| format!("format {format} {n}")));
    lines.join("\n") + "\n"
}

macro_rules! goldens {
    ($($target:literal: $($sample:literal)+;)+) => {
        /// Target, sample, its bytes and what it decodes to.
        const GOLDENS: &[(&str, &str, &[u8], &str)] = &[$($((
            $target,
            $sample,
            include_bytes!(concat!("../../fuzz/seeds/", $target, "/", $sample)),
            include_str!(concat!("golden/", $target, ".", $sample, ".txt")),
        ),)+)+];
    };
}

goldens! {
    "audit": "event.json" "list.json" "pod.jsonl" "lines.json.gz";
    "shipper": "vector.json" "vector_parsed.json" "fluent_bit.json" "fluent_bit_merged.json" "logstash.json"
        "other.json";
    "aws": "subscription.json" "control.json" "authenticator.json" "kinesis.gz" "kinesis.b64" "lambda.json"
        "firehose.json" "kinesis_lambda.json" "firehose_concatenated.json" "filter_log_events.json" "s3_export.txt"
        "insights.jsonl";
    "aks": "event_hub.json" "line.json" "properties_text.json" "azure_diagnostics.json" "table.json";
    "gke": "exec.json" "binding.json" "denied.json" "other_service.json" "nonresource.json" "pub_sub_push.json";
    "cloud_events": "data.json" "data_base64.json" "text.json" "batch.json";
    "falco": "falco.json" "falcosidekick.json" "k8saudit.json" "drops.json" "metrics.json";
    "tracee": "exec.json" "signature.json" "v1beta1.json";
    "tetragon": "exec.json" "kprobe.json" "tracepoint.json" "lsm.json" "rate_limit.json";
    "hubble": "dropped.json" "dns.json" "lost.json";
    "mixed": "lines.jsonl" "six_deep.json";
}

#[test]
fn every_format_decodes_as_written_down() {
    for (target, sample, bytes, expected) in GOLDENS {
        let decoded = record(&context(), &Limits::default(), &raw(PayloadKind::K8sAudit, *bytes));
        assert_eq!(shown(&decoded), *expected, "{target}/{sample}");
    }
}

#[test]
fn a_file_decodes_as_a_record_does() {
    for (target, sample, bytes, expected) in GOLDENS {
        for size in [1, 100] {
            assert_eq!(shown(&read_all(bytes, Limits::default(), size)), *expected, "{target}/{sample} by {size}");
        }
    }
}

#[test]
fn every_json_format_has_a_golden_sample() {
    let mut all = Decoded::default();
    for (_, _, bytes, _) in GOLDENS {
        all.append(record(&context(), &Limits::default(), &raw(PayloadKind::K8sAudit, *bytes)));
    }
    let found: Vec<Format> = all.formats.iter().map(|(format, _)| format).collect();
    let missing: Vec<Format> = FORMATS.into_iter().filter(|f| !found.contains(f)).collect();
    assert_eq!(missing, [Format::PrometheusRemoteWrite]);
}

const FORMATS: [Format; 21] = [
    Format::AuditEvent,
    Format::AuditEventList,
    Format::Vector,
    Format::FluentBit,
    Format::Logstash,
    Format::CloudWatch,
    Format::AwsLambda,
    Format::AwsRecords,
    Format::CloudWatchExport,
    Format::AksDiagnostics,
    Format::AksTable,
    Format::Gke,
    Format::PubSub,
    Format::CloudEvents,
    Format::Falco,
    Format::Falcosidekick,
    Format::Tracee,
    Format::Tetragon,
    Format::Hubble,
    Format::MetricJson,
    Format::PrometheusRemoteWrite,
];
