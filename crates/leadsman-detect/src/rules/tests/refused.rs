//! What cannot be used is refused with the place and with what is known.

use super::{compile, one_rule};

#[track_caller]
fn refused(text: &str, want: &str) {
    let message = compile(text).unwrap_err().to_string();
    assert!(message.contains(want), "{message}\n  has not\n{want}");
}

#[test]
fn messages_name_file_line_rule_and_what_is_known() {
    refused(
        &one_rule("s:\n  verb: get\n  objectRef.kind: Pod\ncondition: s"),
        "mine.yml:7: rule `T`: unknown field `objectRef.kind`; known fields: verb, objectRef.resource,",
    );
    for (detection, want) in [
        (
            "s: {verb|base64: get}\ncondition: s",
            "mine.yml:5: rule `T`: unknown modifier `base64`; known modifiers: contains,",
        ),
        ("s: {verb|re|contains: get}\ncondition: s", "the modifiers of `verb|re|contains` cannot be combined"),
        ("s: {verb|contains: null}\ncondition: s", "the modifiers of `verb|contains` cannot be combined"),
        ("s: [curl, wget]\ncondition: s", "`s` is a list of keywords"),
        ("s: curl\ncondition: s", "`s` is a list of keywords"),
        ("s: {'|all': [a, b]}\ncondition: s", "is a list of keywords"),
        ("s: {}\ncondition: s", "`s` must be a map, or a list of maps"),
        ("s: {verb: []}\ncondition: s", "`verb` must be at least one value"),
        ("s: {verb: {a: b}}\ncondition: s", "`verb` must be a value or a list of values"),
        ("s: {verb|exists: maybe}\ncondition: s", "`verb|exists` must be true or false"),
        ("s: {requestURI|re: '('}\ncondition: s", "`(` is no usable regular expression"),
        ("s: {requestURI|re: '(a{1000}){1000}'}\ncondition: s", "no usable regular expression"),
        ("s: {sourceIPs|cidr: 10.0.0.0/33}\ncondition: s", "`10.0.0.0/33` is no network"),
        ("s: {verb: get}\ncondition: s | count() > 5", "aggregates events"),
        ("s: {verb: get}\ntimeframe: 5m\ncondition: s", "`timeframe` aggregates events"),
        ("s: {verb: get}\ncondition: s and t", "the condition names `t`, but detection has only s"),
        ("s: {verb: get}\ncondition: 1 of t*", "the condition names `t*`"),
        ("s: {verb: get}\ncondition: 2 of s*", "`1 of` or `all of`"),
        ("s: {verb: get}\ncondition: (s", "the condition cannot be read at `the end`: `)`"),
        ("s: {verb: get}\ncondition: s s", "`and`, `or` or the end"),
        ("s: {verb: get}\ncondition: [s, s]", "`condition` must be one text"),
        ("s: {verb: get}", "`condition` is missing"),
        ("s: {verb: &a get}\ncondition: s", "anchors, aliases and tags are refused"),
        ("s: {verb: !x get}\ncondition: s", "anchors, aliases and tags are refused"),
        ("s: {verb: get, verb: list}\ncondition: s", "the key `verb` occurs twice"),
    ] {
        refused(&one_rule(detection), want);
    }
}

#[test]
fn documents_must_be_rules_for_this_log() {
    let good = one_rule("s: {verb: get}\ncondition: s");
    for (from, to, want) in [
        ("title: T\n", "", "`title` is missing"),
        ("level: medium", "level: grave", "`level` must be one of informational,"),
        ("level: medium", "", "`level` is missing"),
        ("5a4a5c8e", "xxxxxxxx", "`id` must be a UUID"),
        ("product: kubernetes", "product: windows", "the log source must be `product: kubernetes`"),
        ("title: T\n", "title: T\ncorrelation: {type: event_count}\n", "`correlation` documents are not supported"),
        ("title: T\n", "title: T\ntags: attack.t1609\n", "`tags` must be a list of texts"),
    ] {
        refused(&good.replace(from, to), want);
    }
    refused(&format!("{good}---\n{good}"), "mine.yml:9: rule `T`: the id 5a4a5c8e-35a7-4fd8-9d8f-0c6a3d2c3b11 belongs");
    refused("a: [", "this is not YAML");
}

#[test]
fn hostile_files_are_refused_early() {
    refused(&"#".repeat(super::super::MAX_BYTES + 1), "more than 1048576 bytes");
    for open in ["[", "{a: ", "- "] {
        refused(&open.repeat(100), "nested deeper than 16 levels");
        assert!(compile(&open.repeat(100_000)).is_err(), "{open}");
    }
    refused(&format!("a: [{}]", "1,".repeat(300_000)), "more than 200000 values");
    let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
    refused(bomb, "anchors, aliases and tags are refused");
    let nested = format!("s: {{verb: get}}\ncondition: {}s", "not ".repeat(60));
    refused(&one_rule(&nested), "at most 32 parentheses");
    let long = format!("s: {{verb: get}}\ncondition: {}s", "s or ".repeat(300));
    refused(&one_rule(&long), "at most 1024 bytes");
}

proptest::proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,200}") {
        compile(&text).ok();
    }

    #[test]
    fn changed_rules_never_panic(at in 0usize..400, with in "[\\[\\]{}:'\"|*&!\n -]{1,3}") {
        let mut text = one_rule("s:\n  - {verb|contains: [get, 'l*t']}\n  - requestURI|re: '(a|b)'\ncondition: 1 of s* and not (s)");
        let at = (0..=at.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.insert_str(at, &with);
        compile(&text).ok();
    }
}
