use leadsman_domain::{AuditEvent, Untrusted, Verb};

use super::world::{MORNING, TRAIN_DAYS, account, day_with, engine, event, found, habits, intrusion, is_by, train};
use crate::Polarity;

/// Somebody changes a deployment in `namespace`.
fn rollout(by: &str, namespace: &str, second: i64) -> AuditEvent {
    let mut event = event(by, second, Verb::Patch, "deployments", namespace);
    event.object.group = Untrusted::new("apps");
    event
}

/// What the finding about account 1, which lives in ns-1, says of a rollout; its score.
fn told(rollouts: &[AuditEvent]) -> (Option<String>, u8) {
    let model = std::sync::Arc::new(train(&habits(0, TRAIN_DAYS), leadsman_detect::Detectors::default()));
    // From where the account always is.
    let at_home = event(&account(1), 0, Verb::List, "pods", "ns-1");
    let mut more = intrusion(MORNING);
    for event in &mut more {
        (event.source_ip, event.user_agent) = (at_home.source_ip.clone(), at_home.user_agent.clone());
    }
    more.extend_from_slice(rollouts);
    let findings = found(&engine(&model, Polarity::Normal), &day_with(more), 100);
    let finding = findings.iter().find(|f| is_by(f, 1)).unwrap();
    let (_, told) = finding.explanation.sentence.split_once(" A rollout may explain it: ").unzip();
    (told.map(str::to_owned), finding.score)
}

#[test]
fn what_is_new_after_a_rollout_says_so_and_weighs_the_same() {
    let (none, score) = told(&[]);
    assert_eq!(none, None);
    let (release, with_release) = told(&[rollout("release-bot", "ns-1", MORNING - 600)]);
    assert_eq!(release.as_deref(), Some("release-bot changed workloads in ns-1 10 minutes before."));
    assert_eq!(with_release, score, "nobody hides behind a rollout");
}

#[test]
fn only_a_recent_rollout_at_home_by_somebody_else_explains() {
    for (by, namespace, at) in [
        ("release-bot", "ns-1", MORNING - 7_200),
        ("release-bot", "ns-2", MORNING - 600),
        (account(1).as_str(), "ns-1", MORNING - 600),
        ("system:serviceaccount:kube-system:deployment-controller", "ns-1", MORNING - 600),
    ] {
        assert_eq!(told(&[rollout(by, namespace, at)]).0, None, "{by} in {namespace} at {at}");
    }
    let mut from_elsewhere = event(&account(1), MORNING + 7, Verb::List, "nodes", "");
    from_elsewhere.source_ip = Some(Untrusted::new("203.0.113.7"));
    assert_eq!(
        told(&[rollout("release-bot", "ns-1", MORNING - 600), from_elsewhere]).0,
        None,
        "no release moves a pod there"
    );
    let mut status = rollout("release-bot", "ns-1", MORNING - 600);
    status.object.subresource = Some(Untrusted::new("status"));
    let mut refused = rollout("release-bot", "ns-1", MORNING - 500);
    refused.code = Some(403);
    assert_eq!(told(&[status, refused]).0, None);
}

#[test]
fn an_account_that_came_with_a_rollout_is_explained_by_it() {
    let newcomer = "system:serviceaccount:ns-1:operator";
    let mut more = vec![rollout("release-bot", "ns-1", MORNING - 60)];
    for (n, api) in ["secrets", "nodes", "pods/exec"].into_iter().enumerate() {
        more.push(event(newcomer, MORNING + n as i64, Verb::Create, api, "kube-system"));
    }
    let model = std::sync::Arc::new(train(&habits(0, TRAIN_DAYS), leadsman_detect::Detectors::default()));
    let findings = found(&engine(&model, Polarity::Normal), &day_with(more), 100);
    let finding = findings.iter().find(|f| f.entity.id == newcomer).unwrap();
    let sentence = &finding.explanation.sentence;
    assert!(sentence.ends_with("release-bot changed workloads in ns-1 1 minute before."), "{sentence}");
}
