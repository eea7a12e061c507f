//! What holds for every input.

use std::io::{BufReader, Read};

use leadsman_domain::{Decoded, PayloadKind};
use proptest::prelude::*;

use super::{EVENT, context, gzip, ids, now, numbered, raw, read_all, zstd};
use crate::{AuditReader, BatchDecoder, DecodeMemo, Found, Limits, record};

const KINDS: [PayloadKind; 3] = [PayloadKind::K8sAudit, PayloadKind::PrometheusRemoteWrite, PayloadKind::MetricJson];

/// Small limits, so that small inputs reach them.
const TIGHT: Limits = Limits { max_item_bytes: 700, max_depth: 8, max_decompressed: 5_000, max_ratio: 10 };

fn check(bytes: &[u8]) {
    for kind in KINDS {
        for limits in [Limits::default(), TIGHT] {
            for reject in record(&context(), &limits, &raw(kind, bytes)).rejects {
                assert!(reject.payload.len() <= 4_096 && reject.line >= 1);
            }
        }
    }
    read_all(bytes, TIGHT, 3);
}

/// Delivers `step` bytes at a time.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = to.len().min(self.1);
        self.0.read(&mut to[..n])
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let list = format!("{{\"kind\":\"EventList\",\n\"items\":[\n{EVENT},\n{}\n]}}", numbered(2));
    let lines = format!("{EVENT}\n{}\n", numbered(2));
    let metric = r#"{"timestamp":"2026-03-02T10:00:00Z","value":"1","name":"up","labels":{"job":"x"}}"#;
    // labels {__name__: up}, {job: x}; one sample
    let series = b"\x0a\x28\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01x\x12\x0c\x09\0\0\0\0\0\0\xf0\x3f\x10\x80\x01";
    vec![
        list.clone().into_bytes(),
        gzip(list.as_bytes()),
        lines.clone().into_bytes(),
        zstd(lines.as_bytes()),
        metric.as_bytes().to_vec(),
        snap::raw::Encoder::new().compress_vec(series).unwrap(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        check(&bytes);
        check(&gzip(&bytes));
        check(&[b"\x28\xb5\x2f\xfd", bytes.as_slice()].concat());
        check(&snap::raw::Encoder::new().compress_vec(&bytes).unwrap());
    }

    #[test]
    fn arbitrary_brackets_never_panic(text in r#"([\[\]{},:\\"\n 1]|"items":|"a")*"#) {
        check(text.as_bytes());
    }

    #[test]
    fn mutated_documents_never_panic(
        seed in 0..6usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..8),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (at, byte, edit) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match edit {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        check(&bytes);
    }

    #[test]
    fn chunks_and_buffers_change_nothing(size in 1..30usize, step in 1..700usize, count in 1..25usize, shape in 0..3u8) {
        let items: Vec<_> = (0..count).map(|n| if n % 7 == 3 { "{\"bad\":}".to_owned() } else { numbered(n) }).collect();
        let text = match shape {
            0 => items.join("\n"),
            1 => format!("[\n{}\n]", items.join(",\n")),
            _ => format!("{{\"kind\":\"EventList\",\"items\":[{}]}}", items.join(",")),
        };
        let whole = record(&context(), &Limits::default(), &raw(PayloadKind::K8sAudit, text.clone()));
        prop_assert_eq!(ids(&whole).len() + whole.rejects.len(), count);
        prop_assert_eq!(&read_all(text.as_bytes(), Limits::default(), size), &whole);
        let drip = BufReader::with_capacity(step, Drip(text.as_bytes(), step));
        let mut reader = AuditReader::new(drip, context(), Limits::default(), now()).unwrap();
        let mut all = Decoded::default();
        while let Some(chunk) = reader.next_chunk(size).unwrap() {
            all.append(chunk);
        }
        prop_assert_eq!(&all, &whole);
    }
}

/// A batch holds what its records hold by themselves: whole ones, cut ones, refused lists and more rejects than are kept.
#[test]
fn a_batch_is_its_records() {
    let mut payloads: Vec<Vec<u8>> = seeds();
    payloads.extend(seeds().into_iter().map(|mut seed| seed.split_off(seed.len() / 3)));
    payloads.extend([b"".to_vec(), b" \n".to_vec(), br#"{"kind":"Lease"}"#.to_vec(), vec![b'['; 90]]);
    payloads.push(format!("[{}1]", "1,".repeat(1_500)).into_bytes());
    payloads.push(EVENT.as_bytes().to_vec());
    let limits = Limits::default();
    for kind in KINDS {
        let ctx = context();
        let (mut batch, mut alone) = (BatchDecoder::new(&ctx, &limits, DecodeMemo::default()), Decoded::default());
        for payload in &payloads {
            let raw = raw(kind, payload.clone());
            let of_record = record(&ctx, &limits, &raw);
            let (events, samples, rejects) = (of_record.events.len(), of_record.samples.len(), of_record.rejects.len());
            assert_eq!(batch.push(&raw), Found { events, samples, rejects });
            alone.append(of_record);
        }
        let (together, _) = batch.finish();
        assert_eq!(together, alone);
        let most = if kind == PayloadKind::K8sAudit { 1_000 } else { 5 };
        assert!(together.rejects.len() > most, "{kind:?}: {}", together.rejects.len());
    }
}

#[test]
fn the_seeds_decode() {
    for (seed, kind, expected) in [(0, 0, 2), (1, 0, 2), (2, 0, 2), (3, 0, 2), (4, 2, 1), (5, 1, 1)] {
        let decoded = record(&context(), &Limits::default(), &raw(KINDS[kind], seeds().swap_remove(seed)));
        assert_eq!(decoded.rejects, [], "{seed}");
        assert_eq!(decoded.events.len() + decoded.samples.len(), expected, "{seed}");
    }
}
