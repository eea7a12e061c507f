use std::fmt;
use std::str::FromStr;

use crate::config::{SimError, Style};

/// What an attack does. Each leaves a trace in the audit log.
///
/// Ids are ATT&CK's for Kubernetes; a technique that only Microsoft's matrix names carries the ATT&CK id closest to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Technique {
    /// Lists the secrets of the whole cluster.
    ListSecrets,
    /// Reads secrets by name, namespace after namespace, past the refusals.
    EnumerateSecrets,
    /// Reads config maps, pods and deployments everywhere in search of credentials.
    ConfigSweep,
    /// Prints the token of another pod's account with exec.
    ExecReadToken,
    /// Asks the cloud's metadata service for credentials out of a pod.
    ExecMetadataService,
    /// Mints a token for a powerful account of kube-system.
    LongLivedToken,
    /// Has the cluster sign a client certificate, and approves it.
    ClientCertificate,
    /// Makes a role that may do everything, an account, the binding, and a token secret.
    AdminClusterRole,
    /// Binds an account to cluster-admin.
    ClusterAdminBinding,
    /// Adds wildcards, escalate, bind or impersonate to a role.
    RoleEscalation,
    /// Maps a cloud identity to system:masters in the aws-auth config map.
    AwsAuth,
    /// Acts as a member of system:masters by impersonation.
    Impersonation,
    /// Reads objects without any credential, because anonymous was bound to a role.
    AnonymousAccess,
    /// Asks the API server in a burst what it may do and what there is.
    PermissionScan,
    /// Opens a shell in a pod of kube-system or of another namespace.
    ExecShell,
    /// Runs a command through the kubelet behind nodes/proxy.
    NodeProxy,
    /// Forwards a port of a pod that the identity has nothing to do with.
    PortForward,
    /// Talks to a service or pod through the API server's proxy.
    ServiceProxy,
    /// Starts a pod that mounts a sensitive path of its node.
    HostPathPod,
    /// Starts a privileged pod.
    PrivilegedPod,
    /// Starts a node debugger with the host's namespaces and disk.
    NodeDebugPod,
    /// Starts a pod without owner from a registry nobody used before.
    BarePod,
    /// Adds a container to a running deployment.
    SidecarInjection,
    /// Attaches an ephemeral container to a pod of somebody else.
    EphemeralContainer,
    /// Puts a privileged pod on every node.
    DaemonSet,
    /// Schedules a job whose command downloads and runs a script.
    CronJob,
    /// Starts a workload in kube-system under a name like the system's own.
    Masquerade,
    /// Registers an admission webhook that points outside.
    Webhook,
    /// Rewrites names in the configuration of CoreDNS.
    CorednsConfig,
    /// Opens a service to the outside by node port or external address.
    ExposeService,
    /// Makes the GitOps operator deploy a repository of the attacker.
    OperatorAbuse,
    /// Registers a node that is none.
    RogueNode,
    /// Lowers the Pod Security level of a namespace to privileged.
    PodSecurityOff,
    /// Deletes the events of a namespace.
    DeleteEvents,
    /// Deletes pods, jobs and accounts in a burst to leave nothing behind.
    DeleteEvidence,
    /// Deletes volumes, deployments, secrets and a namespace.
    Destruction,
    /// Reads the logs of pods over many namespaces.
    LogTheft,
    /// Starts a training job, notebook or Ray cluster from an unseen registry.
    AiTrainingJob,
    /// Points an inference service at a model from an unseen place.
    InferenceSwap,
    /// Does what the identity does every day, from elsewhere.
    StolenCredentialBrowse,
}

struct Facts {
    name: &'static str,
    attack_id: &'static str,
    tactic: &'static str,
}

const fn facts(name: &'static str, attack_id: &'static str, tactic: &'static str) -> Facts {
    Facts { name, attack_id, tactic }
}

impl Technique {
    /// Every technique.
    pub const ALL: [Self; 40] = [
        Self::ListSecrets,
        Self::EnumerateSecrets,
        Self::ConfigSweep,
        Self::ExecReadToken,
        Self::ExecMetadataService,
        Self::LongLivedToken,
        Self::ClientCertificate,
        Self::AdminClusterRole,
        Self::ClusterAdminBinding,
        Self::RoleEscalation,
        Self::AwsAuth,
        Self::Impersonation,
        Self::AnonymousAccess,
        Self::PermissionScan,
        Self::ExecShell,
        Self::NodeProxy,
        Self::PortForward,
        Self::ServiceProxy,
        Self::HostPathPod,
        Self::PrivilegedPod,
        Self::NodeDebugPod,
        Self::BarePod,
        Self::SidecarInjection,
        Self::EphemeralContainer,
        Self::DaemonSet,
        Self::CronJob,
        Self::Masquerade,
        Self::Webhook,
        Self::CorednsConfig,
        Self::ExposeService,
        Self::OperatorAbuse,
        Self::RogueNode,
        Self::PodSecurityOff,
        Self::DeleteEvents,
        Self::DeleteEvidence,
        Self::Destruction,
        Self::LogTheft,
        Self::AiTrainingJob,
        Self::InferenceSwap,
        Self::StolenCredentialBrowse,
    ];

    /// The name on command lines and in reports, such as `list-secrets`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// ATT&CK technique id, such as `T1552.007`.
    #[must_use]
    pub fn attack_id(self) -> &'static str {
        self.facts().attack_id
    }

    /// ATT&CK tactic, such as `Credential Access`.
    #[must_use]
    pub fn tactic(self) -> &'static str {
        self.facts().tactic
    }

    /// Whether anything in the log tells the attack in this style from what the identity does anyway.
    ///
    /// Browsing with somebody's own program from their own address does not: leave it out of a measurement.
    #[must_use]
    pub fn leaves_trace(self, style: Style) -> bool {
        self != Self::StolenCredentialBrowse || style != Style::Mimicry
    }

    /// Whether it needs a client that can upgrade a connection.
    pub(super) fn streams(self) -> bool {
        matches!(
            self,
            Self::ExecReadToken
                | Self::ExecMetadataService
                | Self::ExecShell
                | Self::PortForward
                | Self::NodeDebugPod
                | Self::EphemeralContainer
        )
    }

    fn facts(self) -> Facts {
        match self {
            Self::ListSecrets => facts("list-secrets", "T1552.007", "Credential Access"),
            Self::EnumerateSecrets => facts("enumerate-secrets", "T1552.007", "Credential Access"),
            Self::ConfigSweep => facts("config-sweep", "T1552", "Credential Access"),
            Self::ExecReadToken => facts("exec-read-token", "T1528", "Credential Access"),
            Self::ExecMetadataService => facts("exec-metadata-service", "T1552.005", "Credential Access"),
            Self::LongLivedToken => facts("long-lived-token", "T1528", "Credential Access"),
            Self::ClientCertificate => facts("client-certificate", "T1098", "Persistence"),
            Self::AdminClusterRole => facts("admin-cluster-role", "T1098.006", "Persistence"),
            Self::ClusterAdminBinding => facts("cluster-admin-binding", "T1098.006", "Privilege Escalation"),
            Self::RoleEscalation => facts("role-escalation", "T1098.006", "Privilege Escalation"),
            Self::AwsAuth => facts("aws-auth", "T1098", "Persistence"),
            Self::Impersonation => facts("impersonation", "T1550.001", "Privilege Escalation"),
            Self::AnonymousAccess => facts("anonymous-access", "T1190", "Initial Access"),
            Self::PermissionScan => facts("permission-scan", "T1613", "Discovery"),
            Self::ExecShell => facts("exec-shell", "T1609", "Execution"),
            Self::NodeProxy => facts("node-proxy", "T1609", "Execution"),
            Self::PortForward => facts("port-forward", "T1090", "Command and Control"),
            Self::ServiceProxy => facts("service-proxy", "T1090", "Command and Control"),
            Self::HostPathPod => facts("host-path-pod", "T1611", "Privilege Escalation"),
            Self::PrivilegedPod => facts("privileged-pod", "T1611", "Privilege Escalation"),
            Self::NodeDebugPod => facts("node-debug-pod", "T1611", "Privilege Escalation"),
            Self::BarePod => facts("bare-pod", "T1610", "Execution"),
            Self::SidecarInjection => facts("sidecar-injection", "T1610", "Execution"),
            Self::EphemeralContainer => facts("ephemeral-container", "T1610", "Execution"),
            Self::DaemonSet => facts("daemon-set", "T1610", "Execution"),
            Self::CronJob => facts("cron-job", "T1053.007", "Persistence"),
            Self::Masquerade => facts("masquerade", "T1036.005", "Defense Evasion"),
            Self::Webhook => facts("webhook", "T1546", "Persistence"),
            Self::CorednsConfig => facts("coredns-config", "T1557", "Credential Access"),
            Self::ExposeService => facts("expose-service", "T1133", "Persistence"),
            Self::OperatorAbuse => facts("operator-abuse", "T1072", "Execution"),
            Self::RogueNode => facts("rogue-node", "T1136", "Persistence"),
            Self::PodSecurityOff => facts("pod-security-off", "T1562.001", "Defense Evasion"),
            Self::DeleteEvents => facts("delete-events", "T1070", "Defense Evasion"),
            Self::DeleteEvidence => facts("delete-evidence", "T1070", "Defense Evasion"),
            Self::Destruction => facts("destruction", "T1485", "Impact"),
            Self::LogTheft => facts("log-theft", "T1213", "Collection"),
            Self::AiTrainingJob => facts("ai-training-job", "T1610", "Execution"),
            Self::InferenceSwap => facts("inference-swap", "T1525", "Persistence"),
            Self::StolenCredentialBrowse => facts("stolen-credential-browse", "T1078", "Initial Access"),
        }
    }
}

impl fmt::Display for Technique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Technique {
    type Err = SimError;

    fn from_str(text: &str) -> Result<Self, SimError> {
        Self::ALL.into_iter().find(|t| t.as_str() == text).ok_or(SimError::UnknownTechnique)
    }
}
