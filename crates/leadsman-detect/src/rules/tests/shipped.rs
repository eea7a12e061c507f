//! The rules that are built in: each has a hit and a near miss, and the documented tables hold.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{event, merge, shipped, titles};

const CASES: &str = include_str!("../../../rules/kubernetes-audit.cases.jsonl");
const DOCUMENT: &str = include_str!("../../../../../docs/rules.md");

#[derive(Deserialize)]
struct Case {
    /// Title of the rule.
    rule: String,
    /// What it must find.
    hit: Value,
    /// The change to the hit after which it must not.
    miss: Value,
}

fn cases() -> Vec<Case> {
    CASES.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_rule_finds_its_hit_and_not_the_near_miss() {
    let rules = shipped();
    for case in cases() {
        let hit = event(&case.hit);
        assert!(titles(&rules, &hit).contains(&case.rule.as_str()), "{} misses {}", case.rule, case.hit);
        let mut changed = case.hit.clone();
        // A key that goes away must be said to, or the default of the harness would stand in.
        merge(&mut changed, &case.miss);
        let miss = event(&changed);
        assert_ne!(hit, miss, "{}: the change changes nothing", case.rule);
        assert!(!titles(&rules, &miss).contains(&case.rule.as_str()), "{} finds {changed}", case.rule);
    }
}

#[test]
fn every_rule_has_a_case_and_every_case_a_rule() {
    let rules = shipped();
    let tested: BTreeSet<String> = cases().into_iter().map(|c| c.rule).collect();
    let known: BTreeSet<String> = rules.rules().iter().map(|r| r.title.clone()).collect();
    assert_eq!(tested, known);
}

#[test]
fn every_rule_says_what_it_finds_and_where_to_read_on() {
    for document in super::super::yaml::documents(super::SHIPPED.text).unwrap() {
        let title = document.get("title").and_then(|t| t.text().map(str::to_owned)).unwrap();
        for key in ["description", "references", "tags", "falsepositives"] {
            assert!(document.get(key).is_some(), "{title} has no {key}");
        }
    }
    for rule in shipped().rules() {
        assert!(!rule.techniques.is_empty(), "{} has no technique", rule.title);
        for technique in &rule.techniques {
            assert_ne!(technique.id, technique.name, "{}: {} has no name", rule.title, technique.id);
            assert!(!technique.tactic.is_empty(), "{} has no tactic", rule.title);
        }
    }
}

/// Rows of the Markdown table under a heading, as cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let section = DOCUMENT.split("\n## ").find(|s| s.starts_with(heading)).unwrap();
    let rows = section.lines().filter(|l| l.starts_with('|')).skip(2);
    rows.map(|l| l.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

/// Rules that a cell names in backticks.
fn named(cell: &'static str) -> impl Iterator<Item = &'static str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_technique_is_covered_or_its_absence_explained() {
    let rules = shipped();
    let known: BTreeSet<&str> = rules.rules().iter().map(|r| r.title.as_str()).collect();
    let rows = table("Techniques");
    let numbers: Vec<usize> = rows.iter().map(|r| r[0].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=47).collect::<Vec<_>>());
    let mut used = BTreeSet::new();
    for row in &rows {
        let rules: Vec<&str> = named(row[2]).collect();
        for rule in &rules {
            assert!(known.contains(rule), "row {} names `{rule}`, which is no rule", row[0]);
        }
        // Without a rule there must be another detector, or the reason why the log does not show it.
        let reason = ["Novelty", "Forest", "Usage", "Outside"].iter().any(|r| row[2].starts_with(r));
        assert!(reason || !rules.is_empty(), "row {} has neither rule nor reason", row[0]);
        used.extend(rules);
    }
    let types = table("GuardDuty");
    assert_eq!(types.len(), 8);
    for row in &types {
        let rules: Vec<&str> = named(row[1]).collect();
        assert!(!rules.is_empty() && rules.iter().all(|r| known.contains(r)), "{row:?}");
        used.extend(rules);
    }
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(unused.is_empty(), "in no table: {unused:?}");
}

#[test]
fn every_field_risk_and_modifier_is_documented() {
    let fields: BTreeSet<&str> = table("Fields").iter().flat_map(|row| named(row[0]).collect::<Vec<_>>()).collect();
    let known = super::super::field::Field::names();
    assert_eq!(fields, known.split(", ").collect());
    let risks: BTreeSet<&str> = table("Risks").iter().flat_map(|row| named(row[0]).collect::<Vec<_>>()).collect();
    assert_eq!(risks, leadsman_domain::Risk::ALL.map(leadsman_domain::Risk::as_str).into());
    for modifier in super::super::pattern::MODIFIERS {
        assert!(DOCUMENT.contains(&format!("`{modifier}`")), "{modifier}");
    }
}

#[test]
fn ordinary_work_of_people_is_never_high() {
    let rules = shipped();
    let apps = json!({"spec": {"template": {"spec": {"containers": [{"securityContext": {"privileged": true}}]}}}});
    for (what, change) in [
        (
            "exec by a person",
            json!({"verb": "get", "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "kube-system", "name": "x"}, "responseStatus": {"code": 101}}),
        ),
        (
            "port-forward",
            json!({"verb": "get", "objectRef": {"resource": "pods", "subresource": "portforward", "namespace": "shop", "name": "x"}, "responseStatus": {"code": 101}}),
        ),
        (
            "installation of an agent",
            json!({"verb": "create", "user": {"username": "ci:deploy"}, "objectRef": {"resource": "daemonsets", "apiGroup": "apps", "namespace": "kube-system", "name": "x"}, "requestObject": apps}),
        ),
        (
            "cluster-admin for an operator by a person",
            json!({"verb": "create", "objectRef": {"resource": "clusterrolebindings", "apiGroup": "rbac.authorization.k8s.io", "name": "x"}, "requestObject": {"roleRef": {"name": "cluster-admin"}, "subjects": [{"kind": "ServiceAccount", "name": "op"}]}}),
        ),
        (
            "kubectl debug node",
            json!({"verb": "create", "objectRef": {"resource": "pods", "namespace": "default", "name": "node-debugger-a-x"}, "requestObject": {"spec": {"hostPID": true, "volumes": [{"hostPath": {"path": "/"}}]}}}),
        ),
        (
            "a webhook removed",
            json!({"verb": "delete", "objectRef": {"resource": "validatingwebhookconfigurations", "apiGroup": "admissionregistration.k8s.io", "name": "x"}}),
        ),
        ("a probe", json!({"verb": "get", "user": {"username": "system:anonymous"}, "requestURI": "/readyz?verbose"})),
        (
            "kubeadm join",
            json!({"verb": "get", "user": {"username": "system:anonymous"}, "requestURI": "/api/v1/namespaces/kube-public/configmaps/cluster-info?timeout=10s"}),
        ),
    ] {
        let high: Vec<_> =
            rules.matching(&event(&change)).filter(|r| r.level.always_reports()).map(|r| &r.title).collect();
        assert!(high.is_empty(), "{what}: {high:?}");
    }
}
