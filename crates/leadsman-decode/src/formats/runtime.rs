//! What the decoders of runtime-security tools have in common.

use std::borrow::Cow;

use leadsman_domain::{
    ContentHash, EventId, Process, RuntimeEvent, RuntimeSeverity, RuntimeTool, Timestamp, WorkloadRef,
};

use super::Document;
use crate::text;

/// Most tags that are kept.
pub(crate) const MAX_TAGS: usize = 64;

type Text<'a> = Option<Cow<'a, str>>;

/// What a tool saw, in its own words.
#[derive(Debug, Default)]
pub(crate) struct Seen<'a> {
    /// The tool's own identity of the event. It binds, but is never trusted alone.
    pub(crate) native_id: Text<'a>,
    pub(crate) rule: Cow<'a, str>,
    pub(crate) operation: Text<'a>,
    pub(crate) severity: RuntimeSeverity,
    pub(crate) priority: Text<'a>,
    pub(crate) message: Text<'a>,
    pub(crate) node: Text<'a>,
    pub(crate) namespace: Text<'a>,
    pub(crate) pod: Text<'a>,
    pub(crate) container: Text<'a>,
    pub(crate) image: Text<'a>,
    pub(crate) exe: Text<'a>,
    pub(crate) command_line: Text<'a>,
    pub(crate) pid: Option<u32>,
    pub(crate) parent: Text<'a>,
    pub(crate) user: Text<'a>,
    pub(crate) tags: Vec<Cow<'a, str>>,
}

impl Seen<'_> {
    /// The canonical event. Its identity covers every field, uncut: who can repeat an id cannot hide an event by it.
    pub(crate) fn event(self, document: Document<'_>, tool: RuntimeTool, event_time: Timestamp) -> RuntimeEvent {
        let id = EventId::new(self.hash(&document.terms.ctx.cluster, tool, event_time));
        RuntimeEvent {
            id,
            event_time,
            tool,
            rule: text::name(self.rule),
            operation: self.operation.map(text::name),
            severity: self.severity,
            priority: self.priority.map(text::name),
            message: self.message.map(text::command),
            workload: WorkloadRef {
                node: self.node.map(text::name),
                namespace: self.namespace.map(text::name),
                pod: self.pod.map(text::name),
                container: self.container.map(text::name),
                image: self.image.map(text::name),
            },
            process: Process {
                exe: self.exe.map(text::name),
                command_line: self.command_line.map(text::command),
                pid: self.pid,
                parent: self.parent.map(text::name),
            },
            user: self.user.map(text::name),
            tags: self.tags.into_iter().map(text::name).collect(),
        }
    }

    fn hash(&self, cluster: &str, tool: RuntimeTool, time: Timestamp) -> u128 {
        let mut hash = ContentHash::new("leadsman runtime event v1")
            .field(cluster)
            .field(tool.as_str())
            .field(time.as_micros().to_le_bytes())
            .field(&*self.rule)
            .optional(self.pid.map(u32::to_le_bytes));
        for part in [
            &self.native_id,
            &self.operation,
            &self.priority,
            &self.message,
            &self.node,
            &self.namespace,
            &self.pod,
            &self.container,
            &self.image,
            &self.exe,
            &self.command_line,
            &self.parent,
            &self.user,
        ] {
            hash = hash.optional(part.as_deref());
        }
        self.tags.iter().fold(hash, |hash, tag| hash.field(&**tag)).finish()
    }
}
