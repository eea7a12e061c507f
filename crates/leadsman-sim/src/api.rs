//! The API resources the cluster serves, and what a request to them looks like.

use crate::json::Json;

/// One resource of one API group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Api {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) resource: &'static str,
}

const fn api(group: &'static str, version: &'static str, resource: &'static str) -> Api {
    Api { group, version, resource }
}

pub(crate) const PODS: Api = api("", "v1", "pods");
pub(crate) const SECRETS: Api = api("", "v1", "secrets");
pub(crate) const CONFIGMAPS: Api = api("", "v1", "configmaps");
pub(crate) const SERVICES: Api = api("", "v1", "services");
pub(crate) const ENDPOINTS: Api = api("", "v1", "endpoints");
pub(crate) const EVENTS: Api = api("", "v1", "events");
pub(crate) const NAMESPACES: Api = api("", "v1", "namespaces");
pub(crate) const NODES: Api = api("", "v1", "nodes");
pub(crate) const ACCOUNTS: Api = api("", "v1", "serviceaccounts");
pub(crate) const VOLUMES: Api = api("", "v1", "persistentvolumes");
pub(crate) const CLAIMS: Api = api("", "v1", "persistentvolumeclaims");
pub(crate) const QUOTAS: Api = api("", "v1", "resourcequotas");
pub(crate) const DEPLOYMENTS: Api = api("apps", "v1", "deployments");
pub(crate) const REPLICASETS: Api = api("apps", "v1", "replicasets");
pub(crate) const STATEFULSETS: Api = api("apps", "v1", "statefulsets");
pub(crate) const DAEMONSETS: Api = api("apps", "v1", "daemonsets");
pub(crate) const JOBS: Api = api("batch", "v1", "jobs");
pub(crate) const CRONJOBS: Api = api("batch", "v1", "cronjobs");
pub(crate) const INGRESSES: Api = api("networking.k8s.io", "v1", "ingresses");
pub(crate) const SLICES: Api = api("discovery.k8s.io", "v1", "endpointslices");
pub(crate) const LEASES: Api = api("coordination.k8s.io", "v1", "leases");
pub(crate) const AUTOSCALERS: Api = api("autoscaling", "v2", "horizontalpodautoscalers");
pub(crate) const POD_METRICS: Api = api("metrics.k8s.io", "v1beta1", "pods");
pub(crate) const NODE_METRICS: Api = api("metrics.k8s.io", "v1beta1", "nodes");
pub(crate) const ROLES: Api = api("rbac.authorization.k8s.io", "v1", "roles");
pub(crate) const ROLE_BINDINGS: Api = api("rbac.authorization.k8s.io", "v1", "rolebindings");
pub(crate) const CLUSTER_ROLES: Api = api("rbac.authorization.k8s.io", "v1", "clusterroles");
pub(crate) const CLUSTER_BINDINGS: Api = api("rbac.authorization.k8s.io", "v1", "clusterrolebindings");
pub(crate) const ACCESS_REVIEWS: Api = api("authorization.k8s.io", "v1", "selfsubjectaccessreviews");
pub(crate) const RULES_REVIEWS: Api = api("authorization.k8s.io", "v1", "selfsubjectrulesreviews");
pub(crate) const CRDS: Api = api("apiextensions.k8s.io", "v1", "customresourcedefinitions");
pub(crate) const WEBHOOKS: Api = api("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
pub(crate) const MUTATING_WEBHOOKS: Api = api("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations");
pub(crate) const SIGNING_REQUESTS: Api = api("certificates.k8s.io", "v1", "certificatesigningrequests");
pub(crate) const EXTERNAL_SECRETS: Api = api("external-secrets.io", "v1", "externalsecrets");
pub(crate) const SECRET_STORES: Api = api("external-secrets.io", "v1", "clustersecretstores");
pub(crate) const RAY_CLUSTERS: Api = api("ray.io", "v1", "rayclusters");
pub(crate) const INFERENCE_SERVICES: Api = api("serving.kserve.io", "v1beta1", "inferenceservices");
pub(crate) const APPLICATIONS: Api = api("argoproj.io", "v1alpha1", "applications");
pub(crate) const CERTIFICATES: Api = api("cert-manager.io", "v1", "certificates");
pub(crate) const CERT_REQUESTS: Api = api("cert-manager.io", "v1", "certificaterequests");
pub(crate) const PROMETHEUSES: Api = api("monitoring.coreos.com", "v1", "prometheuses");
pub(crate) const SERVICE_MONITORS: Api = api("monitoring.coreos.com", "v1", "servicemonitors");
pub(crate) const BACKUPS: Api = api("velero.io", "v1", "backups");
pub(crate) const NOTEBOOKS: Api = api("kubeflow.org", "v1", "notebooks");
pub(crate) const TRAIN_JOBS: Api = api("trainer.kubeflow.org", "v1alpha1", "trainjobs");

/// What a request is about: an object or collection of an [`Api`], or a plain URL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Target {
    Object { api: Api, namespace: String, name: String, sub: &'static str },
    Path(&'static str),
}

/// One API request as a client makes it, and how the server answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) verb: &'static str,
    pub(crate) target: Target,
    /// What follows the object in the path, as in `…/proxy/metrics`, and the query with its `?`; or empty.
    pub(crate) query: String,
    pub(crate) code: u16,
    pub(crate) body: Option<Json>,
    /// Seconds a long-running request stays open; such a request is logged twice.
    pub(crate) open_for: Option<f64>,
    /// User name and groups that the request asks to act as.
    pub(crate) acting_as: Option<(String, Vec<String>)>,
}

impl Call {
    /// A request for `api` in `namespace` (empty: cluster-wide) with `name` (empty: the collection).
    pub(crate) fn new(verb: &'static str, api: Api, namespace: &str, name: &str) -> Self {
        let code = if verb == "create" { 201 } else { 200 };
        let target = Target::Object { api, namespace: namespace.to_owned(), name: name.to_owned(), sub: "" };
        Self { verb, target, query: String::new(), code, body: None, open_for: None, acting_as: None }
    }

    pub(crate) fn get(api: Api, namespace: &str, name: &str) -> Self {
        Self::new("get", api, namespace, name)
    }

    pub(crate) fn list(api: Api, namespace: &str) -> Self {
        Self::new("list", api, namespace, "").query("?limit=500")
    }

    pub(crate) fn create(api: Api, namespace: &str, name: &str) -> Self {
        Self::new("create", api, namespace, name)
    }

    pub(crate) fn patch(api: Api, namespace: &str, name: &str) -> Self {
        Self::new("patch", api, namespace, name)
    }

    pub(crate) fn update(api: Api, namespace: &str, name: &str) -> Self {
        Self::new("update", api, namespace, name)
    }

    pub(crate) fn delete(api: Api, namespace: &str, name: &str) -> Self {
        Self::new("delete", api, namespace, name)
    }

    /// A watch on a collection that ends after `seconds`.
    pub(crate) fn watch(api: Api, namespace: &str, version: i64, seconds: u32) -> Self {
        Self::new("watch", api, namespace, "")
            .query(format!(
                "?allowWatchBookmarks=true&resourceVersion={version}&timeout={}m{}s&timeoutSeconds={seconds}&watch=true",
                seconds / 60,
                seconds % 60
            ))
            .open_for(f64::from(seconds))
    }

    /// A `GET` on a plain URL.
    pub(crate) fn path(path: &'static str) -> Self {
        Self {
            verb: "get",
            target: Target::Path(path),
            query: String::new(),
            code: 200,
            body: None,
            open_for: None,
            acting_as: None,
        }
    }

    /// The same request on a subresource.
    pub(crate) fn sub(mut self, subresource: &'static str) -> Self {
        if let Target::Object { sub, .. } = &mut self.target {
            *sub = subresource;
        }
        self
    }

    pub(crate) fn query(mut self, query: impl Into<String>) -> Self {
        self.query = query.into();
        self
    }

    /// What a proxied request asks behind the proxy.
    pub(crate) fn tail(self, tail: impl Into<String>) -> Self {
        self.query(tail)
    }

    pub(crate) fn acting_as(mut self, user: &str, groups: &[&str]) -> Self {
        self.acting_as = Some((user.to_owned(), groups.iter().map(|g| (*g).to_owned()).collect()));
        self
    }

    pub(crate) fn code(mut self, code: u16) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn body(mut self, body: Json) -> Self {
        self.body = Some(body);
        self
    }

    pub(crate) fn open_for(mut self, seconds: f64) -> Self {
        self.open_for = Some(seconds);
        self
    }

    /// Path and query. A creation goes to the collection, even if the name is known.
    pub(crate) fn uri(&self) -> String {
        match &self.target {
            Target::Path(path) => format!("{path}{}", self.query),
            Target::Object { api, namespace, name, sub } => {
                let mut uri = if api.group.is_empty() {
                    format!("/api/{}", api.version)
                } else {
                    format!("/apis/{}/{}", api.group, api.version)
                };
                let mut part = |text: &str| {
                    uri.push('/');
                    uri.push_str(text);
                };
                if !namespace.is_empty() {
                    part("namespaces");
                    part(namespace);
                }
                part(api.resource);
                if !name.is_empty() && (self.verb != "create" || !sub.is_empty()) {
                    part(name);
                }
                if !sub.is_empty() {
                    part(sub);
                }
                uri.push_str(&self.query);
                uri
            }
        }
    }
}
