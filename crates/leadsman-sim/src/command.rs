//! What people do at a terminal, by name; [`crate::kubectl`] knows what requests that makes.

/// One thing a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Pods,
    Deployments,
    Describe,
    Logs,
    Events,
    Watch,
    Exec,
    PortForward,
    Config,
    Secret,
    Secrets,
    Apply,
    ApplyNew,
    Restart,
    Scale,
    DeletePod,
    RunJob,
    Top,
    Neighbour,
    Denied,
    CanI,
    Nodes,
    Namespaces,
    Cordon,
    Debug,
    Roles,
    Bind,
    Notebook,
    TrainJob,
}

impl Command {
    /// Whether it reaches into what runs, rather than looks.
    pub(crate) fn changes(self) -> bool {
        matches!(
            self,
            Self::Exec
                | Self::Apply
                | Self::ApplyNew
                | Self::Restart
                | Self::Scale
                | Self::DeletePod
                | Self::RunJob
                | Self::Cordon
                | Self::Debug
                | Self::Bind
        )
    }
}
