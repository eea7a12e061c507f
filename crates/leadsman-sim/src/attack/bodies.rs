//! What attackers send: manifests, in the shape and key order clients send them.

use crate::bodies::{manifest, text};
use crate::json::{Json, list, object};

/// What a pod of an attacker asks for; the default asks for nothing special.
#[derive(Default, Clone)]
pub(super) struct Rig {
    pub(super) image: String,
    pub(super) command: Vec<String>,
    pub(super) privileged: bool,
    /// All namespaces of the host.
    pub(super) host: bool,
    pub(super) host_path: Option<&'static str>,
    pub(super) account: Option<String>,
    pub(super) node: Option<String>,
    pub(super) restart: &'static str,
}

impl Rig {
    pub(super) fn spec(&self, container: &str) -> Json {
        let mut fields = Vec::new();
        let mut field = |key: &'static str, value: Json| fields.push((key.into(), value));
        if let Some(path) = self.host_path {
            let source = object([("path", path.into()), ("type", "".into())]);
            field("volumes", list([object([("name", "host".into()), ("hostPath", source)])]));
        }
        field("containers", list([self.container(container)]));
        field("restartPolicy", if self.restart.is_empty() { "Always".into() } else { self.restart.into() });
        field("terminationGracePeriodSeconds", 30.into());
        field("dnsPolicy", "ClusterFirst".into());
        if let Some(account) = &self.account {
            field("serviceAccountName", account.into());
            field("serviceAccount", account.into());
        }
        if let Some(node) = &self.node {
            field("nodeName", node.into());
        }
        if self.host {
            field("hostNetwork", true.into());
            field("hostPID", true.into());
            field("hostIPC", true.into());
        }
        field("securityContext", object([]));
        field("schedulerName", "default-scheduler".into());
        if self.node.is_some() {
            field("tolerations", list([object([("operator", "Exists".into())])]));
        }
        Json::Object(fields)
    }

    pub(super) fn container(&self, name: &str) -> Json {
        let mut fields = vec![("name".into(), text(name)), ("image".into(), text(&self.image))];
        if !self.command.is_empty() {
            fields.push(("command".into(), Json::List(self.command.iter().map(Json::from).collect())));
        }
        fields.push(("resources".into(), object([])));
        if self.host_path.is_some() {
            let mount = object([("name", "host".into()), ("mountPath", "/host".into())]);
            fields.push(("volumeMounts".into(), list([mount])));
        }
        fields.push(("terminationMessagePath".into(), "/dev/termination-log".into()));
        fields.push(("terminationMessagePolicy".into(), "File".into()));
        fields.push(("imagePullPolicy".into(), "Always".into()));
        if self.privileged {
            fields.push(("securityContext".into(), object([("privileged", true.into())])));
        }
        Json::Object(fields)
    }

    pub(super) fn pod(&self, namespace: &str, name: &str, container: &str) -> Json {
        manifest("v1", "Pod", namespace, name, [("spec", self.spec(container)), ("status", object([]))])
    }

    /// The pod that a controller makes for its owner, given by kind, name and uid.
    pub(super) fn owned_pod(&self, namespace: &str, owner: (&'static str, &str, &str), container: &str) -> Json {
        let (kind, name, uid) = owner;
        let reference = object([
            ("apiVersion", "apps/v1".into()),
            ("kind", kind.into()),
            ("name", text(name)),
            ("uid", text(uid)),
            ("controller", true.into()),
            ("blockOwnerDeletion", true.into()),
        ]);
        let metadata = object([
            ("generateName", format!("{name}-").into()),
            ("namespace", text(namespace)),
            ("creationTimestamp", Json::Null),
            ("labels", object([("app", text(container))])),
            ("ownerReferences", list([reference])),
        ]);
        object([
            ("kind", "Pod".into()),
            ("apiVersion", "v1".into()),
            ("metadata", metadata),
            ("spec", self.spec(container)),
            ("status", object([])),
        ])
    }

    /// A Deployment, ReplicaSet or DaemonSet.
    pub(super) fn controlled(&self, kind: &'static str, namespace: &str, name: &str) -> Json {
        let selector = object([("matchLabels", object([("app", text(name))]))]);
        let mut spec = vec![("selector".into(), selector), ("template".into(), self.template(name))];
        if kind != "DaemonSet" {
            spec.insert(0, ("replicas".into(), 1.into()));
        }
        manifest("apps/v1", kind, namespace, name, [("spec", Json::Object(spec)), ("status", object([]))])
    }

    pub(super) fn cron_job(&self, namespace: &str, name: &str, schedule: &'static str) -> Json {
        let job = object([("spec", object([("template", self.template(name))]))]);
        let spec = object([
            ("schedule", schedule.into()),
            ("concurrencyPolicy", "Allow".into()),
            ("suspend", false.into()),
            ("jobTemplate", job),
        ]);
        manifest("batch/v1", "CronJob", namespace, name, [("spec", spec), ("status", object([]))])
    }

    fn template(&self, name: &str) -> Json {
        object([
            ("metadata", object([("creationTimestamp", Json::Null), ("labels", object([("app", text(name))]))])),
            ("spec", self.spec(name)),
        ])
    }
}

/// The patch that adds a container to a deployment.
pub(super) fn sidecar_patch(container: Json) -> Json {
    let spec = object([("containers", list([container]))]);
    object([("spec", object([("template", object([("spec", spec)]))]))])
}

/// The patch that attaches an ephemeral container.
pub(super) fn ephemeral_patch(container: Json) -> Json {
    object([("spec", object([("ephemeralContainers", list([container]))]))])
}
