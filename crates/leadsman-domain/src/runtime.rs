use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{EventId, Timestamp, Untrusted};

/// What a runtime-security tool saw on a node, canonical: the same for every tool.
///
/// A workload chooses nearly all of the text here, command lines above all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeEvent {
    /// Content-bound identity, the cluster included.
    pub id: EventId,
    /// When the tool saw it.
    pub event_time: Timestamp,
    /// Which tool.
    pub tool: RuntimeTool,
    /// The rule or policy that matched; where none did, the kind of event.
    pub rule: Untrusted,
    /// What happened: a system call, a kernel function or the kind of event, if the tool says so.
    pub operation: Option<Untrusted>,
    /// How bad the tool calls it, in our words.
    pub severity: RuntimeSeverity,
    /// How bad the tool calls it, in its words.
    pub priority: Option<Untrusted>,
    /// The tool's own sentence, capped.
    pub message: Option<Untrusted>,
    /// Where it happened.
    pub workload: WorkloadRef,
    /// The process that did it.
    pub process: Process,
    /// The user it ran as: a name, else a number.
    pub user: Option<Untrusted>,
    /// Tags as given, ATT&CK techniques among them.
    pub tags: Vec<Untrusted>,
}

/// A tool that watches running workloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the variants are the tools themselves")]
pub enum RuntimeTool {
    Falco,
    Tracee,
    Tetragon,
}

impl RuntimeTool {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Falco => "falco",
            Self::Tracee => "tracee",
            Self::Tetragon => "tetragon",
        }
    }
}

impl fmt::Display for RuntimeTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a tool calls what it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeSeverity {
    /// The tool did not say: an observation, not an alert.
    #[default]
    Unknown,
    /// Worth a record.
    Info,
    /// Falco's notice.
    Low,
    /// Falco's warning.
    Medium,
    /// Falco's error.
    High,
    /// Falco's critical, alert and emergency.
    Critical,
}

impl RuntimeSeverity {
    /// The name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for RuntimeSeverity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where something ran. What a tool could not tell is absent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadRef {
    /// Node.
    pub node: Option<Untrusted>,
    /// Namespace.
    pub namespace: Option<Untrusted>,
    /// Pod.
    pub pod: Option<Untrusted>,
    /// Container name, else its id.
    pub container: Option<Untrusted>,
    /// Image of the container.
    pub image: Option<Untrusted>,
}

/// A process as a tool describes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Process {
    /// Path of the executable, else its name.
    pub exe: Option<Untrusted>,
    /// The command line, capped.
    pub command_line: Option<Untrusted>,
    /// Process id, as the tool counts it.
    pub pid: Option<u32>,
    /// Executable of the parent.
    pub parent: Option<Untrusted>,
}
