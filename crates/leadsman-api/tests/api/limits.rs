use std::time::Duration;

use axum::body::Body;
use leadsman_api::ApiConfig;
use tokio::sync::oneshot;

use crate::fake::{Fake, api, config, get, send};

const AUDIT: &str = "/v1/ingest/k8s-audit";

/// A backend that holds its first ingest until the returned sender says go.
fn gated() -> (Fake, oneshot::Sender<()>, oneshot::Receiver<()>) {
    let (open, gate) = oneshot::channel();
    let (entered, has_entered) = oneshot::channel();
    let fake = Fake { gate: Some(gate).into(), entered: Some(entered).into(), ..Fake::default() };
    (fake, open, has_entered)
}

#[tokio::test]
async fn too_many_requests_are_refused_and_probes_are_not() {
    let (fake, open, has_entered) = gated();
    let (api, _) = api(fake, ApiConfig { max_in_flight: 1, ..config() });
    let busy = api.clone();
    let first = tokio::spawn(async move { send(&busy, "POST", AUDIT, &[], "x").await });
    has_entered.await.unwrap();
    let second = send(&api, "POST", AUDIT, &[], "x").await;
    second.problem(503, "overloaded");
    assert_eq!(second.header("retry-after"), "5");
    assert_eq!(get(&api, "/livez").await.status, 200);
    open.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(send(&api, "POST", AUDIT, &[], "x").await.status, 200);
}

#[tokio::test]
async fn bodies_in_memory_are_bounded() {
    let (fake, open, has_entered) = gated();
    let config = ApiConfig { max_body: 64 << 10, max_buffered: 0, ..config() };
    let (api, _) = api(fake, config);
    let busy = api.clone();
    let held = vec![0; 64 << 10];
    let length = held.len().to_string();
    let first = tokio::spawn(async move { send(&busy, "POST", AUDIT, &[("content-length", &length)], held).await });
    has_entered.await.unwrap();
    let gzip = [("content-encoding", "gzip")];
    send(&api, "POST", AUDIT, &gzip, vec![0; 10]).await.problem(503, "overloaded");
    open.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(send(&api, "POST", AUDIT, &gzip, vec![0; 10]).await.status, 200);
}

#[tokio::test]
async fn a_body_that_never_comes_is_a_408() {
    let (api, fake) = api(Fake::default(), ApiConfig { body_timeout: Duration::from_millis(20), ..config() });
    let never = Body::from_stream(tokio_stream::pending::<Result<Vec<u8>, std::io::Error>>());
    send(&api, "POST", AUDIT, &[], never).await.problem(408, "request_timeout");
    assert!(fake.ingested.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_backend_that_never_answers_is_a_503() {
    let (fake, _open, _entered) = gated();
    let (api, _) = api(fake, ApiConfig { request_timeout: Duration::from_millis(20), ..config() });
    send(&api, "POST", AUDIT, &[], "x").await.problem(503, "unavailable");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_stored() {
    let (api, fake) = api(Fake::default(), config());
    let parts = [Ok(b"half".to_vec()), Err(std::io::Error::other("reset"))];
    let broken = Body::from_stream(tokio_stream::iter(parts));
    send(&api, "POST", AUDIT, &[], broken).await.problem(422, "invalid_input");
    assert!(fake.ingested.lock().unwrap().is_empty());
}
