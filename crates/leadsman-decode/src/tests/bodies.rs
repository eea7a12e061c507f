//! What is found in a body without parsing it again is what a parser finds.

use proptest::prelude::*;
use serde_json::{Value as Parsed, json};

use crate::body::Value;
use crate::envelope::Kernel;

fn value() -> impl Strategy<Value = Parsed> {
    let text = prop_oneof!["[a-c]{0,3}", r#"[\["\\/{}\[\],:\n\u{e9}\u{1f600} ]{0,70}"#];
    let leaf = prop_oneof![
        Just(Parsed::Null),
        any::<bool>().prop_map(Parsed::from),
        any::<i64>().prop_map(Parsed::from),
        any::<f64>().prop_map(Parsed::from),
        text.clone().prop_map(Parsed::from),
    ];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Parsed::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|members| Parsed::Object(members.into_iter().collect())),
        ]
    })
}

fn check(found: Value<'_>, parsed: &Parsed) {
    assert_eq!((found.is_object(), found.is_array()), (parsed.is_object(), parsed.is_array()));
    assert_eq!(found.is("true"), *parsed == json!(true));
    assert_eq!(found.text().as_deref(), parsed.as_str());
    let elements: Vec<_> = found.elements().collect();
    assert_eq!(elements.len(), parsed.as_array().map_or(0, Vec::len));
    for (element, parsed) in elements.into_iter().zip(parsed.as_array().into_iter().flatten()) {
        check(element, parsed);
    }
    for (key, inner) in parsed.as_object().into_iter().flatten() {
        let [field, absent] = found.fields(&[key, "absent"]);
        assert_eq!(field.is_none(), inner.is_null(), "null is absent");
        assert!(absent.is_none());
        if let Some(field) = field {
            check(field, inner);
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_in_a_body_is_found(parsed in value()) {
        for text in [serde_json::to_string(&parsed).unwrap(), serde_json::to_string_pretty(&parsed).unwrap()] {
            check(Value::parse(&text).unwrap(), &parsed);
        }
    }

    #[test]
    fn a_changed_body_is_taken_by_no_reader_that_the_parser_is_not(
        parsed in value(),
        at in any::<prop::sample::Index>(),
        byte in prop::sample::select(b"{}[],:\"\\ -+.eE019ntfu\x01\x7f".to_vec()),
        insert in any::<bool>(),
    ) {
        let mut bytes = serde_json::to_vec(&parsed).unwrap();
        let at = at.index(bytes.len());
        if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        if let Ok(text) = std::str::from_utf8(&bytes) {
            let parsed = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
            for kernel in Kernel::all() {
                prop_assert!(parsed || !kernel.is_whole(text), "{} takes {text}", kernel.name());
            }
        }
    }
}

#[test]
fn every_kernel_takes_what_the_api_server_writes() {
    let body = r#"{"kind":"Pod","a":[],"b":{},"c":[1,-2.5e+3,true,false,null,"\u0026\\\""],"d":{"e":{"f":[{"g":0}]}}}"#;
    let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
    for kernel in Kernel::all() {
        assert!(kernel.is_whole(body) && kernel.is_whole(&deep(127)), "{}", kernel.name());
        for text in
            ["", "{", "[1,]", "{,}", "{\"a\"}", "{\"a\":1,}", "[1}", "{\"a\":1]", "1 ", "01", "[1][2]", &deep(128)]
        {
            assert!(!kernel.is_whole(text), "{} takes {text}", kernel.name());
        }
        for from in body.match_indices(['{', '[']).map(|(at, _)| at) {
            let end = kernel.container_end(body, from).unwrap();
            assert!(Value::parse(&body[from..end]).is_ok(), "{} from {from} to {end}", kernel.name());
        }
    }
}

#[test]
fn the_last_of_equal_keys_counts_however_it_is_written() {
    let [found] = Value::parse(r#"{"a":1,"\u0061":"two","\ud800":3}"#).unwrap().fields(&["a"]);
    assert_eq!(found.and_then(Value::text).as_deref(), Some("two"));
    assert!(Value::parse(r#"[1] "#).is_ok() && Value::parse(r#"[1] 2"#).is_err());
}
