//! Input that is broken, or made to cost more than it should.

use std::io::{Read, repeat};

use leadsman_domain::{PayloadKind, RejectReason};

use super::{EVENT, audit, context, gzip, ids, numbered, raw, read_all, refused, with, zstd};
use crate::{Limits, record};

#[test]
fn a_malformed_line_among_good_ones_is_named_by_its_line() {
    for bad in ["{\"a\":", "nonsense", "{\"auditID\":\"x\",}", "{\"a\":1}}", "{\"a\":\"\u{1}\"}", "\"open"] {
        let text = format!("{}\n\n{bad}\n{}\n", numbered(1), numbered(2));
        for decoded in [audit(text.clone()), read_all(text.as_bytes(), Limits::default(), 1)] {
            assert_eq!(ids(&decoded), ["0001", "0002"], "{bad}");
            let (reason, line, _) = refused(&decoded);
            assert_eq!((reason, line), (RejectReason::MalformedJson, 3), "{bad}");
            assert_eq!((decoded.rejects[0].item, decoded.rejects[0].payload.as_slice()), (1, bad.as_bytes()));
        }
    }
}

#[test]
fn a_first_line_that_lost_its_end_does_not_swallow_the_rest() {
    let cut = &EVENT[..EVENT.len() / 2];
    let decoded = audit(format!("{cut}\n{}\n{}\n", numbered(2), numbered(3)));
    assert_eq!(ids(&decoded), ["0002", "0003"]);
    assert_eq!((refused(&decoded).0, refused(&decoded).1), (RejectReason::MalformedJson, 1));
}

#[test]
fn a_truncated_last_line_is_refused_with_its_line() {
    let text = format!("{}\n{}\n{}", numbered(1), numbered(2), &EVENT[..300]);
    let decoded = read_all(text.as_bytes(), Limits::default(), 10);
    assert_eq!(ids(&decoded), ["0001", "0002"]);
    assert_eq!((refused(&decoded).0, refused(&decoded).1), (RejectReason::MalformedJson, 3));
}

#[test]
fn truncated_compression_keeps_what_came_before() {
    let text: String = (0..2_000).map(|n| numbered(n) + "\n").collect();
    for whole in [gzip(text.as_bytes()), zstd(text.as_bytes())] {
        let cut = &whole[..whole.len() * 3 / 4];
        for decoded in [audit(cut), read_all(cut, Limits::default(), 100)] {
            let kept = decoded.events.len();
            assert!(kept < 2_000);
            assert_eq!(ids(&decoded), ids(&audit(text.clone()))[..kept]);
            let (reason, line, _) = refused(&decoded);
            assert_eq!(reason, RejectReason::Decompression);
            assert!(line == kept as u64 + 1 || line == kept as u64, "{line} after {kept} events");
        }
    }
    let cut = &gzip(text.as_bytes());
    assert!(!audit(&cut[..cut.len() * 3 / 4]).events.is_empty(), "gzip delivers in small pieces");
    for junk in [&[0x1f, 0x8b, 8, 0][..], &[0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff], &[0x1f, 0x8b]] {
        assert_eq!(refused(&audit(junk)).0, RejectReason::Decompression);
    }
    // A last member that is damaged costs itself.
    let twice = [gzip(numbered(1).as_bytes()), b"garbage".to_vec()].concat();
    let decoded = audit(twice);
    assert_eq!((ids(&decoded), refused(&decoded).0), (vec!["0001".to_owned()], RejectReason::Decompression));
}

#[test]
fn wrong_utf8_is_refused_with_its_place() {
    let mut bad = EVENT.as_bytes().to_vec();
    let at = EVENT.find("jane").unwrap();
    bad[at] = 0xff;
    let text = [numbered(1).as_bytes(), b"\n", &bad, b"\n", numbered(2).as_bytes()].concat();
    let decoded = audit(text);
    assert_eq!(ids(&decoded), ["0001", "0002"]);
    assert_eq!(refused(&decoded), (RejectReason::InvalidUtf8, 2, &*format!("not UTF-8 at byte {at} of the item")));
    let list = [b"[".as_slice(), &bad, b",", EVENT.as_bytes(), b"]"].concat();
    assert_eq!(ids(&audit(list)), ["0001"]);
}

#[test]
fn an_event_of_five_megabytes_is_fine() {
    let body = format!(r#","requestObject":{{"data":"{}"}},"stage""#, "x".repeat(5_000_000));
    let large = with(r#","stage""#, &body);
    let text = format!("{large}\n{}\n", numbered(2));
    assert_eq!(ids(&audit(text.clone())), ["0001", "0002"]);
    assert_eq!(ids(&read_all(text.as_bytes(), Limits::default(), 1)), ["0001", "0002"]);
}

#[test]
fn an_item_over_the_limit_is_skipped_unheld() {
    let limits = Limits { max_item_bytes: 10_000, ..Limits::default() };
    let large = with(r#","stage""#, &format!(r#","x":"{}","stage""#, "y".repeat(200_000)));
    for text in [
        format!("{}\n{large}\n{}\n", numbered(1), numbered(2)),
        format!("{}\n{large}\n{}\n", numbered(1), numbered(2)).replace("\n", "\r\n"),
        format!("[{},\n{large},{}]", numbered(1), numbered(2)),
    ] {
        let decoded = read_all(text.as_bytes(), limits, 1);
        assert_eq!(ids(&decoded), ["0001", "0002"]);
        assert_eq!((refused(&decoded).0, refused(&decoded).1), (RejectReason::TooLarge, 2));
    }
    // As the first line it looks like a document, and the rest is still found.
    let decoded = read_all(format!("{large}\n{}\n{}\n", numbered(1), numbered(2)).as_bytes(), limits, 1);
    assert_eq!(
        (ids(&decoded), refused(&decoded).0),
        (vec!["0001".to_owned(), "0002".to_owned()], RejectReason::TooLarge)
    );
    let alone = record(&context(), &limits, &raw(PayloadKind::K8sAudit, large));
    assert_eq!(refused(&alone).0, RejectReason::TooLarge);
    let no_end = read_all(&b"x".repeat(1_000_000), limits, 1);
    assert_eq!(refused(&no_end).0, RejectReason::TooLarge);
}

#[test]
fn nested_bombs_are_too_deep_and_cost_no_stack() {
    for depth in [130, 100_000, 200_000] {
        let closed = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let bombs = [
            with(r#","stage""#, &format!(r#","requestObject":{closed},"stage""#)),
            with(r#","stage""#, &format!(r#","x":{},"stage""#, r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth))),
            "[".repeat(depth + 1),
            r#"{"a":"#.repeat(depth + 1),
            closed.clone() + " ",
            format!("[{closed}]"),
        ];
        for bomb in bombs {
            let decoded = audit(bomb);
            assert_eq!((decoded.events.len(), refused(&decoded).0), (0, RejectReason::TooDeep), "{depth}");
        }
        let among = audit(format!("[{},{closed},{}]", numbered(1), numbered(2)));
        assert_eq!((ids(&among).len(), refused(&among).0), (2, RejectReason::TooDeep));
    }
    let deep = "[".repeat(127) + &"]".repeat(127);
    assert_eq!(ids(&audit(with(r#","stage""#, &format!(r#","requestObject":{deep},"stage""#)))), ["0001"]);
    // Brackets in strings are no nesting.
    let text = with(r#""kubectl/v1.33.0""#, &format!(r#""\"{}\\""#, "[{".repeat(500)));
    assert_eq!(ids(&audit(text)), ["0001"]);
}

#[test]
fn bombs_of_200_megabytes_are_refused_early() {
    let mut bomb = Vec::new();
    let zeros = repeat(b'0').take(200 << 20);
    flate2::bufread::GzEncoder::new(std::io::BufReader::new(zeros), flate2::Compression::fast())
        .read_to_end(&mut bomb)
        .unwrap();
    let zstd = zstd::encode_all(repeat(b'\n').take(200 << 20), 1).unwrap();
    for bomb in [bomb, zstd] {
        assert!(bomb.len() < 2 << 20);
        let decoded = audit(bomb.clone());
        assert_eq!(decoded.events, []);
        assert!(decoded.rejects.iter().any(|r| r.reason == RejectReason::Decompression));
        let file = read_all(&bomb, Limits::default(), 10);
        assert!(file.rejects.iter().any(|r| r.reason == RejectReason::Decompression));
    }
}

#[test]
fn many_bad_items_do_not_become_many_rejects() {
    for text in [format!("[{}1]", "1,".repeat(200_000)), "x\n".repeat(200_000)] {
        let decoded = audit(text);
        assert_eq!(decoded.rejects.len(), 1_001);
        assert!(decoded.rejects[1_000].detail.contains(" more items refused after 1000"));
    }
}

#[test]
fn a_body_is_never_quoted_and_the_payload_is_capped() {
    let body = format!(r#","requestObject":{{"data":"{}"}},"stage":7,"x""#, "hunter2".repeat(10_000));
    let decoded = audit(with(r#","stage""#, &body).replacen("ResponseComplete", "hunter2", 1));
    let (_, _, detail) = refused(&decoded);
    assert!(!detail.contains("hunter2"));
    assert_eq!(decoded.rejects[0].payload.len(), 4_096);
}

#[test]
fn snappy_garbage_and_lies_are_refused_before_allocating() {
    let metric = |bytes: &[u8]| record(&context(), &Limits::default(), &raw(PayloadKind::PrometheusRemoteWrite, bytes));
    // A length of 4 GiB in five bytes.
    for bytes in [&b""[..], b"\xff\xff\xff\xff\x0f", b"\xff\xff\xff\x1fabc", b"\x05hello", b"garbage"] {
        assert_eq!(refused(&metric(bytes)).0, RejectReason::Decompression, "{bytes:?}");
    }
    for plain in [&b"\x0a\x7f"[..], b"\xff\xff", b"\x0a\x02\x0a\x7f", b"\x0b\x0b\x0b"] {
        let packed = snap::raw::Encoder::new().compress_vec(plain).unwrap();
        assert_eq!(refused(&metric(&packed)).0, RejectReason::MalformedProtobuf, "{plain:?}");
    }
}
