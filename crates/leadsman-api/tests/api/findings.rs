use leadsman_domain::{FindingKind, IncidentId, Severity, Timestamp};

use crate::fake::{Fake, Fault, api, config, get, send};

#[tokio::test]
async fn a_finding_carries_everything_and_its_schema() {
    let (api, _) = api(Fake::default(), config());
    let answer = get(&api, "/v1/findings/fnd_00000000000000000000000000000003").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("etag"), "\"3\"");
    assert_eq!(answer.header("content-type"), "application/json");
    let body = answer.json();
    for (pointer, expected) in [
        ("/schema", "leadsman.finding/v1"),
        ("/id", "fnd_00000000000000000000000000000003"),
        ("/incident_id", "inc_00000000000000000000000000000009"),
        ("/kind", "secrets_access"),
        ("/severity", "high"),
        ("/entity/type", "actor"),
        ("/entity/class", "human"),
        ("/first_seen", "2026-03-02T00:05:00.123Z"),
        ("/window/to", "2026-03-02T00:05:00.123Z"),
        ("/explanation/contributions/0/event_ids/0", "evt_00000000000000000000000000000001"),
        ("/techniques/0/id", "T1552"),
    ] {
        assert_eq!(body.pointer(pointer).unwrap(), expected, "{pointer}");
    }
    assert_eq!(body["commit_seq"], 3);
    assert_eq!(body["score"], 80);
}

#[tokio::test]
async fn every_field_of_the_domain_is_on_the_wire() {
    let (api, _) = api(Fake::default(), config());
    let wire = get(&api, "/v1/findings/fnd_00000000000000000000000000000003").await.json();
    let domain = serde_json::to_value(crate::fake::finding(3)).unwrap();
    for name in domain.as_object().unwrap().keys() {
        assert!(wire.get(name).is_some(), "{name}");
    }
    for nested in ["entity", "rarity", "model", "evidence", "techniques"] {
        assert_eq!(wire[nested], domain[nested]);
    }
}

#[tokio::test]
async fn an_unchanged_finding_is_not_sent_again() {
    let (api, _) = api(Fake::default(), config());
    let path = "/v1/findings/fnd_00000000000000000000000000000003";
    for (tag, status) in [("\"3\"", 304), ("\"1\", W/\"3\"", 304), ("*", 304), ("\"2\"", 200)] {
        assert_eq!(send(&api, "GET", path, &[("if-none-match", tag)], "").await.status, status, "{tag}");
    }
}

#[tokio::test]
async fn malformed_and_unknown_ids_are_not_found() {
    let (api, _) = api(Fake::default(), config());
    for id in
        ["fnd_00000000000000000000000000000004", "x", "fnd_", "inc_00000000000000000000000000000003", "%ff", "..%2f"]
    {
        get(&api, &format!("/v1/findings/{id}")).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn pages_follow_each_other_to_the_end() {
    let (api, fake) = api(Fake::default(), config());
    let mut seen = Vec::new();
    let mut path = "/v1/findings?limit=2&entity=jane&severity=high".to_owned();
    loop {
        let page = get(&api, &path).await.json();
        assert_eq!(page["total"], 5);
        seen.extend(page["items"].as_array().unwrap().iter().map(|f| f["commit_seq"].as_i64().unwrap()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/findings?severity=high&limit=2&cursor={cursor}&entity=jane"),
            None => break,
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    assert_eq!(fake.queries.lock().unwrap().last().unwrap().before, Some(2));
}

#[tokio::test]
async fn the_filter_reaches_the_backend() {
    let (api, fake) = api(Fake::default(), config());
    get(&api, "/v1/findings").await;
    let path = "/v1/findings?limit=1000&min_score=0&severity=critical&entity=a%2Fb+c\
                &from=2026-03-02T00:00:00Z&to=2026-03-02T02:00:00%2B01:00&text=read+%22secrets%22&cluster=prod\
                &kind=mass_delete&technique=T1552.007&incident=inc_00000000000000000000000000000009";
    assert_eq!(get(&api, path).await.status, 200);
    let queries = fake.queries.lock().unwrap();
    assert_eq!((queries[0].limit, queries[0].before, queries[0].entity.as_deref()), (100, None, None));
    let q = &queries[1];
    assert_eq!((q.limit, q.min_score, q.min_severity), (1000, Some(0), Some(Severity::Critical)));
    assert_eq!(q.entity.as_deref(), Some("a/b c"));
    assert_eq!((q.text.as_deref(), q.cluster.as_deref()), (Some("read \"secrets\""), Some("prod")));
    assert_eq!((q.kind, q.technique.as_deref()), (Some(FindingKind::MassDelete), Some("T1552.007")));
    assert_eq!(q.incident, Some(IncidentId::new(9)));
    assert_eq!(q.from, Some(Timestamp::parse("2026-03-02T00:00:00Z").unwrap()));
    assert_eq!(q.to, Some(Timestamp::parse("2026-03-02T01:00:00Z").unwrap()));
}

#[tokio::test]
async fn a_wrong_query_names_every_wrong_parameter() {
    let (api, fake) = api(Fake::default(), config());
    for (query, pointers) in [
        ("limit=0", &["/limit"][..]),
        ("limit=1001", &["/limit"]),
        ("limit=-1", &["/limit"]),
        ("limit=ten&severity=huge", &["/limit", "/severity"]),
        ("min_score=101", &["/min_score"]),
        ("min_score=256", &["/min_score"]),
        ("entity=", &["/entity"]),
        ("text=", &["/text"]),
        ("cluster=", &["/cluster"]),
        ("kind=SecretsAccess", &["/kind"]),
        ("technique=1552", &["/technique"]),
        ("technique=T1552.7", &["/technique"]),
        ("incident=fnd_00000000000000000000000000000009", &["/incident"]),
        ("from=yesterday", &["/from"]),
        ("from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z", &["/from"]),
        ("limit=1&limit=2", &["/limit"]),
        ("colour=red", &["/colour"]),
        ("%3Cscript%3E=1", &["/script"]),
    ] {
        let problem = get(&api, &format!("/v1/findings?{query}")).await.problem(422, "invalid_input");
        let named: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
        assert_eq!(named, pointers, "{query}");
    }
    assert!(fake.queries.lock().unwrap().is_empty());
}

#[tokio::test]
async fn hostile_cursors_are_refused() {
    let (api, _) = api(Fake::default(), config());
    let page = get(&api, "/v1/findings?limit=1").await.json();
    let good = page["next_cursor"].as_str().unwrap();
    let flipped = good.replace(&good[15..16], if &good[15..16] == "4" { "5" } else { "4" });
    let long = "f".repeat(4_000);
    for cursor in [
        "",
        "0",
        "4",
        &flipped,
        &good[..31],
        &good.to_uppercase(),
        &long,
        "%00",
        "%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC%E2%82%AC",
        "'%20or%201=1",
    ] {
        let problem = get(&api, &format!("/v1/findings?cursor={cursor}")).await.problem(422, "invalid_input");
        assert_eq!(problem["errors"][0]["pointer"], "/cursor", "{cursor}");
    }
    // A cursor of another filter would silently skip findings.
    for other in ["min_score=50", "text=x", "kind=mass_delete", "technique=T1552", "cluster=x"] {
        get(&api, &format!("/v1/findings?{other}&cursor={good}")).await.problem(422, "invalid_input");
    }
    assert_eq!(get(&api, &format!("/v1/findings?limit=7&cursor={good}")).await.status, 200);
}

#[tokio::test]
async fn faults_of_the_backend_stay_in_the_log() {
    for (fault, status, code) in
        [(Fault::Unavailable, 503, "unavailable"), (Fault::Internal, 500, "internal"), (Fault::Panic, 500, "internal")]
    {
        let (api, _) = api(Fake::faulty(fault), config());
        get(&api, "/v1/findings").await.problem(status, code);
    }
}
