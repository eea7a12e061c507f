//! Finding findings.

use leadsman_domain::{Finding, FindingKind, FindingQuery, IncidentId, RuleHit, RuleLevel, Store, Technique};

use super::{batch, finding, source};

fn text(text: &str) -> FindingQuery {
    FindingQuery { limit: 100, text: Some(text.into()), ..FindingQuery::default() }
}

async fn found(store: &impl Store, query: FindingQuery) -> Vec<u128> {
    let page = store.findings(query).await.unwrap();
    assert_eq!(page.total, page.items.len() as u64);
    page.items.into_iter().map(|(_, finding)| finding.id.get()).collect()
}

fn about(id: u128, entity: &str, title: &str, sentence: &str) -> Finding {
    let mut finding = finding(id, 1, 50);
    finding.entity.id = entity.into();
    finding.title = title.into();
    finding.explanation.sentence = sentence.into();
    finding
}

pub(crate) async fn words_are_found(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut ruled = about(3, "jane", "exec into a pod", "");
    ruled.rules = vec![RuleHit { id: "r".into(), title: "Shell in kube-system".into(), level: RuleLevel::High }];
    let findings = vec![
        about(1, "system:serviceaccount:shop/cart-7", "it read Secrets", "It never read secrets before."),
        about(2, "\u{c4}rger", "secret of \u{6771}\u{4eac}", "x"),
        ruled,
    ];
    store.commit(batch(epoch, 0, 1, findings)).await.unwrap();
    for (query, ids) in [
        ("secrets", &[1][..]),
        ("SECRET", &[2, 1]),
        ("serviceaccount:shop/cart-7", &[1]),
        ("cart shop", &[1]),
        ("before, read.", &[1]),
        ("kube-system", &[3]),
        ("shell jane", &[3]),
        ("\u{e4}rger", &[2]),
        ("\u{6771}", &[2]),
        ("ecrets", &[]),
        ("secrets jane", &[]),
    ] {
        assert_eq!(found(&store, text(query)).await, ids, "{query}");
    }
    let narrow = FindingQuery { min_score: Some(51), ..text("secret") };
    assert_eq!(found(&store, narrow).await, [0; 0], "with other filters");
    let page = store.findings(FindingQuery { limit: 1, ..text("secret") }).await.unwrap();
    let rest = store.findings(FindingQuery { limit: 1, before: page.next, ..text("secret") }).await.unwrap();
    assert_eq!((page.items[0].1.id.get(), rest.items[0].1.id.get(), rest.next), (2, 1, None), "page by page");

    // A revision is found by its own words only.
    let mut revised = about(1, "jane", "it wrote a role", "y");
    revised.rev = 2;
    store.commit(batch(epoch, 1, 2, vec![revised])).await.unwrap();
    assert_eq!(found(&store, text("secret")).await, [2]);
    assert_eq!(found(&store, text("role")).await, [1]);
}

pub(crate) async fn hostile_searches_find_nothing_and_fail_nothing(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let long = "secrets ".repeat(50_000);
    let word = "x".repeat(100_000);
    let nothing = ["", " ", "*", "\"", "'", "\\", "\0", "!!!", "^", "&|!()<->:*", "\u{202e}\u{200d}\u{301}", "?", "$9"];
    let none = ["' OR 1=1 --", "no\0thing", "words:x", "NEAR(a b)", "\u{fe}\u{10ffff}", "-secrets AND x", &word];
    for query in nothing.iter().chain(&none) {
        assert_eq!(found(&store, text(query)).await, [0; 0], "{query:?}");
    }
    for query in [long.as_str(), "\"secrets", "(secrets", "secrets*", "'secrets':*", "secrets & ! | "] {
        assert_eq!(found(&store, text(query)).await, [1], "{query:.20}");
    }
    for technique in ["", " ", "\0", "T1552 T1552.007", "%"] {
        let query = FindingQuery { limit: 9, technique: Some(technique.into()), ..FindingQuery::default() };
        assert_eq!(found(&store, query).await, [0; 0], "{technique:?}");
    }
}

pub(crate) async fn more_filters_apply(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let technique = |id: &str| Technique {
        framework: "attack".into(),
        version: "17".into(),
        tactic: "t".into(),
        id: id.into(),
        name: "n".into(),
    };
    let (mut first, mut second) = (finding(1, 1, 50), finding(2, 1, 50));
    first.techniques = vec![technique("T1552.007"), technique("T1078")];
    second.techniques = vec![technique("T1552"), technique("T1609")];
    second.cluster = "other".into();
    second.kind = FindingKind::MassDelete;
    second.incident_id = IncidentId::new(1);
    store.commit(batch(epoch, 0, 1, vec![first, second, finding(3, 1, 50)])).await.unwrap();

    let any = FindingQuery { limit: 9, ..FindingQuery::default() };
    let of = |id: &str| FindingQuery { technique: Some(id.into()), ..any.clone() };
    for (query, ids) in [
        (FindingQuery { cluster: Some("other".into()), ..any.clone() }, &[2][..]),
        (FindingQuery { cluster: Some("nowhere".into()), ..any.clone() }, &[]),
        (FindingQuery { kind: Some(FindingKind::SecretsAccess), ..any.clone() }, &[3, 1]),
        (FindingQuery { incident: Some(IncidentId::new(1)), ..any.clone() }, &[2, 1]),
        (of("T1552"), &[2, 1]),
        (of("T1552.007"), &[1]),
        (of("T1552.00"), &[]),
        (of("T155"), &[]),
        (FindingQuery { kind: Some(FindingKind::MassDelete), ..of("T1609") }, &[2]),
        (FindingQuery { text: Some("secrets".into()), ..of("T1078") }, &[1]),
    ] {
        assert_eq!(found(&store, query.clone()).await, ids, "{query:?}");
    }
}
