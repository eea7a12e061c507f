//! Prometheus samples in both forms.

use leadsman_domain::{Decoded, MetricSample, PayloadKind, RejectReason};
use prost::Message;

use super::{context, gzip, raw, refused};
use crate::{Limits, MetricReader, record, workload_of_pod};

#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<Series>,
    /// Metadata and whatever else later versions add.
    #[prost(string, tag = "3")]
    other: String,
}

#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// 2026-03-02T10:00:00Z
const AT: i64 = 1_772_445_600_000;

fn series(labels: &[(&str, &str)], samples: &[(f64, i64)]) -> Series {
    let label = |(name, value): &(&str, &str)| Label { name: (*name).to_owned(), value: (*value).to_owned() };
    let sample = |(value, timestamp): &(f64, i64)| Sample { value: *value, timestamp: *timestamp };
    Series { labels: labels.iter().map(label).collect(), samples: samples.iter().map(sample).collect() }
}

fn write(timeseries: Vec<Series>) -> Decoded {
    let plain = WriteRequest { timeseries, other: "x".to_owned() }.encode_to_vec();
    let packed = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    record(&context(), &Limits::default(), &raw(PayloadKind::PrometheusRemoteWrite, packed))
}

fn shown(s: &MetricSample) -> String {
    let pod = s.pod.as_ref().map_or("-".to_owned(), ToString::to_string);
    format!("{} {} {pod} {} {}", s.name, s.entity(), s.event_time, s.value)
}

#[test]
fn remote_write() {
    let cpu = ("__name__", "cpu");
    let decoded = write(vec![
        series(&[cpu, ("namespace", "shop"), ("pod", "cart-5d4f8c7b9d-x7k2p")], &[(0.5, AT), (0.25, AT + 1_000)]),
        series(&[cpu, ("namespace", "shop"), ("pod", "db-0"), ("workload", "database")], &[(1.0, AT)]),
        series(&[cpu, ("namespace", "shop"), ("container", "app")], &[(2.0, AT)]),
        series(&[cpu, ("job", "node"), ("instance", "n1:9100")], &[(3.0, AT)]),
        series(&[cpu, ("instance", "n1:9100")], &[(4.0, AT)]),
        series(&[cpu, ("instance", "n1:9100")], &[]),
    ]);
    assert_eq!(decoded.rejects, []);
    assert_eq!(
        decoded.samples.iter().map(shown).collect::<Vec<_>>(),
        [
            "cpu shop/cart cart-5d4f8c7b9d-x7k2p 2026-03-02T10:00:00.000Z 0.5",
            "cpu shop/cart cart-5d4f8c7b9d-x7k2p 2026-03-02T10:00:01.000Z 0.25",
            "cpu shop/database db-0 2026-03-02T10:00:00.000Z 1",
            "cpu shop/app - 2026-03-02T10:00:00.000Z 2",
            "cpu /node - 2026-03-02T10:00:00.000Z 3",
            "cpu /n1:9100 - 2026-03-02T10:00:00.000Z 4",
        ]
    );
}

#[test]
fn a_bad_series_or_sample_costs_itself() {
    let good = [("__name__", "up"), ("job", "x")];
    let check = |bad: Series, reason: Option<RejectReason>| {
        let decoded = write(vec![series(&good, &[(1.0, AT)]), bad, series(&good, &[(2.0, AT)])]);
        assert_eq!(decoded.samples.len(), 2);
        assert_eq!(decoded.rejects.iter().map(|r| r.reason).next(), reason);
    };
    check(series(&good, &[(f64::from_bits(0x7ff0_0000_0000_0002), AT)]), None);
    check(series(&good, &[(f64::NAN, AT)]), None);
    check(series(&good, &[(f64::INFINITY, AT)]), Some(RejectReason::InvalidField));
    check(series(&good, &[(1.0, -1)]), Some(RejectReason::InvalidField));
    check(series(&good, &[(1.0, AT + 600_000)]), Some(RejectReason::FutureEventTime));
    check(series(&good, &[(1.0, i64::MAX)]), Some(RejectReason::FutureEventTime));
    check(series(&good[..1], &[(1.0, AT)]), Some(RejectReason::MissingField));
    check(series(&good[1..], &[(1.0, AT)]), Some(RejectReason::MissingField));
    check(series(&[good[0], ("job", &"x".repeat(600))], &[(1.0, AT)]), Some(RejectReason::InvalidField));
    check(series(&[good[0], ("x", &"x".repeat(2 << 20))], &[(1.0, AT)]), Some(RejectReason::TooLarge));
}

#[test]
fn one_record_holds_a_bounded_number_of_samples() {
    let samples: Vec<_> = (0..50_000).map(|n| (1.0, AT + n / 10)).collect();
    let one = series(&[("__name__", "up"), ("job", "x")], &samples);
    let decoded = write(vec![one.clone(), one.clone(), one]);
    assert_eq!(decoded.samples.len(), 100_000);
    assert_eq!(refused(&decoded).0, RejectReason::TooLarge);
}

const LINES: &str = r#"{"timestamp":"2026-03-02T10:00:00Z","value":"0.5","name":"cpu","labels":{"__name__":"cpu","namespace":"shop","pod":"agent-x7k2p"}}
{"timestamp":"2026-03-02T12:00:00+02:00","value":1.5e3,"name":"up","labels":{"job":"node","instance":"n1"}}

{"timestamp":"2026-03-02T10:00:00Z","value":"NaN","name":"up","labels":{"job":"node"}}
{"timestamp":"2026-03-02T10:00:00Z","value":true,"name":"up","labels":{"job":"node"}}
{"timestamp":"now","value":"1","name":"up","labels":{"job":"node"}}
{"value":"1","name":"up","labels":{"job":"node"}}
{"timestamp":"2026-03-02T10:00:00Z","value":"1","name":"up"}
{"timestamp":"2026-03-02T10:00:00Z","value":"1","labels":{"__name__":"named","job":"node"}}
"#;

#[test]
fn json_lines_of_the_kafka_adapter() {
    let plain = record(&context(), &Limits::default(), &raw(PayloadKind::MetricJson, LINES));
    assert_eq!(
        plain.samples.iter().map(shown).collect::<Vec<_>>(),
        [
            "cpu shop/agent agent-x7k2p 2026-03-02T10:00:00.000Z 0.5",
            "up /node - 2026-03-02T10:00:00.000Z 1500",
            "named /node - 2026-03-02T10:00:00.000Z 1",
        ]
    );
    assert_eq!(
        plain.rejects.iter().map(|r| (r.line, r.reason)).collect::<Vec<_>>(),
        [
            (4, RejectReason::InvalidField),
            (5, RejectReason::InvalidField),
            (6, RejectReason::InvalidField),
            (7, RejectReason::MissingField),
            (8, RejectReason::MissingField),
        ]
    );
    let packed = gzip(LINES.as_bytes());
    assert_eq!(record(&context(), &Limits::default(), &raw(PayloadKind::MetricJson, packed.clone())), plain);
    let mut reader = MetricReader::new(packed.as_slice(), context(), Limits::default(), super::now()).unwrap();
    let mut all = Decoded::default();
    while let Some(chunk) = reader.next_chunk(1).unwrap() {
        all.append(chunk);
    }
    assert_eq!(all, plain);
}

#[test]
fn workloads_of_pods() {
    for (pod, workload) in [
        ("cart-5d4f8c7b9d-x7k2p", "cart"),
        ("my-shop-cart-6b7f8d-x7k2p", "my-shop-cart"),
        ("kube-proxy-x7k2p", "kube-proxy"),
        ("node-exporter-bz9wl", "node-exporter"),
        ("db-0", "db"),
        ("db-main-12", "db-main"),
        ("backup-28391040-x7k2p", "backup"),
        ("etcd-master1", "etcd-master1"),
        ("cart-abcde", "cart-abcde"),
        ("plain", "plain"),
        ("-x7k2p", "-x7k2p"),
        ("-0", "-0"),
        ("", ""),
    ] {
        assert_eq!(workload_of_pod(pod), workload);
    }
}
