//! Prometheus remote_write 1.0: a snappy block that holds a `prometheus.WriteRequest`.
//!
//! Source: <https://prometheus.io/docs/specs/prw/remote_write_spec/>.

use std::borrow::Cow;

use leadsman_domain::{Format, RejectReason, SkipReason, Timestamp};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::collect::{Collector, Terms};
use crate::inflate;
use crate::metric::{Labels, Series, hash};
use crate::refusal::Refusal;

/// `timeseries` of `WriteRequest`.
const TIMESERIES: u32 = 1;
/// Empty messages take two bytes on the wire and dozens in memory, so one series is bounded.
const MAX_SERIES_BYTES: usize = 1 << 20;
/// Prometheus sends 2,000 samples at once by default.
const MAX_SAMPLES: usize = 100_000;
/// Snappy's own best is about 21:1, so small blocks may announce this much without suspicion.
const SMALL: u64 = 1 << 20;

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
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

/// Decodes one request, series by series: a bad one costs itself.
pub(crate) fn decode(bytes: &[u8], terms: Terms<'_>, out: &mut Collector) {
    let plain = match inflated(bytes, terms) {
        Ok(plain) => plain,
        Err(refusal) => return out.reject(1, refusal, bytes),
    };
    out.format(Format::PrometheusRemoteWrite);
    let (mut rest, mut samples) = (plain.as_slice(), 0);
    while !rest.is_empty() {
        match next_series(&mut rest) {
            Ok(None) => {}
            Ok(Some(series)) => decode_series(series, terms, &mut samples, out),
            // Without its length the next field cannot be found.
            Err(refusal) => return out.reject(1, refusal, rest),
        }
    }
}

/// Decompresses after the announced length was held against the limits: it decides what is allocated.
fn inflated(bytes: &[u8], terms: Terms<'_>) -> Result<Vec<u8>, Refusal> {
    let announced = snap::raw::decompress_len(bytes).map_err(|_| inflate::refusal())? as u64;
    let by_ratio = terms.limits.max_ratio.saturating_mul(bytes.len() as u64).max(SMALL);
    if announced > terms.limits.max_decompressed.min(by_ratio) {
        return Err(inflate::refusal());
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(|_| inflate::refusal())
}

/// The bytes of the next series, or `None` when the next field was something else and is passed over.
fn next_series<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Refusal> {
    let malformed = || Refusal::new(RejectReason::MalformedProtobuf, "not a prometheus.WriteRequest");
    let (tag, wire) = decode_key(rest).map_err(|_| malformed())?;
    if (tag, wire) != (TIMESERIES, WireType::LengthDelimited) {
        skip_field(wire, tag, rest, DecodeContext::default()).map_err(|_| malformed())?;
        return Ok(None);
    }
    let length = decode_varint(rest).map_err(|_| malformed())?;
    let length = usize::try_from(length).map_err(|_| malformed())?;
    let (series, after) = rest.split_at_checked(length).ok_or_else(malformed)?;
    *rest = after;
    Ok(Some(series))
}

fn decode_series(bytes: &[u8], terms: Terms<'_>, samples: &mut usize, out: &mut Collector) {
    if bytes.len() > MAX_SERIES_BYTES {
        return out.reject(1, Refusal::too_large(MAX_SERIES_BYTES), bytes);
    }
    let Ok(TimeSeries { labels, samples: values }) = TimeSeries::decode(bytes) else {
        let refusal = Refusal::new(RejectReason::MalformedProtobuf, "not a prometheus.TimeSeries");
        return out.reject(1, refusal, bytes);
    };
    if values.is_empty() {
        // Exemplars and histograms come without samples.
        return out.skip(SkipReason::NoMeasurement);
    }
    let series = match Series::new(known(&labels)) {
        Ok(series) => series,
        Err(refusal) => return out.reject(1, refusal, bytes),
    };
    for Sample { value, timestamp } in values {
        // No measurement: a series that ended (the stale marker is a NaN), or a summary nobody observed.
        if value.is_nan() {
            out.skip(SkipReason::NoMeasurement);
            continue;
        }
        *samples += 1;
        if *samples > MAX_SAMPLES {
            let refusal = Refusal::new(RejectReason::TooLarge, format!("more than {MAX_SAMPLES} samples"));
            return out.reject(1, refusal, bytes);
        }
        match series.sample(Timestamp::from_millis(timestamp), value, terms) {
            Ok(sample) => out.remote_sample(sample),
            Err(refusal) => out.reject(1, refusal, bytes),
        }
    }
}

fn known(labels: &[Label]) -> Labels<'_> {
    let identity = hash(labels.iter().flat_map(|l| [l.name.as_str(), l.value.as_str()]));
    let mut known = Labels { identity, ..Labels::default() };
    for Label { name, value } in labels {
        let slot = match name.as_str() {
            "__name__" => &mut known.name,
            "namespace" => &mut known.namespace,
            "workload" => &mut known.workload,
            "pod" => &mut known.pod,
            "container" => &mut known.container,
            "job" => &mut known.job,
            "instance" => &mut known.instance,
            _ => continue,
        };
        // Prometheus takes an empty label for an absent one.
        *slot = Some(value.as_str()).filter(|v| !v.is_empty()).map(Cow::Borrowed);
    }
    known
}
