//! Request bodies, compact but in the shape and key order clients send them.

use crate::json::{Json, list, object};

/// What a plain application pod needs.
pub(crate) struct PodBody<'a> {
    /// A full name, or a prefix that the server completes.
    pub(crate) name: PodName<'a>,
    pub(crate) namespace: &'a str,
    pub(crate) app: &'a str,
    /// Kind and name of the owner.
    pub(crate) owner: (&'static str, &'a str),
    pub(crate) image: String,
    pub(crate) account: &'a str,
    pub(crate) restart: &'static str,
}

/// How a pod is named.
pub(crate) enum PodName<'a> {
    Exact(&'a str),
    Prefix(String),
}

pub(crate) fn pod(pod: &PodBody<'_>, owner_uid: String) -> Json {
    let name = match &pod.name {
        PodName::Exact(name) => ("name", text(name)),
        PodName::Prefix(prefix) => ("generateName", text(prefix)),
    };
    let api = if pod.owner.0 == "Job" { "batch/v1" } else { "apps/v1" };
    let metadata = object([
        name,
        ("namespace", text(pod.namespace)),
        ("creationTimestamp", Json::Null),
        ("labels", object([("app", text(pod.app))])),
        (
            "ownerReferences",
            list([object([
                ("apiVersion", api.into()),
                ("kind", pod.owner.0.into()),
                ("name", text(pod.owner.1)),
                ("uid", owner_uid.into()),
                ("controller", true.into()),
                ("blockOwnerDeletion", true.into()),
            ])]),
        ),
    ]);
    object([
        ("kind", "Pod".into()),
        ("apiVersion", "v1".into()),
        ("metadata", metadata),
        ("spec", pod_spec(pod.app, pod.image.clone(), pod.account, pod.restart)),
        ("status", object([])),
    ])
}

fn pod_spec(container: &str, image: String, account: &str, restart: &'static str) -> Json {
    let resources = object([
        ("limits", object([("memory", "2Gi".into())])),
        ("requests", object([("cpu", "100m".into()), ("memory", "256Mi".into())])),
    ]);
    let security = object([
        ("capabilities", object([("drop", list(["ALL".into()]))])),
        ("runAsNonRoot", true.into()),
        ("readOnlyRootFilesystem", true.into()),
        ("allowPrivilegeEscalation", false.into()),
    ]);
    object([
        (
            "containers",
            list([object([
                ("name", text(container)),
                ("image", image.into()),
                ("resources", resources),
                ("terminationMessagePath", "/dev/termination-log".into()),
                ("terminationMessagePolicy", "File".into()),
                ("imagePullPolicy", "IfNotPresent".into()),
                ("securityContext", security),
            ])]),
        ),
        ("restartPolicy", restart.into()),
        ("terminationGracePeriodSeconds", 30.into()),
        ("dnsPolicy", "ClusterFirst".into()),
        ("serviceAccountName", text(account)),
        ("serviceAccount", text(account)),
        ("securityContext", object([])),
        ("imagePullSecrets", list([object([("name", "registry-pull".into())])])),
        ("schedulerName", "default-scheduler".into()),
    ])
}

/// A ReplicaSet, Deployment or Job around one container.
pub(crate) fn owner(kind: &'static str, namespace: &str, name: &str, app: &str, image: String) -> Json {
    let batch = kind == "Job";
    let template = object([
        ("metadata", object([("creationTimestamp", Json::Null), ("labels", object([("app", text(app))]))])),
        ("spec", pod_spec(app, image, app, if batch { "Never" } else { "Always" })),
    ]);
    let selector = object([("matchLabels", object([("app", text(app))]))]);
    let spec = if batch {
        object([("backoffLimit", 2.into()), ("template", template), ("ttlSecondsAfterFinished", 3_600.into())])
    } else {
        object([("replicas", 1.into()), ("selector", selector), ("template", template)])
    };
    object([
        ("kind", kind.into()),
        ("apiVersion", if batch { "batch/v1".into() } else { "apps/v1".into() }),
        ("metadata", object([("name", text(name)), ("namespace", text(namespace)), ("creationTimestamp", Json::Null)])),
        ("spec", spec),
        ("status", object([])),
    ])
}

/// The patch that puts a new image into a deployment.
pub(crate) fn image_patch(container: &str, image: String) -> Json {
    let containers = list([object([("image", image.into()), ("name", text(container))])]);
    object([("spec", object([("template", object([("spec", object([("containers", containers)]))]))]))])
}

/// What `kubectl rollout restart` sends.
pub(crate) fn restart_patch(at: String) -> Json {
    let annotations = object([("kubectl.kubernetes.io/restartedAt", at.into())]);
    let template = object([("metadata", object([("annotations", annotations)]))]);
    object([("spec", object([("template", template)]))])
}

/// The pod of a cluster administrator who debugs with an ephemeral container.
pub(crate) fn debug_patch(name: String, target: &str) -> Json {
    let container = object([
        ("image", "registry.example.com/platform/toolbox:2.4".into()),
        ("name", name.into()),
        ("resources", object([])),
        ("stdin", true.into()),
        ("targetContainerName", text(target)),
        ("tty", true.into()),
    ]);
    object([("spec", object([("ephemeralContainers", list([container]))]))])
}

/// A RoleBinding (with a namespace) or ClusterRoleBinding of one subject to a ClusterRole.
pub(crate) fn binding(namespace: &str, name: &str, role: &str, subject: Json) -> Json {
    let mut metadata = vec![("name".into(), text(name))];
    if !namespace.is_empty() {
        metadata.push(("namespace".into(), text(namespace)));
    }
    metadata.push(("creationTimestamp".into(), Json::Null));
    object([
        ("kind", if namespace.is_empty() { "ClusterRoleBinding".into() } else { "RoleBinding".into() }),
        ("apiVersion", "rbac.authorization.k8s.io/v1".into()),
        ("metadata", Json::Object(metadata)),
        ("subjects", list([subject])),
        (
            "roleRef",
            object([
                ("apiGroup", "rbac.authorization.k8s.io".into()),
                ("kind", "ClusterRole".into()),
                ("name", text(role)),
            ]),
        ),
    ])
}

pub(crate) fn account_subject(namespace: &str, name: &str) -> Json {
    object([("kind", "ServiceAccount".into()), ("name", text(name)), ("namespace", text(namespace))])
}

pub(crate) fn group_subject(name: &str) -> Json {
    object([("kind", "Group".into()), ("apiGroup", "rbac.authorization.k8s.io".into()), ("name", text(name))])
}

/// A pod that owns its node: privileged, in the host's process namespace, with the host's disk.
pub(crate) fn node_owner_pod(namespace: &str, name: &str) -> Json {
    let container = object([
        ("name", text(name)),
        ("image", "docker.io/library/alpine:3.20".into()),
        ("command", list(["/bin/sh".into(), "-c".into(), "sleep 86400".into()])),
        ("resources", object([])),
        ("volumeMounts", list([object([("name", "root".into()), ("mountPath", "/host".into())])])),
        ("terminationMessagePath", "/dev/termination-log".into()),
        ("terminationMessagePolicy", "File".into()),
        ("imagePullPolicy", "IfNotPresent".into()),
        ("securityContext", object([("privileged", true.into())])),
    ]);
    let host_path = object([("path", "/".into()), ("type", "".into())]);
    let spec = object([
        ("volumes", list([object([("name", "root".into()), ("hostPath", host_path)])])),
        ("containers", list([container])),
        ("restartPolicy", "Always".into()),
        ("terminationGracePeriodSeconds", 30.into()),
        ("dnsPolicy", "ClusterFirst".into()),
        ("hostPID", true.into()),
        ("securityContext", object([])),
        ("schedulerName", "default-scheduler".into()),
    ]);
    object([
        ("kind", "Pod".into()),
        ("apiVersion", "v1".into()),
        ("metadata", object([("name", text(name)), ("namespace", text(namespace)), ("creationTimestamp", Json::Null)])),
        ("spec", spec),
        ("status", object([])),
    ])
}

/// An object of any kind; an empty namespace is cluster-wide.
pub(crate) fn manifest<const N: usize>(
    version: &'static str,
    kind: &'static str,
    namespace: &str,
    name: &str,
    rest: [(&'static str, Json); N],
) -> Json {
    let mut metadata = vec![("name".into(), text(name))];
    if !namespace.is_empty() {
        metadata.push(("namespace".into(), text(namespace)));
    }
    metadata.push(("creationTimestamp".into(), Json::Null));
    let mut fields = vec![
        ("kind".into(), kind.into()),
        ("apiVersion".into(), version.into()),
        ("metadata".into(), Json::Object(metadata)),
    ];
    fields.extend(rest.into_iter().map(|(k, v)| (k.into(), v)));
    Json::Object(fields)
}

/// A ClusterRole with one rule.
pub(crate) fn cluster_role(
    name: &str,
    groups: &[&'static str],
    resources: &[&'static str],
    verbs: &[&'static str],
) -> Json {
    let rules = list([rule(groups, resources, verbs)]);
    manifest("rbac.authorization.k8s.io/v1", "ClusterRole", "", name, [("rules", rules)])
}

/// One rule of a role.
pub(crate) fn rule(groups: &[&'static str], resources: &[&'static str], verbs: &[&'static str]) -> Json {
    object([("verbs", texts(verbs)), ("apiGroups", texts(groups)), ("resources", texts(resources))])
}

fn texts(items: &[&'static str]) -> Json {
    Json::List(items.iter().map(|t| Json::from(*t)).collect())
}

pub(crate) fn text(text: &str) -> Json {
    Json::from(text.to_owned())
}
