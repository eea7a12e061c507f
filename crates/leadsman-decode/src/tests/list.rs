//! Lists that are cut where they stand: the same items as the splitter's, and the same events.

use proptest::prelude::*;

use super::*;
use crate::list::items;
use crate::split::{Piece, Splitter};

const OPENING: &str = r#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;

fn list(items: &[&str]) -> String {
    format!("{OPENING}{}]}}", items.join(","))
}

/// What the splitter makes of the items, when nothing else is in the document.
fn split(bytes: &[u8], max: usize) -> Option<Vec<Vec<u8>>> {
    let (mut splitter, mut pieces) = (Splitter::new(max, 1), Vec::new());
    splitter.feed(bytes, &mut pieces);
    splitter.finish(&mut pieces);
    let mut pieces = pieces.into_iter();
    let opened = (pieces.next(), pieces.next());
    let (Some(Piece::Opened), Some(Piece::ListOpened(_))) = opened else { return None };
    let mut items = Vec::new();
    loop {
        match pieces.next()? {
            Piece::Item(item) => items.push(item.bytes),
            Piece::ListClosed(_) => return pieces.next().is_none().then_some(items),
            _ => return None,
        }
    }
}

fn check(bytes: &[u8], max: usize) -> bool {
    let cut = items(bytes, max);
    if let Some(cut) = &cut {
        let wanted = split(bytes, max).unwrap();
        assert!(cut.iter().eq(&wanted), "{}", String::from_utf8_lossy(bytes));
    }
    cut.is_some()
}

/// Parts of items: brackets, quotes and escapes above all.
const PARTS: [&str; 14] =
    [EVENT, "{}", "{", "}", "[", "]", "\"", "\\\"", "\\\\", r#""a":"}]""#, ",", r#"{"é":[1,{}]}"#, " ", "\n"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn items_are_those_of_the_splitter(
        parts in prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..12),
        max in prop::sample::select(vec![2_usize, 40, 10_000]),
        change in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        let mut bytes = list(&[&parts.concat(), EVENT]).into_bytes();
        check(&bytes, max);
        if let Some((at, byte)) = change {
            *at.get_mut(&mut bytes) = byte;
            check(&bytes, max);
        }
    }

    #[test]
    fn well_formed_lists_are_cut(count in 1..40_usize, deep in 1..70_usize) {
        let nested = format!(r#"{{"a\\\"]":{}{}}}"#, "[".repeat(deep), "]".repeat(deep));
        let all: Vec<String> = (0..count).map(|n| if n % 3 == 2 { nested.clone() } else { numbered(n) }).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let text = list(&all);
        prop_assert!(check(text.as_bytes(), 10_000) && !check(text.as_bytes(), 10));
    }
}

/// A blank behind the opening bracket lets the splitter decide.
#[test]
fn events_are_the_same_either_way() {
    let broken = &EVENT[..EVENT.len() - 1].replace("\"verb\":\"get\",", "");
    let all = [EVENT, &numbered(2), "{}", &format!("{broken}}}"), r#"{"kind":"Lease"}"#, &numbered(3)];
    let text = list(&all);
    assert!(items(text.as_bytes(), 10_000).is_some());
    let slowly = audit(text.replacen("\"items\":[", "\"items\":[ ", 1));
    for text in [text.clone(), format!("{text}\r\n"), format!("{text}\n\n")] {
        let decoded = audit(text);
        assert_eq!((decoded.events.len(), decoded.rejects.len()), (3, 3));
        assert_eq!(decoded, slowly);
    }
    // Empty lists, and what stands behind one, are the splitter's.
    for text in [list(&[]), format!("{text}{text}"), format!("{text},"), text.replace("EventList", "Eventlist")] {
        assert!(items(text.as_bytes(), 10_000).is_none());
    }
}
