//! Falco alerts, from Falco itself (`json_output: true`) or through falcosidekick.

use leadsman_domain::{Format, RuntimeEvent, RuntimeSeverity, RuntimeTool, SkipReason};

use super::fields::{number, required, time, word, words};
use super::runtime::{MAX_TAGS, Seen};
use super::{Document, Raw};
use crate::collect::Collector;
use crate::json::{fields, fields_of, optional_text};
use crate::refusal::Refusal;

/// What Falco says about itself comes under names of rules that no rule has.
const DROPS: &str = "Falco internal: syscall event drop";
const METRICS: &str = "Falco internal: metrics snapshot";

pub(crate) fn decode(document: Document<'_>, out: &mut Collector) {
    let [rule, uuid] = fields(document.json, &["rule", "uuid"]).unwrap_or_default();
    let reason = match word(rule).as_deref() {
        Some(DROPS) => SkipReason::SourceLoss,
        Some(METRICS) => SkipReason::ToolStatus,
        Some(_) | None => return out.runtime(document, alert(document)),
    };
    out.format(format_of(uuid));
    out.skip(reason);
}

/// Only falcosidekick gives alerts an id.
fn format_of(uuid: Raw<'_>) -> Format {
    if uuid.is_some() { Format::Falcosidekick } else { Format::Falco }
}

fn alert(document: Document<'_>) -> Result<(Format, RuntimeEvent), Refusal> {
    let [uuid, output, priority, rule, when, output_fields, hostname, tags] =
        fields(document.json, &["uuid", "output", "priority", "rule", "time", "output_fields", "hostname", "tags"])
            .map_err(|e| Refusal::json(&e, "not an object"))?;
    let [kind, namespace, pod, container, container_id, image, exe, name, command, pid, parent, user, uid] = fields_of(
        output_fields,
        &[
            "evt.type",
            "k8s.ns.name",
            "k8s.pod.name",
            "container.name",
            "container.id",
            "container.image.repository",
            "proc.exepath",
            "proc.name",
            "proc.cmdline",
            "proc.pid",
            "proc.pname",
            "user.name",
            "user.uid",
        ],
    );
    // Alerts of the plugin `k8saudit` are about a request, not about a process.
    let [audit_verb, audit_namespace, audit_pod, audit_user] =
        fields_of(output_fields, &["ka.verb", "ka.target.namespace", "ka.target.pod.name", "ka.user.name"]);
    let priority = required(priority, "priority")?;
    let format = format_of(uuid);
    let seen = Seen {
        native_id: optional_text(uuid, "uuid")?,
        rule: required(rule, "rule")?,
        operation: word(kind).or_else(|| word(audit_verb)),
        severity: severity(&priority),
        priority: Some(priority),
        message: optional_text(output, "output")?,
        node: word(hostname),
        namespace: word(namespace).or_else(|| word(audit_namespace)),
        pod: word(pod).or_else(|| word(audit_pod)),
        // On the node itself, Falco calls the container `host`.
        container: word(container).or_else(|| word(container_id)).filter(|c| c != "host"),
        image: word(image),
        exe: word(exe).or_else(|| word(name)),
        command_line: word(command),
        pid: number(pid),
        parent: word(parent),
        user: word(user).or_else(|| word(audit_user)).or_else(|| word(uid)),
        tags: words(tags, MAX_TAGS),
    };
    let event_time = time(when, "time")?;
    Ok((format, seen.event(document, RuntimeTool::Falco, event_time)))
}

/// Source: `falcosidekick/types/priority.go`; Falco itself writes the same words, and `Informational` for info.
fn severity(priority: &str) -> RuntimeSeverity {
    match priority.to_ascii_lowercase().as_str() {
        "debug" | "informational" | "info" => RuntimeSeverity::Info,
        "notice" => RuntimeSeverity::Low,
        "warning" => RuntimeSeverity::Medium,
        "error" => RuntimeSeverity::High,
        "critical" | "alert" | "emergency" => RuntimeSeverity::Critical,
        _ => RuntimeSeverity::Unknown,
    }
}
