use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use leadsman_domain::PayloadKind;
use tokio::sync::oneshot;

use crate::fake::{Fake, Fault, api, config, send};

const AUDIT: &str = "/v1/ingest/k8s-audit";
const PROMETHEUS: &str = "/v1/ingest/prometheus";
const METRICS: &str = "/v1/ingest/metrics";
const GZIP: (&str, &str) = ("content-encoding", "gzip");
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[tokio::test]
async fn audit_bodies_are_stored_as_they_are_readable_or_not() {
    for body in [&b"{\"kind\":\"EventList\"}"[..], b"not json \xff\x00", b""] {
        let (api, fake) = api(Fake::default(), config());
        let answer = send(&api, "POST", AUDIT, &[], body.to_vec()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, ""));
        assert_eq!(*fake.ingested.lock().unwrap(), [(PayloadKind::K8sAudit, body.to_vec())]);
    }
}

#[tokio::test]
async fn the_answer_waits_until_the_body_is_durable() {
    let (open, gate) = oneshot::channel();
    let (entered, has_entered) = oneshot::channel();
    let fake = Fake { gate: Some(gate).into(), entered: Some(entered).into(), ..Fake::default() };
    let (api, fake) = api(fake, config());
    let request = tokio::spawn(async move { send(&api, "POST", AUDIT, &[], "x").await });
    has_entered.await.unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!request.is_finished());
    assert!(fake.ingested.lock().unwrap().is_empty());
    open.send(()).unwrap();
    assert_eq!(request.await.unwrap().status, 200);
    assert_eq!(fake.ingested.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn gzip_is_unpacked_and_broken_gzip_is_kept_for_the_dead_letter() {
    let (api, fake) = api(Fake::default(), config());
    let mut broken = gzip(b"hello hello hello");
    broken.truncate(broken.len() - 9);
    for body in [gzip(b"hello"), [gzip(b"hel"), gzip(b"lo")].concat(), broken.clone(), b"plain".to_vec()] {
        assert_eq!(send(&api, "POST", AUDIT, &[GZIP], body).await.status, 200);
    }
    let stored: Vec<_> = fake.ingested.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(stored, [b"hello".to_vec(), b"hello".to_vec(), broken, b"plain".to_vec()]);
}

#[tokio::test]
async fn an_encoding_nobody_can_read_is_refused() {
    let (api, fake) = api(Fake::default(), config());
    for encoding in ["br", "gzip, gzip", "snappy", "zstd"] {
        let answer = send(&api, "POST", AUDIT, &[("content-encoding", encoding)], "x").await;
        answer.problem(415, "unsupported_media_type");
    }
    assert!(fake.ingested.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_is_503_and_tells_nothing_else() {
    let (api, _) = api(Fake::faulty(Fault::Unavailable), config());
    for (path, headers) in [
        (AUDIT, vec![]),
        (METRICS, vec![NDJSON]),
        (PROMETHEUS, vec![("content-type", "application/x-protobuf"), ("content-encoding", "snappy")]),
    ] {
        let answer = send(&api, "POST", path, &headers, "x").await;
        answer.problem(503, "unavailable");
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn remote_write_1_is_stored_compressed() {
    let (api, fake) = api(Fake::default(), config());
    for media in
        ["application/x-protobuf", "application/x-protobuf;proto=prometheus.WriteRequest", "Application/X-Protobuf"]
    {
        let headers = [("content-type", media), ("content-encoding", "snappy")];
        let answer = send(&api, "POST", PROMETHEUS, &headers, "compressed").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    }
    let expected = (PayloadKind::PrometheusRemoteWrite, b"compressed".to_vec());
    assert_eq!(*fake.ingested.lock().unwrap(), [expected.clone(), expected.clone(), expected]);
}

#[tokio::test]
async fn remote_write_2_and_other_encodings_are_415() {
    let (api, fake) = api(Fake::default(), config());
    for (media, encoding) in [
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy"),
        ("application/x-protobuf; proto=\"io.prometheus.write.v2.Request\"", "snappy"),
        ("application/x-protobuf", "zstd"),
        ("application/x-protobuf", "gzip"),
        ("application/x-protobuf", ""),
        ("application/json", "snappy"),
        ("", "snappy"),
    ] {
        let headers = [("content-type", media), ("content-encoding", encoding)];
        send(&api, "POST", PROMETHEUS, &headers, "x").await.problem(415, "unsupported_media_type");
    }
    assert!(fake.ingested.lock().unwrap().is_empty());
}

#[tokio::test]
async fn metric_lines_are_accepted() {
    let (api, fake) = api(Fake::default(), config());
    assert_eq!(send(&api, "POST", METRICS, &[NDJSON], "{}\n{}").await.status, 202);
    assert_eq!(send(&api, "POST", METRICS, &[NDJSON, GZIP], gzip(b"{}")).await.status, 202);
    send(&api, "POST", METRICS, &[NDJSON, GZIP], "not gzip").await.problem(422, "invalid_input");
    send(&api, "POST", METRICS, &[("content-type", "text/html")], "").await.problem(415, "unsupported_media_type");
    let expected = [(PayloadKind::MetricJson, b"{}\n{}".to_vec()), (PayloadKind::MetricJson, b"{}".to_vec())];
    assert_eq!(*fake.ingested.lock().unwrap(), expected);
}

#[tokio::test]
async fn bodies_over_the_limit_are_413_before_and_after_unpacking() {
    let config = leadsman_api::ApiConfig { max_body: 1_000, ..config() };
    let (api, fake) = api(Fake::default(), config);
    let bomb = gzip(&vec![0; 1_001]);
    assert!(bomb.len() < 100);
    let chunks = tokio_stream::iter((0..11).map(|_| Ok::<_, std::io::Error>(vec![0; 100])));
    let endless = axum::body::Body::from_stream(chunks);
    for (headers, body) in [
        (vec![], axum::body::Body::from(vec![0; 1_001])),
        (vec![("content-length", "1001")], axum::body::Body::empty()),
        (vec![GZIP], bomb.into()),
        (vec![], endless),
    ] {
        send(&api, "POST", AUDIT, &headers, body).await.problem(413, "payload_too_large");
    }
    assert!(fake.ingested.lock().unwrap().is_empty());
    assert_eq!(send(&api, "POST", AUDIT, &[], vec![0; 1_000]).await.status, 200);
    assert_eq!(send(&api, "POST", AUDIT, &[GZIP], gzip(&[0; 1_000])).await.status, 200);
}
