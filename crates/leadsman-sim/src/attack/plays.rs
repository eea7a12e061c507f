//! What the attacker does, technique by technique.

mod access;
mod cover;
mod credentials;
mod discovery;
mod platform;
mod rbac;
mod workloads;

use super::Technique;
use super::intruder::Intruder;

/// Plays one technique from the first request to the last.
pub(super) fn run(technique: Technique, intruder: &mut Intruder<'_>) {
    let play = match technique {
        Technique::ListSecrets => credentials::list_secrets,
        Technique::EnumerateSecrets => credentials::enumerate_secrets,
        Technique::ConfigSweep => credentials::config_sweep,
        Technique::ExecReadToken => access::exec_read_token,
        Technique::ExecMetadataService => access::exec_metadata_service,
        Technique::LongLivedToken => credentials::long_lived_token,
        Technique::ClientCertificate => credentials::client_certificate,
        Technique::AdminClusterRole => rbac::admin_cluster_role,
        Technique::ClusterAdminBinding => rbac::cluster_admin_binding,
        Technique::RoleEscalation => rbac::role_escalation,
        Technique::AwsAuth => rbac::aws_auth,
        Technique::Impersonation => rbac::impersonation,
        Technique::AnonymousAccess => discovery::anonymous_access,
        Technique::PermissionScan => discovery::permission_scan,
        Technique::ExecShell => access::exec_shell,
        Technique::NodeProxy => access::node_proxy,
        Technique::PortForward => access::port_forward,
        Technique::ServiceProxy => access::service_proxy,
        Technique::HostPathPod => workloads::host_path_pod,
        Technique::PrivilegedPod => workloads::privileged_pod,
        Technique::NodeDebugPod => workloads::node_debug_pod,
        Technique::BarePod => workloads::bare_pod,
        Technique::SidecarInjection => workloads::sidecar_injection,
        Technique::EphemeralContainer => workloads::ephemeral_container,
        Technique::DaemonSet => workloads::daemon_set,
        Technique::CronJob => workloads::cron_job,
        Technique::Masquerade => workloads::masquerade,
        Technique::Webhook => platform::webhook,
        Technique::CorednsConfig => platform::coredns_config,
        Technique::ExposeService => platform::expose_service,
        Technique::OperatorAbuse => platform::operator_abuse,
        Technique::RogueNode => platform::rogue_node,
        Technique::PodSecurityOff => platform::pod_security_off,
        Technique::DeleteEvents => cover::delete_events,
        Technique::DeleteEvidence => cover::delete_evidence,
        Technique::Destruction => cover::destruction,
        Technique::LogTheft => discovery::log_theft,
        Technique::AiTrainingJob => workloads::ai_training_job,
        Technique::InferenceSwap => platform::inference_swap,
        Technique::StolenCredentialBrowse => discovery::browse,
    };
    play(intruder);
}
