//! Rights: roles, bindings, impersonation.

use crate::api::{ACCOUNTS, CLUSTER_BINDINGS, CLUSTER_ROLES, CONFIGMAPS, Call, SECRETS};
use crate::attack::intruder::Intruder;
use crate::bodies::{account_subject, binding, cluster_role, group_subject, manifest, rule};
use crate::json::{Json, list, object};

pub(super) fn admin_cluster_role(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let (role, account) = (intruder.name(), intruder.name());
    let namespace = if intruder.dice.chance(0.5) { "kube-system".to_owned() } else { intruder.home() };
    let body = cluster_role(&role, &["*"], &["*"], &["*"]);
    intruder.create(CLUSTER_ROLES, "", &role, Some(body));
    intruder.step();
    intruder.create(ACCOUNTS, &namespace, &account, None);
    intruder.step();
    let bound = format!("{role}-{}", intruder.dice.suffix(4));
    let body = binding("", &bound, &role, account_subject(&namespace, &account));
    intruder.create(CLUSTER_BINDINGS, "", &bound, Some(body));
    intruder.step();
    let token = format!("{account}-token");
    intruder.create(SECRETS, &namespace, &token, None);
    intruder.call(&Call::get(SECRETS, &namespace, &token));
}

pub(super) fn cluster_admin_binding(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let name = intruder.name();
    let home = intruder.home();
    let subject = match intruder.dice.below(3) {
        0 => account_subject(&home, "default"),
        1 => group_subject("system:authenticated"),
        _ => account_subject(&home, &intruder.name()),
    };
    let body = binding("", &name, "cluster-admin", subject);
    intruder.create(CLUSTER_BINDINGS, "", &name, Some(body));
}

pub(super) fn role_escalation(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    intruder.call(&intruder.list(CLUSTER_ROLES, ""));
    intruder.step();
    let rules = match intruder.dice.below(4) {
        0 => rule(&["*"], &["*"], &["*"]),
        1 => rule(&["rbac.authorization.k8s.io"], &["clusterroles"], &["escalate", "bind"]),
        2 => rule(&[""], &["users", "groups", "serviceaccounts"], &["impersonate"]),
        _ => rule(&[""], &["secrets", "pods/exec", "nodes/proxy"], &["get", "list", "create"]),
    };
    if intruder.dice.chance(0.5) {
        let name = *intruder.dice.pick(&["system:discovery", "view", "edit", "system:basic-user"]);
        let body = object([("rules", list([rules]))]);
        intruder.patch(CLUSTER_ROLES, "", name, Some(body));
    } else {
        let name = intruder.name();
        let version = "rbac.authorization.k8s.io/v1";
        let body = manifest(version, "ClusterRole", "", &name, [("rules", list([rules]))]);
        intruder.create(CLUSTER_ROLES, "", &name, Some(body));
    }
}

pub(super) fn aws_auth(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    if intruder.dice.chance(0.5) {
        intruder.call(&intruder.list(CONFIGMAPS, "kube-system"));
        intruder.step();
    }
    intruder.patch(CONFIGMAPS, "kube-system", "aws-auth", None::<Json>);
}

pub(super) fn impersonation(intruder: &mut Intruder<'_>) {
    intruder.look_around();
    let user = *intruder.dice.pick(&["kubernetes-admin", "admin", "cluster-admin", "system:admin"]);
    intruder.decide(&intruder.list(SECRETS, "kube-system").acting_as(user, &["system:masters"]));
    intruder.step();
    for (namespace, name) in intruder.secrets(2) {
        intruder.decide(&Call::get(SECRETS, &namespace, &name).acting_as(user, &["system:masters"]));
    }
}
