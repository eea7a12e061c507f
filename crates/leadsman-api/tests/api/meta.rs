use crate::fake::{Fake, api, config, get, send};

#[tokio::test]
async fn probes_say_what_is_missing() {
    let (healthy, _) = api(Fake::default(), config());
    assert_eq!(get(&healthy, "/livez").await.json()["status"], "ok");
    assert_eq!(get(&healthy, "/readyz").await.json()["status"], "ok");
    let not_ready = vec!["no model".to_owned(), "the store is locked".to_owned()];
    let (sick, _) = api(Fake { not_ready, ..Fake::default() }, config());
    assert_eq!(get(&sick, "/livez").await.status, 200);
    let problem = get(&sick, "/readyz").await.problem(503, "not_ready");
    let reasons: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|e| &e["message"]).collect();
    assert_eq!(reasons, ["no model", "the store is locked"]);
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let (api, _) = api(Fake::default(), config());
    let answer = get(&api, "/metrics").await;
    assert!(answer.header("content-type").starts_with("text/plain; version=0.0.4"));
    assert_eq!(answer.text, "leadsman_events_total 1\n");
}

#[tokio::test]
async fn version_and_models_are_told() {
    let (api, _) = api(Fake::default(), config());
    assert_eq!(get(&api, "/v1/version").await.json()["version"], "0.1.0");
    let models = get(&api, "/v1/models").await.json();
    assert_eq!(models["items"][0]["aliases"][0], "champion");
    assert_eq!(models["items"][0]["data_from"], "1970-01-01T00:00:00.000Z");
}

#[tokio::test]
async fn posted_events_are_scored() {
    let (api, _) = api(Fake::default(), config());
    let ndjson = [("content-type", "application/x-ndjson")];
    let answer = send(&api, "POST", "/v1/score", &ndjson, "{}\n{}\n").await;
    assert_eq!(answer.status, 200);
    let report = answer.json();
    assert_eq!((&report["events"], &report["rejected"]), (&2.into(), &1.into()));
    assert_eq!((&report["runtime"], &report["flows"], &report["skipped"]), (&2.into(), &1.into(), &3.into()));
    assert!(report["windows"][0]["rules"].is_array(), "{report:#}");
    assert_eq!(report["windows"][0]["severity"], "critical");
    assert_eq!(report["rejects"][0]["reason"], "malformed_json");
    assert!(!answer.text.contains("secret-payload"));
    let many = "{}\n".repeat(10_001);
    send(&api, "POST", "/v1/score", &ndjson, many).await.problem(422, "invalid_input");
    send(&api, "POST", "/v1/score", &[], "{}").await.problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn every_answer_has_a_request_id() {
    let (api, _) = api(Fake::default(), config());
    let given = send(&api, "GET", "/livez", &[("x-request-id", "trace-1.a_B")], "").await;
    assert_eq!(given.header("x-request-id"), "trace-1.a_B");
    let long = "a".repeat(129);
    for hostile in ["", "a b", "<script>", "a;b", &long] {
        let answer = send(&api, "GET", "/livez", &[("x-request-id", hostile)], "").await;
        assert_eq!(answer.header("x-request-id").len(), 36, "{hostile}");
    }
    let problem = get(&api, "/nothing").await;
    assert_eq!(problem.header("x-request-id").len(), 36);
    assert_eq!(problem.header("cache-control"), "no-store");
    assert_eq!(problem.header("x-content-type-options"), "nosniff");
}
