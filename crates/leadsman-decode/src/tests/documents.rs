//! Every shape in which events arrive gives the same events.

use leadsman_domain::{Decoded, PayloadKind, RejectReason, SkipReason, Tally};

use super::{EVENT, audit, content, context, gzip, ids, numbered, raw, read_all, refused, zstd};
use crate::{Limits, record};

fn list(items: &[String]) -> String {
    format!(r#"{{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{{}},"items":[{}]}}"#, items.join(","))
}

/// `json` over many lines, as `jq .` prints it: a line break and blanks after every comma and bracket
/// outside strings.
fn pretty(json: &str) -> String {
    let (mut out, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' | ',' => out.extend([c, '\n', ' ', ' ']),
            '}' | ']' => out.extend(['\n', c]),
            '"' => {
                in_string = true;
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn shapes(items: &[String]) -> Vec<(&'static str, String)> {
    let stripped: Vec<String> =
        items.iter().map(|i| i.replacen(r#""kind":"Event","apiVersion":"audit.k8s.io/v1","#, "", 1)).collect();
    let array = format!("[{}]", items.join(","));
    vec![
        ("JSON lines", items.join("\n")),
        ("JSON lines with blanks, \\r\\n and an end", format!("\r\n\r\n{}\r\n  \r\n", items.join("\r\n\r\n"))),
        ("byte order mark", format!("\u{feff}{}", items.join("\n"))),
        ("EventList", list(items)),
        ("EventList of stripped items", list(&stripped)),
        (
            "EventList, keys sorted",
            format!(r#"{{"apiVersion":"audit.k8s.io/v1","items":[{}],"kind":"EventList"}}"#, items.join(",")),
        ),
        ("EventLists as lines", format!("{}\n{}", list(&items[..1]), list(&items[1..]))),
        ("array", array.clone()),
        ("array, one item per line", format!("[\n{}\n]\n", items.join(",\n"))),
        ("pretty array", pretty(&array)),
        ("pretty EventList", pretty(&list(items))),
        ("EventList, one item per line", format!("{{\"kind\":\"EventList\",\"items\":[\n{}\n]}}", items.join(",\n"))),
        ("pretty events behind each other", items.iter().map(|i| pretty(i) + "\n").collect()),
        ("stripped lines", stripped.join("\n")),
    ]
}

#[test]
fn every_shape_and_compression_gives_the_same_events() {
    let items: Vec<String> = (1..=5).map(numbered).collect();
    let expected = audit(items.join("\n"));
    assert_eq!(ids(&expected), ["0001", "0002", "0003", "0004", "0005"]);
    for (name, text) in shapes(&items) {
        for bytes in [text.clone().into_bytes(), gzip(text.as_bytes()), zstd(text.as_bytes())] {
            assert_eq!(content(audit(bytes.clone())), content(expected.clone()), "{name}");
            assert_eq!(read_all(&bytes, Limits::default(), 2), audit(bytes), "{name}, as a file");
        }
    }
}

#[test]
fn a_single_pretty_event_is_one_document() {
    assert_eq!(audit(pretty(EVENT)), audit(EVENT));
    assert_eq!(read_all(pretty(EVENT).as_bytes(), Limits::default(), 1), audit(EVENT));
}

#[test]
fn concatenated_compressed_members_are_one_stream() {
    let (a, b) = (numbered(1) + "\n", numbered(2) + "\n");
    assert_eq!(ids(&audit([gzip(a.as_bytes()), gzip(b.as_bytes())].concat())), ["0001", "0002"]);
    assert_eq!(ids(&audit([zstd(a.as_bytes()), zstd(b.as_bytes())].concat())), ["0001", "0002"]);
}

#[test]
fn nothing_holds_nothing() {
    for bytes in ["", "\n", " \r\n\t"] {
        assert_eq!(audit(bytes), Decoded::default(), "{bytes:?}");
    }
    for bytes in ["[]", "\u{feff}", r#"{"kind":"EventList","items":[]}"#] {
        let decoded = audit(bytes);
        assert_eq!((decoded.skipped.get(SkipReason::Empty), decoded.skipped.total()), (1, 1), "{bytes:?}");
        assert_eq!(Decoded { skipped: Tally::default(), ..content(decoded) }, Decoded::default(), "{bytes:?}");
    }
}

#[test]
fn a_list_loses_only_its_bad_items_and_says_where_they_stand() {
    let text = format!("[\n{},\n{{\"auditID\":}},\n17,\n{}\n]", numbered(1), numbered(2));
    let decoded = audit(text);
    assert_eq!(ids(&decoded), ["0001", "0002"]);
    let rejects: Vec<_> = decoded.rejects.iter().map(|r| (r.reason, r.line, r.item, r.payload.as_slice())).collect();
    assert_eq!(
        rejects,
        [
            (RejectReason::MalformedJson, 3, 1, b"{\"auditID\":}".as_slice()),
            (RejectReason::UnknownShape, 4, 2, b"17".as_slice()),
        ]
    );
}

#[test]
fn a_list_of_another_kind_or_version_is_refused_once() {
    let items = (1..=3).map(numbered).collect::<Vec<_>>();
    let v9 = list(&items).replacen("audit.k8s.io/v1", "audit.k8s.io/v9", 1);
    let sorted = format!(r#"{{"items":[{}],"apiVersion":"audit.k8s.io/v9"}}"#, items.join(","));
    for text in [v9.clone(), sorted, pretty(&v9)] {
        let decoded = audit(text);
        assert_eq!(decoded.events, []);
        assert_eq!(refused(&decoded).0, RejectReason::UnknownApiVersion);
    }
    let pods = r#"{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{}},{"metadata":{}}]}"#;
    assert_eq!(refused(&audit(pods)).0, RejectReason::UnknownShape);
    // The refusal ends with its list.
    assert_eq!(ids(&audit(format!("{v9}\n[{}]", numbered(4)))), ["0004"]);
}

#[test]
fn a_document_cut_off_keeps_what_came_before() {
    let text = pretty(&list(&[numbered(1), numbered(2), numbered(3)]));
    let cut = &text[..text.rfind("responseStatus").unwrap()];
    let decoded = audit(cut);
    assert_eq!(ids(&decoded), ["0001", "0002"]);
    let third = cut[..cut.find("0003").unwrap()].lines().count() as u64;
    let (reason, line, _) = refused(&decoded);
    assert_eq!(reason, RejectReason::MalformedJson);
    assert!(line < third && line > third - 7, "{line} {third}");
}

#[test]
fn bodies_that_hold_lists_are_no_lists() {
    let body = r#""responseObject":{"kind":"PodList","items":[{"metadata":{"name":"a"}}]},"verb":"list""#;
    assert_eq!(ids(&audit(super::with(r#""verb":"get""#, body))), ["0001"]);
}

#[test]
fn a_list_longer_than_an_item_may_be_streams() {
    let limits = Limits { max_item_bytes: 2_000, ..Limits::default() };
    let items: Vec<String> = (1..=50).map(numbered).collect();
    for text in [list(&items), format!("[{}]", items.join(","))] {
        let decoded = record(&context(), &limits, &raw(PayloadKind::K8sAudit, format!("{text}\n{}\n", numbered(51))));
        assert_eq!(decoded.rejects, []);
        assert_eq!(decoded.events.len(), 51);
    }
}
