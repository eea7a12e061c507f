//! Risky settings in request bodies.

mod pod;

use std::borrow::Cow;

use leadsman_domain::{Risk, RiskFlags};

use crate::asked::{Asked, Kind};
use crate::body::{Value, elements, fields};

type Found<'a> = Option<Value<'a>>;

/// Subresources that run commands in containers, or in every container of a node.
const COMMANDS: [&str; 6] = ["pods/exec", "pods/attach", "nodes/proxy", "*/exec", "*/attach", "*/proxy"];

/// The risks that the request asks for; unknown when it carries no body that could hold one.
pub(crate) fn of_body(asked: Option<Asked<'_>>) -> RiskFlags {
    let Some(asked) = asked else { return RiskFlags::UNKNOWN };
    let mut found = Risks(RiskFlags::observed());
    asked.for_each_written(|written| match asked.kind {
        Kind::Pod => found.pod_body(written),
        Kind::Role => found.role(written),
        Kind::Binding => found.binding(written),
        Kind::Service => found.service(written),
    });
    found.0
}

struct Risks(RiskFlags);

impl Risks {
    fn add(&mut self, risk: Risk, when: bool) {
        if when {
            self.0 = self.0.with(risk);
        }
    }

    fn role(&mut self, body: Value<'_>) {
        let [rules] = body.fields(&["rules"]);
        elements(rules).for_each(|rule| self.rule(rule));
    }

    fn rule(&mut self, rule: Value<'_>) {
        let [verbs, resources] = rule.fields(&["verbs", "resources"]);
        self.add(Risk::WildcardRule, texts(verbs).chain(texts(resources)).any(|t| t == "*"));
        self.add(Risk::EscalationRule, texts(verbs).any(|v| matches!(&*v, "escalate" | "bind" | "impersonate")));
        // Clients open the stream with either verb. A patch may add the resource alone.
        let opens = verbs.is_none() || texts(verbs).any(|v| matches!(&*v, "get" | "create" | "*"));
        self.add(Risk::CommandRule, opens && texts(resources).any(|r| COMMANDS.contains(&&*r)));
    }

    fn binding(&mut self, body: Value<'_>) {
        let [role, subjects] = body.fields(&["roleRef", "subjects"]);
        let [role] = fields(role, &["name"]);
        self.add(Risk::ClusterAdminBinding, role.and_then(Value::text).is_some_and(|n| n == "cluster-admin"));
        elements(subjects).for_each(|subject| self.subject(subject));
    }

    fn subject(&mut self, subject: Value<'_>) {
        let [kind, name] = subject.fields(&["kind", "name"]);
        let (Some(kind), Some(name)) = (kind.and_then(Value::text), name.and_then(Value::text)) else { return };
        let broad = match &*kind {
            "ServiceAccount" => name == "default",
            "Group" => matches!(&*name, "system:authenticated" | "system:unauthenticated" | "system:serviceaccounts"),
            "User" => {
                name == "system:anonymous" || name.starts_with("system:serviceaccount:") && name.ends_with(":default")
            }
            _ => false,
        };
        self.add(Risk::BroadSubject, broad);
    }

    fn service(&mut self, body: Value<'_>) {
        let [spec] = body.fields(&["spec"]);
        let [kind, addresses] = fields(spec, &["type", "externalIPs"]);
        let outside = kind.and_then(Value::text).is_some_and(|kind| matches!(&*kind, "NodePort" | "LoadBalancer"));
        self.add(Risk::ExposedService, outside || texts(addresses).next().is_some());
    }
}

fn is_true(value: Found<'_>) -> bool {
    value.is_some_and(|value| value.is("true"))
}

fn texts(value: Found<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    elements(value).filter_map(Value::text)
}
