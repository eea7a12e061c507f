use leadsman_domain::{
    EventId, Process, RuntimeEvent, RuntimeSeverity, RuntimeTool, Timestamp, Untrusted, WorkloadRef,
};
use serde::{Deserialize, Serialize};

use super::{Kind, Text, Version, text, texts};
use crate::formats::MAX_TAGS;
use crate::text::{command, name};

/// What a runtime-security tool saw.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body<'a> {
    api_version: Version,
    kind: Kind,
    id: EventId,
    timestamp: Timestamp,
    tool: RuntimeTool,
    rule: Text<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    operation: Option<Text<'a>>,
    severity: RuntimeSeverity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<Text<'a>>,
    workload: Workload<'a>,
    process: Proc<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Workload<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Text<'a>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Proc<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exe: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command_line: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Text<'a>>,
}

impl<'a> From<&'a RuntimeEvent> for Body<'a> {
    fn from(e: &'a RuntimeEvent) -> Self {
        let optional = |t: &'a Option<Untrusted>| t.as_ref().map(text);
        Self {
            api_version: Version::V1,
            kind: Kind::RuntimeEvent,
            id: e.id,
            timestamp: e.event_time,
            tool: e.tool,
            rule: text(&e.rule),
            operation: optional(&e.operation),
            severity: e.severity,
            priority: optional(&e.priority),
            message: optional(&e.message),
            workload: Workload {
                node: optional(&e.workload.node),
                namespace: optional(&e.workload.namespace),
                pod: optional(&e.workload.pod),
                container: optional(&e.workload.container),
                image: optional(&e.workload.image),
            },
            process: Proc {
                exe: optional(&e.process.exe),
                command_line: optional(&e.process.command_line),
                pid: e.process.pid,
                parent: optional(&e.process.parent),
            },
            user: optional(&e.user),
            tags: texts(&e.tags),
        }
    }
}

impl Body<'_> {
    pub(super) fn event(self) -> RuntimeEvent {
        RuntimeEvent {
            id: self.id,
            event_time: self.timestamp,
            tool: self.tool,
            rule: name(self.rule),
            operation: self.operation.map(name),
            severity: self.severity,
            priority: self.priority.map(name),
            message: self.message.map(command),
            workload: WorkloadRef {
                node: self.workload.node.map(name),
                namespace: self.workload.namespace.map(name),
                pod: self.workload.pod.map(name),
                container: self.workload.container.map(name),
                image: self.workload.image.map(name),
            },
            process: Process {
                exe: self.process.exe.map(name),
                command_line: self.process.command_line.map(command),
                pid: self.process.pid,
                parent: self.process.parent.map(name),
            },
            user: self.user.map(name),
            tags: self.tags.into_iter().take(MAX_TAGS).map(name).collect(),
        }
    }
}
