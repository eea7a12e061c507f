//! Turns calls into audit records: the part of kube-apiserver this crate imitates.

use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{Level, Stage, Timestamp};

use crate::api::{Call, Target};
use crate::dice::{Dice, fixed_uuid};
use crate::identity::{Client, Credential};
use crate::json::{Json, to_line};
use crate::record::{Payload, SimRecord};
use crate::wire::{Details, Event, ObjectRef, Status, User};

/// Collects the records of one stretch of time, in the order they are made (sorting comes later).
pub(crate) struct Log {
    seed: u64,
    stage: Option<usize>,
    /// The most that the audit policy logs of anything.
    cap: Level,
    pub(crate) records: Vec<SimRecord>,
}

impl Log {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, stage: None, cap: Level::RequestResponse, records: Vec::new() }
    }

    /// The same under an audit policy that logs nothing above `cap`.
    pub(crate) fn capped(self, cap: Level) -> Self {
        Self { cap, ..self }
    }

    /// What follows belongs to stage `stage` of an attack.
    pub(crate) fn label(&mut self, stage: usize) {
        self.stage = Some(stage);
    }

    /// Logs `call` as received at `at`; returns when the (first) response went out.
    pub(crate) fn call(&mut self, dice: &mut Dice, client: &Client<'_>, at: Timestamp, call: &Call) -> Timestamp {
        let mut latency = if is_read(call.verb) { dice.between(0.001, 0.012) } else { dice.between(0.006, 0.045) };
        if dice.chance(0.01) {
            latency *= 20.0;
        }
        let responded = later(at, latency);
        let level = level(call).min(self.cap);
        let request = Request::new(self.seed, client, at, call, level, dice.uuid());
        match call.open_for.filter(|_| call.code < 300) {
            Some(seconds) => {
                self.push(responded, request.line(Stage::ResponseStarted, responded));
                let closed = later(responded, seconds);
                self.push(closed, request.line(Stage::ResponseComplete, closed));
            }
            // A failed authentication is logged by an early filter, which knows one stage only.
            None if call.code == 401 => self.push(responded, request.line(Stage::ResponseStarted, responded)),
            None => self.push(responded, request.line(Stage::ResponseComplete, responded)),
        }
        responded
    }

    fn push(&mut self, time: Timestamp, line: Vec<u8>) {
        self.records.push(SimRecord { time, payload: Payload::Audit(line), stage: self.stage });
    }
}

/// `at` moved by fractional seconds.
pub(crate) fn later(at: Timestamp, seconds: f64) -> Timestamp {
    at.plus(Duration::from_micros((seconds.max(0.0) * 1e6) as u64))
}

/// `at` moved back by fractional seconds.
pub(crate) fn earlier(at: Timestamp, seconds: f64) -> Timestamp {
    Timestamp::from_micros(at.as_micros() - (seconds.max(0.0) * 1e6) as i64)
}

/// The cluster's resource version: two writes a second on average, counted from the start of 2026.
pub(crate) fn version_at(at: Timestamp) -> i64 {
    61_404_512 + (at.as_micros() - 1_767_225_600_000_000) / 500_000
}

fn is_read(verb: &str) -> bool {
    matches!(verb, "get" | "list" | "watch")
}

/// Everything the stages of one request have in common.
struct Request<'a> {
    client: &'a Client<'a>,
    call: &'a Call,
    level: Level,
    audit_id: String,
    uri: String,
    received: String,
    uid: String,
    version: String,
    credential: Option<String>,
    status: Status,
    response: Option<Json>,
    reason: &'a str,
}

impl<'a> Request<'a> {
    fn new(seed: u64, client: &'a Client<'a>, at: Timestamp, call: &'a Call, level: Level, audit_id: String) -> Self {
        let uid = match &call.target {
            Target::Object { api, namespace, name, .. } => {
                fixed_uuid(seed, "object", &format!("{}/{namespace}/{name}", api.resource), 0)
            }
            Target::Path(_) => String::new(),
        };
        let version = version_at(at).to_string();
        let response = call
            .body
            .as_ref()
            .filter(|_| level == Level::RequestResponse && call.code < 300)
            .map(|body| stored(body, &uid, &version, at));
        Self {
            client,
            call,
            level,
            audit_id,
            uri: call.uri(),
            received: at.to_micro_time(),
            credential: client.credential_id(seed, at),
            status: status(client, call, &uid),
            response,
            // Members of system:masters are allowed without a reason, and only they are impersonated here.
            reason: if call.code == 403 || call.acting_as.is_some() {
                ""
            } else {
                client.identity.reason(&call.target)
            },
            uid,
            version,
        }
    }

    fn line(&self, stage: Stage, at: Timestamp) -> Vec<u8> {
        let call = self.call;
        let unauthenticated = call.code == 401;
        let mut annotations = BTreeMap::new();
        if !unauthenticated {
            annotations.insert("authorization.k8s.io/decision", if call.code == 403 { "forbid" } else { "allow" });
            annotations.insert("authorization.k8s.io/reason", self.reason);
        }
        to_line(&Event {
            kind: "Event",
            api_version: "audit.k8s.io/v1",
            level: self.level,
            audit_id: &self.audit_id,
            stage,
            request_uri: &self.uri,
            verb: call.verb,
            user: if unauthenticated { User::default() } else { self.user() },
            impersonated_user: call.acting_as.as_ref().map(|(username, groups)| User {
                username,
                groups,
                ..User::default()
            }),
            source_ips: &[self.client.ip.as_str()],
            user_agent: &self.client.agent,
            object_ref: self.object_ref(),
            response_status: Some(&self.status),
            request_object: call.body.as_ref().filter(|_| self.level >= Level::Request && call.code != 403),
            response_object: self.response.as_ref(),
            request_received_timestamp: &self.received,
            stage_timestamp: &at.to_micro_time(),
            annotations,
        })
    }

    fn user(&self) -> User<'_> {
        let identity = self.client.identity;
        let mut extra = BTreeMap::new();
        if let Some(id) = &self.credential {
            extra.insert("authentication.kubernetes.io/credential-id", [id.as_str()]);
        }
        if let Some(pod) = &self.client.pod {
            extra.insert("authentication.kubernetes.io/node-name", [pod.node.as_str()]);
            extra.insert("authentication.kubernetes.io/node-uid", [pod.node_uid.as_str()]);
            extra.insert("authentication.kubernetes.io/pod-name", [pod.name.as_str()]);
            extra.insert("authentication.kubernetes.io/pod-uid", [pod.uid.as_str()]);
        }
        User { username: &identity.username, uid: &identity.uid, groups: &identity.groups, extra }
    }

    fn object_ref(&self) -> Option<ObjectRef<'_>> {
        let Target::Object { api, namespace, name, sub } = &self.call.target else { return None };
        // Only a body that carries the object's identity lets the server log it.
        let updates = self.call.verb == "update" || *sub == "binding";
        let named_namespace = api.resource == "namespaces";
        Some(ObjectRef {
            resource: api.resource,
            namespace: if named_namespace { name } else { namespace },
            name,
            uid: if updates { &self.uid } else { "" },
            api_group: api.group,
            api_version: api.version,
            resource_version: if self.call.verb == "update" { &self.version } else { "" },
            subresource: sub,
        })
    }
}

/// The recommended audit policy: no bodies of secrets, tokens and streams; bodies of what starts pods; RBAC in full.
fn level(call: &Call) -> Level {
    let Target::Object { api, sub, .. } = &call.target else { return Level::Metadata };
    if is_read(call.verb) || !(sub.is_empty() || *sub == "ephemeralcontainers") {
        return Level::Metadata;
    }
    match api.group {
        "rbac.authorization.k8s.io" => Level::RequestResponse,
        "apps" | "batch" | "kubeflow.org" | "trainer.kubeflow.org" | "ray.io" | "serving.kserve.io" => Level::Request,
        "admissionregistration.k8s.io" | "certificates.k8s.io" => Level::Request,
        "" if matches!(api.resource, "pods" | "namespaces") => Level::Request,
        _ => Level::Metadata,
    }
}

/// The response status, with the texts of `k8s.io/apimachinery/pkg/api/errors`.
fn status(client: &Client<'_>, call: &Call, uid: &str) -> Status {
    let plain = Status::of(call.code);
    let (api, namespace, name) = match &call.target {
        Target::Object { api, namespace, name, .. } => (api, namespace.as_str(), name.as_str()),
        Target::Path(path) => {
            let message = format!("forbidden: User \"{}\" cannot get path \"{path}\"", client.identity.username);
            return match call.code {
                401 => unauthorized(),
                403 => Status { status: "Failure", message, reason: "Forbidden", ..plain },
                _ => plain,
            };
        }
    };
    let kind = if api.group.is_empty() { api.resource.to_owned() } else { format!("{}.{}", api.resource, api.group) };
    let details = Some(Details { name: name.to_owned(), group: api.group, kind: api.resource, uid: String::new() });
    let failure = |reason, message| Status {
        status: "Failure",
        message,
        reason,
        details: details.clone(),
        code: call.code,
        ..plain.clone()
    };
    match call.code {
        401 => unauthorized(),
        403 => failure("Forbidden", forbidden(client, call, &kind, namespace, name)),
        404 => failure("NotFound", format!("{kind} \"{name}\" not found")),
        409 if call.verb == "create" => failure("AlreadyExists", format!("{kind} \"{name}\" already exists")),
        409 => failure(
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {kind} \"{name}\": the object has been modified; \
                 please apply your changes to the latest version and try again"
            ),
        ),
        // Deleting a pod answers with the pod, deleting anything else with a status.
        200 if call.verb == "delete" && api.resource != "pods" => {
            Status { status: "Success", details: details.map(|d| Details { uid: uid.to_owned(), ..d }), ..plain }
        }
        _ => plain,
    }
}

fn unauthorized() -> Status {
    Status { status: "Failure", message: "Authentication failed, attempted: bearer".to_owned(), ..Status::of(401) }
}

fn forbidden(client: &Client<'_>, call: &Call, kind: &str, namespace: &str, name: &str) -> String {
    let Target::Object { api, sub, .. } = &call.target else { return String::new() };
    let named = if name.is_empty() { String::new() } else { format!(" \"{name}\"") };
    let sub = if sub.is_empty() { String::new() } else { format!("/{sub}") };
    let place = if namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{namespace}\"")
    };
    format!(
        "{kind}{named} is forbidden: User \"{}\" cannot {} resource \"{}{sub}\" in API group \"{}\" {place}",
        client.identity.username, call.verb, api.resource, api.group
    )
}

/// The object as the server stored it: the body with the metadata only the server knows.
fn stored(body: &Json, uid: &str, version: &str, at: Timestamp) -> Json {
    let mut body = body.clone();
    let Json::Object(fields) = &mut body else { return body };
    for (_, value) in fields.iter_mut().filter(|(k, _)| k == "metadata") {
        let Json::Object(meta) = value else { continue };
        meta.retain(|(k, _)| k != "creationTimestamp");
        let place =
            meta.iter().take_while(|(k, _)| matches!(k.as_ref(), "name" | "generateName" | "namespace")).count();
        let seconds = Timestamp::from_micros(at.as_micros() / 1_000_000 * 1_000_000).to_micro_time();
        let created = format!("{}Z", seconds.split('.').next().unwrap_or_default());
        let server = [("uid", uid.to_owned()), ("resourceVersion", version.to_owned()), ("creationTimestamp", created)];
        meta.splice(place..place, server.into_iter().map(|(k, v)| (k.into(), v.into())));
    }
    body
}

impl Client<'_> {
    /// `credential-id` of the request: the token's (renewed hourly) or the certificate's.
    fn credential_id(&self, seed: u64, at: Timestamp) -> Option<String> {
        match &self.identity.credential {
            Credential::Token => {
                let holder = self.pod.as_ref().map_or("", |p| p.name.as_str());
                let name = format!("{} {holder}", self.identity.username);
                Some(format!("JTI={}", fixed_uuid(seed, "token", &name, at.hour())))
            }
            Credential::Certificate(fingerprint) => Some(format!("X509SHA256={fingerprint}")),
            Credential::Oidc | Credential::None => None,
        }
    }
}

#[cfg(test)]
mod tests;
