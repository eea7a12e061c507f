use leadsman_api::{ApiConfig, Token, TokenError};

use crate::fake::{Fake, TOKEN, api, config, get, send};

const OPEN: ApiConfigFn = || ApiConfig::new(None);
type ApiConfigFn = fn() -> ApiConfig;

#[tokio::test]
async fn every_failed_authentication_looks_the_same() {
    let (api, _) = api(Fake::default(), config());
    let longer = format!("Bearer {TOKEN}x");
    let mut seen = Vec::new();
    for credentials in ["", "Bearer", "Bearer ", "Bearer wrong", &longer, "Basic abcdef", TOKEN, "Bearer \u{e4}"] {
        for path in ["/v1/findings", "/v1/nothing", "/metrics", "/v1/findings/fnd_x"] {
            let headers = [("authorization", credentials), ("x-request-id", "same")];
            let answer = send(&api, "GET", path, &headers, "").await;
            let mut problem = answer.problem(401, "unauthorized");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            problem["instance"].take();
            seen.push(problem);
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn a_refused_write_does_not_reach_the_backend() {
    let (api, fake) = api(Fake::default(), config());
    send(&api, "POST", "/v1/ingest/k8s-audit", &[("authorization", "")], "x").await.problem(401, "unauthorized");
    let two = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    send(&api, "POST", "/v1/ingest/k8s-audit", &two, "x").await.problem(401, "unauthorized");
    assert!(fake.ingested.lock().unwrap().is_empty());
}

#[tokio::test]
async fn probes_and_the_description_need_no_token() {
    let (api, _) = api(Fake::default(), config());
    for path in ["/livez", "/readyz", "/openapi.json"] {
        let answer = send(&api, "GET", path, &[("authorization", ""), ("host", "10.1.2.3:8080")], "").await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn the_scheme_is_case_insensitive() {
    let (api, _) = api(Fake::default(), config());
    let header = format!("bEARER {TOKEN}");
    assert_eq!(send(&api, "GET", "/v1/version", &[("authorization", &header)], "").await.status, 200);
}

#[tokio::test]
async fn an_open_api_answers_to_its_own_names_only() {
    let config = ApiConfig { allowed_hosts: vec!["Leadsman.example".into()], ..OPEN() };
    let (api, _) = api(Fake::default(), config);
    for host in
        ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:80", "127.8.8.8", "[::1]:80", "leadsman.example:1"]
    {
        assert_eq!(send(&api, "GET", "/v1/version", &[("host", host)], "").await.status, 200, "{host}");
    }
    for host in [
        "",
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "localhost@evil.example",
        "10.0.0.1",
        "[::2]",
        "a b",
    ] {
        send(&api, "GET", "/v1/version", &[("host", host)], "").await.problem(403, "foreign_host");
    }
    let absolute = send(&api, "GET", "http://evil.example/v1/version", &[], "").await;
    absolute.problem(403, "foreign_host");
    let twice = [("host", "localhost"), ("host", "localhost")];
    send(&api, "GET", "/v1/version", &twice, "").await.problem(403, "foreign_host");
}

#[tokio::test]
async fn with_a_token_any_host_will_do() {
    let (api, _) = api(Fake::default(), config());
    assert_eq!(send(&api, "GET", "/v1/version", &[("host", "leadsman.svc:8080")], "").await.status, 200);
}

#[tokio::test]
async fn foreign_pages_may_not_write() {
    for config in [OPEN(), config()] {
        let (api, fake) = api(Fake::default(), config);
        for origin in
            ["https://evil.example", "null", "http://localhost:3000", "file://", "http://localhost.evil.example"]
        {
            let answer = send(&api, "POST", "/v1/ingest/k8s-audit", &[("origin", origin)], "x").await;
            answer.problem(403, "foreign_origin");
            assert_eq!(send(&api, "GET", "/v1/version", &[("origin", origin)], "").await.status, 200, "{origin}");
        }
        assert!(fake.ingested.lock().unwrap().is_empty());
        let own = [("host", "localhost:8080"), ("origin", "http://localhost:8080")];
        assert_eq!(send(&api, "POST", "/v1/ingest/k8s-audit", &own, "x").await.status, 200);
    }
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let (api, _) = api(Fake::default(), config());
    for path in ["/", "/v1", "/v2/findings", "/v1/findings/", "/v1/jobs/x/y"] {
        get(&api, path).await.problem(404, "not_found");
    }
    for method in ["DELETE", "PUT", "OPTIONS", "PATCH", "TRACE"] {
        let answer = send(&api, method, "/v1/jobs", &[], "").await;
        answer.problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), "GET, HEAD, POST");
    }
    assert_eq!(send(&api, "HEAD", "/v1/version", &[], "").await.status, 200);
}

#[test]
fn a_token_is_checked_and_never_shown() {
    assert_eq!(Token::new("short").unwrap_err(), TokenError::TooShort);
    assert_eq!(Token::new("0123456789 0123456789").unwrap_err(), TokenError::Unprintable);
    assert!(!format!("{:?}", config()).contains(&TOKEN[4..]));
}
