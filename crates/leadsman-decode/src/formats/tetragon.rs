//! Tetragon events: the JSON of `tetragon.GetEventsResponse`, one per line of the export file.

use std::borrow::Cow;

use leadsman_domain::{Format, RuntimeEvent, RuntimeSeverity, RuntimeTool, SkipReason};
use serde_json::value::RawValue;

use super::fields::{number, time, word, words};
use super::runtime::{MAX_TAGS, Seen};
use super::{Document, Raw, list};
use crate::collect::Collector;
use crate::json::{fields, fields_of};
use crate::refusal::Refusal;

const KINDS: [&str; 8] = [
    "process_exec",
    "process_exit",
    "process_kprobe",
    "process_tracepoint",
    "process_loader",
    "process_uprobe",
    "process_lsm",
    "process_usdt",
];
/// Most arguments of a probe that are kept.
const MAX_ARGS: usize = 32;

/// `false` when the document is none of Tetragon's, and nothing was taken.
pub(crate) fn decode(document: Document<'_>, out: &mut Collector) -> bool {
    let Ok(found) = fields(document.json, &KINDS) else { return false };
    for (kind, body) in KINDS.into_iter().zip(found) {
        if let Some(body) = body {
            out.runtime(document, event(document, kind, body).map(|event| (Format::Tetragon, event)));
            return true;
        }
    }
    let [limited, throttled, test] =
        fields_of(serde_json::from_str(document.json).ok(), &["rate_limit_info", "process_throttle", "test"]);
    let reason = match (limited.or(throttled), test) {
        (Some(_), _) => SkipReason::SourceLoss,
        (None, Some(_)) => SkipReason::ToolStatus,
        (None, None) => return false,
    };
    out.format(Format::Tetragon);
    out.skip(reason);
    true
}

fn event(document: Document<'_>, kind: &'static str, body: &RawValue) -> Result<RuntimeEvent, Refusal> {
    let [when, node] = fields(document.json, &["time", "node_name"]).map_err(|e| Refusal::json(&e, "not an object"))?;
    let [process, parent, function, subsystem, point, policy, message, tags, args] = fields(
        body.get(),
        &["process", "parent", "function_name", "subsys", "event", "policy_name", "message", "tags", "args"],
    )
    .map_err(|_| Refusal::invalid("the event", "an object"))?;
    let process = process.ok_or_else(|| Refusal::missing("process"))?;
    let [exec_id, pid, uid, binary, arguments, pod, user] =
        fields(process.get(), &["exec_id", "pid", "uid", "binary", "arguments", "pod", "user"])
            .map_err(|_| Refusal::invalid("process", "an object"))?;
    let [namespace, pod_name, container] = fields_of(pod, &["namespace", "name", "container"]);
    let [container_id, container_name, image] = fields_of(container, &["id", "name", "image"]);
    let [image] = fields_of(image, &["name"]);
    let [user_name] = fields_of(user, &["name"]);
    let [parent] = fields_of(parent, &["binary"]);
    let operation = word(function).or_else(|| match (word(subsystem), word(point)) {
        (Some(subsystem), Some(point)) => Some(format!("{subsystem}/{point}").into()),
        (subsystem, point) => subsystem.or(point),
    });
    let exe = word(binary);
    let seen = Seen {
        native_id: word(exec_id),
        rule: word(policy).unwrap_or(Cow::Borrowed(kind)),
        operation: operation.or(Some(Cow::Borrowed(kind))),
        severity: RuntimeSeverity::Unknown,
        priority: None,
        message: word(message).or_else(|| arguments_of_probe(args)),
        node: word(node),
        namespace: word(namespace),
        pod: word(pod_name),
        container: word(container_name).or_else(|| word(container_id)),
        image: word(image),
        command_line: exe.clone().map(|exe| match word(arguments) {
            Some(arguments) => format!("{exe} {arguments}").into(),
            None => exe,
        }),
        exe,
        pid: number(pid),
        parent: word(parent),
        user: word(user_name).or_else(|| word(uid)),
        tags: words(tags, MAX_TAGS),
    };
    let event_time = time(when, "time")?;
    Ok(seen.event(document, RuntimeTool::Tetragon, event_time))
}

/// Texts, paths and addresses among the arguments of a kernel function, joined.
fn arguments_of_probe(args: Raw<'_>) -> Option<Cow<'_, str>> {
    let mut shown: Vec<Cow<'_, str>> = Vec::new();
    let walked = list::each(args?, "args", |arg| {
        let [text, path, file, program, socket, address] = fields_of(
            Some(arg),
            &["string_arg", "path_arg", "file_arg", "linux_binprm_arg", "sock_arg", "sockaddr_arg"],
        );
        let [path] = fields_of(path.or(file).or(program), &["path"]);
        let ([to, to_port], [address, port]) =
            (fields_of(socket, &["daddr", "dport"]), fields_of(address, &["addr", "port"]));
        let address = word(to.or(address)).map(|address| match word(to_port.or(port)) {
            Some(port) => Cow::Owned(format!("{address} {port}")),
            None => address,
        });
        if shown.len() < MAX_ARGS {
            shown.extend(word(text).or_else(|| word(path)).or(address));
        }
    });
    (walked.is_ok() && !shown.is_empty()).then(|| shown.join(", ").into())
}
