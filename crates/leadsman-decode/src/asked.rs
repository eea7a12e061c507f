//! Request bodies that say what a pod may do, what a role permits, or who is bound to it.
//!
//! Bodies are client text of any shape, and patches hold fragments, so nothing here insists on types: a field
//! of another type is as good as absent.

use std::borrow::Cow;

use crate::body::{Value, fields};
use crate::refusal::Refusal;
use crate::uri::Target;

/// A body worth looking into: an object or an array.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    pub(crate) body: Value<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pod, or a workload that makes pods.
    Pod,
    Role,
    Binding,
}

impl<'a> Asked<'a> {
    /// The body of a request that writes such an object; `None` for all others.
    ///
    /// Errors: a refusal when that body is no JSON.
    pub(crate) fn of_request(verb: &str, object: &Target<'_>, body: Option<&'a str>) -> Result<Option<Self>, Refusal> {
        let writes = matches!(verb, "create" | "update" | "patch");
        let (Some(kind), Some(body), true) = (Kind::of(object), body, writes) else { return Ok(None) };
        let body = Value::parse(body)?;
        Ok(Some(Self { kind, body }).filter(|_| body.is_object() || body.is_array()))
    }
}

impl Kind {
    fn of(object: &Target<'_>) -> Option<Self> {
        match (object.group, object.resource, object.subresource) {
            ("", "pods", None | Some("ephemeralcontainers"))
            | ("", "replicationcontrollers" | "podtemplates", None)
            | ("" | "apps" | "extensions", "deployments" | "daemonsets" | "statefulsets" | "replicasets", None)
            | ("" | "batch", "jobs" | "cronjobs", None) => Some(Self::Pod),
            ("rbac.authorization.k8s.io", "roles" | "clusterroles", None) => Some(Self::Role),
            ("rbac.authorization.k8s.io", "rolebindings" | "clusterrolebindings", None) => Some(Self::Binding),
            _ => None,
        }
    }
}

/// Where pod specs stand in a pod, a workload with a pod template, a cron job or a `PodTemplate`.
pub(crate) fn pod_specs(body: Value<'_>) -> [Option<Value<'_>>; 4] {
    let [spec, template] = body.fields(&["spec", "template"]);
    let [workload_template, job_template] = fields(spec, &["template", "jobTemplate"]);
    let [job] = fields(job_template, &["spec"]);
    let [cron_template] = fields(job, &["template"]);
    let [template, workload_template, cron_template] = [template, workload_template, cron_template].map(|template| {
        let [spec] = fields(template, &["spec"]);
        spec
    });
    [spec, template, workload_template, cron_template]
}

/// One operation of a JSON patch (RFC 6902): its path says what the value is a part of.
#[derive(Debug)]
pub(crate) struct Operation<'a> {
    path: Cow<'a, str>,
    value: Value<'a>,
}

impl<'a> Operation<'a> {
    /// `None` for an operation without a value, which adds nothing.
    pub(crate) fn of(operation: Value<'a>) -> Option<Self> {
        let [path, value] = operation.fields(&["path", "value"]);
        Some(Self { path: path?.text()?, value: value? })
    }

    /// The field that is changed. `/spec/containers/-` and `/spec/containers` differ by an index only.
    pub(crate) fn field(&self) -> &str {
        let mut names = self.path.rsplit('/').filter(|p| *p != "-" && !p.bytes().all(|b| b.is_ascii_digit()));
        names.next().unwrap_or_default()
    }

    /// The elements of an array, or the value that is none.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        self.value.elements().chain(Some(self.value).filter(|value| !value.is_array()))
    }
}
