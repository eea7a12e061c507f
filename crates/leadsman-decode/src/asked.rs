//! Request bodies that say what a pod may do, what a role permits, who is bound to it, or what is reached from outside.
//!
//! Bodies are client text of any shape, and patches hold fragments, so nothing here insists on types: a field
//! of another type is as good as absent.

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
    Service,
}

/// Most parts of the path of a patch; nothing that is looked for stands deeper.
const MAX_PARTS: usize = 16;

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

    /// Shows `read` the objects that the request writes, whole or in part: its body, and of a JSON patch what each
    /// operation makes.
    pub(crate) fn for_each_written(self, mut read: impl FnMut(Value<'_>)) {
        read(self.body);
        for made in self.body.elements().filter_map(made_by) {
            // A path that is no JSON inside quotes leads to nothing.
            if let Ok(made) = Value::parse(&made) {
                read(made);
            }
        }
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
            ("", "services", None) => Some(Self::Service),
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

/// The object that an operation of a JSON patch (RFC 6902) makes where there is none: `/spec/hostPID` with `true` makes
/// `{"spec":{"hostPID":true}}`, and an index a list of one. `None` for an operation that adds nothing, and for a path
/// that leads to nothing which is looked for.
fn made_by(operation: Value<'_>) -> Option<String> {
    let [op, path, value] = operation.fields(&["op", "path", "value"]);
    let (path, value) = (path?.text()?, value?);
    let tests = op.and_then(Value::text).is_some_and(|op| op == "test");
    if tests || path.contains(['"', '\\']) || path.split('/').count() > MAX_PARTS {
        return None;
    }
    let (mut text, mut ends) = (String::new(), String::new());
    for part in path.split('/').skip(1) {
        if part == "-" || !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            text.push('[');
            ends.insert(0, ']');
        } else {
            text.extend(["{\"", part, "\":"]);
            ends.insert(0, '}');
        }
    }
    text.push_str(value.json());
    text.push_str(&ends);
    Some(text)
}
