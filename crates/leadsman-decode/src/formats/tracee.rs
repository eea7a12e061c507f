//! Tracee events: the JSON of `trace.Event`, and that of the protobuf `tracee.v1beta1.Event`.

use std::borrow::Cow;

use leadsman_domain::{Format, RuntimeEvent, RuntimeSeverity, RuntimeTool, Timestamp};

use super::fields::{number, required, time, word, words};
use super::runtime::{MAX_TAGS, Seen};
use super::{Document, Raw, list};
use crate::collect::Collector;
use crate::json::{fields, fields_of};
use crate::refusal::Refusal;

/// 2001-09-09 in nanoseconds. What is smaller counts from the boot of a machine.
const FIRST_PLAUSIBLE: i64 = 1_000_000_000_000_000_000;

/// A `trace.Event`.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) {
    out.runtime(document, event(document).map(|event| (Format::Tracee, event)));
}

/// A `tracee.v1beta1.Event`.
pub(crate) fn decode_v1beta1(document: Document<'_>, out: &mut Collector) {
    out.runtime(document, event_v1beta1(document).map(|event| (Format::Tracee, event)));
}

fn event(document: Document<'_>) -> Result<RuntimeEvent, Refusal> {
    let keys = [
        "timestamp",
        "eventName",
        "hostProcessId",
        "userId",
        "processName",
        "executable",
        "hostName",
        "containerId",
        "container",
        "kubernetes",
        "matchedPolicies",
        "syscall",
        "args",
        "metadata",
        "threadEntityId",
    ];
    let [
        when,
        name,
        pid,
        user,
        process,
        executable,
        host,
        container_id,
        container,
        kubernetes,
        policies,
        syscall,
        args,
        metadata,
        entity,
    ] = fields(document.json, &keys).map_err(|e| Refusal::json(&e, "not an object"))?;
    let [path] = fields_of(executable, &["path"]);
    let [id, container_name, image] = fields_of(container, &["id", "name", "image"]);
    let [pod, namespace] = fields_of(kubernetes, &["podName", "podNamespace"]);
    let [description, tags, properties] = fields_of(metadata, &["Description", "Tags", "Properties"]);
    let [level, signature, technique] = fields_of(properties, &["Severity", "signatureName", "external_id"]);
    let name = required(name, "eventName")?;
    let policies = words(policies, 1);
    // One place is left for the technique.
    let mut tags = words(tags, MAX_TAGS - 1);
    tags.extend(word(technique));
    let container_id = word(id).or_else(|| word(container_id));
    // The host name is that of the process: the node's only outside of containers.
    let node = if container_id.is_none() { word(host) } else { None };
    let seen = Seen {
        native_id: word(entity),
        rule: word(signature).or_else(|| policies.into_iter().next()).unwrap_or_else(|| name.clone()),
        operation: Some(if name.is_empty() { word(syscall).unwrap_or_default() } else { name }),
        severity: number(level).map_or(RuntimeSeverity::Unknown, severity),
        priority: word(level),
        message: word(description),
        node,
        namespace: word(namespace),
        pod: word(pod),
        container: word(container_name).or(container_id),
        image: word(image),
        exe: word(path).or_else(|| word(process)),
        command_line: command_line(args),
        pid: number(pid),
        parent: None,
        user: word(user),
        tags,
    };
    let nanos = number(when).ok_or_else(|| Refusal::invalid("timestamp", "a number of nanoseconds"))?;
    Ok(seen.event(document, RuntimeTool::Tracee, since_epoch(nanos)?))
}

fn since_epoch(nanos: i64) -> Result<Timestamp, Refusal> {
    if nanos < FIRST_PLAUSIBLE {
        return Err(Refusal::invalid("timestamp", "a time of day; Tracee must not write times relative to boot"));
    }
    Ok(Timestamp::from_micros(nanos / 1_000))
}

/// The argument vector, joined; else what was opened or run.
fn command_line(args: Raw<'_>) -> Option<Cow<'_, str>> {
    let (mut vector, mut path) = (None, None);
    let walked = list::each(args?, "args", |arg| {
        let [name, value] = fields_of(Some(arg), &["name", "value"]);
        match word(name).as_deref() {
            Some("argv") => vector = Some(words(value, usize::MAX).join(" ")),
            Some("pathname" | "cmdpath") => path = word(value),
            Some(_) | None => {}
        }
    });
    walked.ok()?;
    vector.filter(|v| !v.is_empty()).map(Cow::Owned).or(path)
}

fn event_v1beta1(document: Document<'_>) -> Result<RuntimeEvent, Refusal> {
    let [when, name, policies, workload, context, threat] =
        fields(document.json, &["timestamp", "name", "policies", "workload", "context", "threat"])
            .map_err(|e| Refusal::json(&e, "not an object"))?;
    let [process, container, k8s] = fields_of(workload.or(context), &["process", "container", "k8s"]);
    let [executable, pid, user, parent] = fields_of(process, &["executable", "pid", "realUser", "parent"]);
    let [path] = fields_of(executable, &["path"]);
    let [parent_executable] = fields_of(parent, &["executable"]);
    let [parent_path] = fields_of(parent_executable, &["path"]);
    let [uid] = fields_of(user, &["id"]);
    let [id, container_name, image] = fields_of(container, &["id", "name", "image"]);
    let [image] = fields_of(image, &["name"]);
    let [pod, namespace] = fields_of(k8s, &["pod", "namespace"]);
    let ([pod], [namespace]) = (fields_of(pod, &["name"]), fields_of(namespace, &["name"]));
    let [matched] = fields_of(policies, &["matched"]);
    let [description, mitre, level, threat_name] = fields_of(threat, &["description", "mitre", "severity", "name"]);
    let [technique] = fields_of(mitre, &["technique"]);
    let [technique] = fields_of(technique, &["id"]);
    let name = required(name, "name")?;
    let seen = Seen {
        rule: word(threat_name).or_else(|| words(matched, 1).into_iter().next()).unwrap_or_else(|| name.clone()),
        operation: Some(name),
        severity: word(level).map_or(RuntimeSeverity::Unknown, |level| named_severity(&level)),
        priority: word(level),
        message: word(description),
        namespace: word(namespace),
        pod: word(pod),
        container: word(container_name).or_else(|| word(id)),
        image: word(image),
        exe: word(path),
        pid: number(pid),
        parent: word(parent_path),
        user: word(uid),
        tags: word(technique).into_iter().collect(),
        ..Seen::default()
    };
    let event_time = time(when, "timestamp")?;
    Ok(seen.event(document, RuntimeTool::Tracee, event_time))
}

/// Source: enum `Severity` of `tracee/types/api/v1beta1/event.proto`.
fn severity(level: i64) -> RuntimeSeverity {
    match level {
        0 => RuntimeSeverity::Info,
        1 => RuntimeSeverity::Low,
        2 => RuntimeSeverity::Medium,
        3 => RuntimeSeverity::High,
        4 => RuntimeSeverity::Critical,
        _ => RuntimeSeverity::Unknown,
    }
}

fn named_severity(level: &str) -> RuntimeSeverity {
    match level {
        "INFO" => RuntimeSeverity::Info,
        "LOW" => RuntimeSeverity::Low,
        "MEDIUM" => RuntimeSeverity::Medium,
        "HIGH" => RuntimeSeverity::High,
        "CRITICAL" => RuntimeSeverity::Critical,
        number => number.parse().map_or(RuntimeSeverity::Unknown, severity),
    }
}
