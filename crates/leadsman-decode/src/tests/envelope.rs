//! The fast reader against the plain one, and both against `serde_json::Value`.

use leadsman_domain::{RejectReason, RiskFlags};
use proptest::prelude::*;
use serde_json::Value;

use super::{EVENT, audit, ids, one, refused, with};
use crate::envelope::{Envelope, Field, Kernel, Text, readers_agree};

const DEPTH: usize = 128;

/// splitmix64, so that a case is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }

    fn string(&mut self) -> String {
        let pieces = [
            "a",
            "kube-system",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "é",
            "✓",
            "𝄞",
            r#"\""#,
            r"\\",
            r"\/",
            r"\n",
            r"\u0026",
            r"\ud834\udd1e",
            r"\u00e9",
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ];
        let body: String = (0..self.roll(6)).map(|_| self.pick(&pieces)).collect();
        format!("\"{body}\"")
    }

    fn value(&mut self, depth: usize) -> String {
        match self.roll(if depth == 0 { 4 } else { 7 }) {
            0 => {
                self.pick(&["0", "-0", "17", "-1.5e+300", "1E400", "123456789012345678901234567890", "0.1"]).to_owned()
            }
            1 => self.pick(&["true", "false", "null"]).to_owned(),
            2 | 3 => self.string(),
            4 => {
                let values: Vec<_> = (0..self.roll(4)).map(|_| self.value(depth - 1)).collect();
                format!("[{}]", values.join(","))
            }
            _ => {
                let members: Vec<_> =
                    (0..self.roll(4)).map(|_| format!("{}:{}", self.string(), self.value(depth - 1))).collect();
                format!("{{{}}}", members.join(","))
            }
        }
    }

    fn strings(&mut self) -> String {
        let strings: Vec<_> = (0..self.roll(4)).map(|_| self.string()).collect();
        format!("[{}]", strings.join(","))
    }

    fn object(&mut self, members: &[(&str, Option<String>)]) -> String {
        let mut members: Vec<_> = members.iter().collect();
        if self.roll(3) == 0 {
            for n in (1..members.len()).rev() {
                members.swap(n, self.roll(n + 1));
            }
        }
        let mut parts: Vec<_> =
            members.iter().filter_map(|(k, v)| v.as_ref().map(|v| format!("\"{k}\":{v}"))).collect();
        if self.roll(12) == 0 && !parts.is_empty() {
            parts.push(parts[self.roll(parts.len())].clone());
        }
        format!("{{{}}}", parts.join(","))
    }

    fn maybe(&mut self, make: impl FnOnce(&mut Self) -> String) -> Option<String> {
        if self.roll(40) == 0 {
            return Some(self.value(2));
        }
        (self.roll(4) != 0).then(|| make(self))
    }

    fn user(&mut self) -> String {
        let members = [
            ("username", self.maybe(Self::string)),
            ("uid", self.maybe(Self::string)),
            ("groups", self.maybe(Self::strings)),
            ("extra", self.maybe(|d| d.value(3))),
        ];
        self.object(&members)
    }

    fn event(&mut self) -> String {
        let reference = ["resource", "namespace", "name", "uid", "apiGroup", "apiVersion", "subresource"]
            .map(|key| (key, self.maybe(Self::string)));
        let status = [
            ("metadata", Some("{}".to_owned())),
            ("status", self.maybe(Self::string)),
            ("message", self.maybe(Self::string)),
            ("details", self.maybe(|d| d.value(2))),
            ("code", self.maybe(|d| d.pick(&["200", "0", "65535", "65536", "-1", "200.0", "7", "null"]).to_owned())),
        ];
        let annotations = ["authorization.k8s.io/decision", "authorization.k8s.io/reason", "other"]
            .map(|key| (key, self.maybe(Self::string)));
        let members = [
            ("kind", self.maybe(|_| "\"Event\"".to_owned())),
            ("apiVersion", self.maybe(|_| "\"audit.k8s.io/v1\"".to_owned())),
            ("level", Some("\"Request\"".to_owned())),
            ("auditID", self.maybe(Self::string)),
            ("stage", self.maybe(Self::string)),
            ("requestURI", self.maybe(Self::string)),
            ("verb", self.maybe(Self::string)),
            ("user", Some(self.user())),
            ("impersonatedUser", (self.roll(4) == 0).then(|| self.user())),
            ("sourceIPs", self.maybe(Self::strings)),
            ("userAgent", self.maybe(Self::string)),
            ("objectRef", Some(self.object(&reference))),
            ("responseStatus", Some(self.object(&status))),
            ("requestObject", self.maybe(|d| d.value(6))),
            ("responseObject", self.maybe(|d| d.value(6))),
            ("requestReceivedTimestamp", self.maybe(Self::string)),
            ("stageTimestamp", self.maybe(Self::string)),
            ("annotations", Some(self.object(&annotations))),
            ("timestamp", (self.roll(30) == 0).then(|| self.string())),
            ("metadata", (self.roll(30) == 0).then(|| r#"{"creationTimestamp":"x"}"#.to_owned())),
            ("more", (self.roll(8) == 0).then(|| self.value(4))),
        ];
        self.object(&members)
    }
}

/// The envelope by way of a tree: nothing of it is shared with the two readers.
fn equals_tree(e: &Envelope<'_>, tree: &Value) {
    let check = |text: Field<Text<'_>>, value: &Value| match text {
        Field::Absent => assert!(value.is_null(), "{value}"),
        Field::Wrong => assert!(!value.is_null() && !value.is_string(), "{value}"),
        Field::Given(text) => {
            assert_eq!(text.get().as_deref(), value.as_str());
            assert_eq!(text.get_in(&mut vec![b'x'; 3]), value.as_str());
            assert!(text.is_text());
        }
    };
    for (text, key) in [
        (e.kind, "kind"),
        (e.api_version, "apiVersion"),
        (e.level, "level"),
        (e.audit_id, "auditID"),
        (e.stage, "stage"),
        (e.request_uri, "requestURI"),
        (e.verb, "verb"),
        (e.user_agent, "userAgent"),
        (e.request_received, "requestReceivedTimestamp"),
        (e.stage_time, "stageTimestamp"),
        (e.timestamp, "timestamp"),
    ] {
        check(text, &tree[key]);
    }
    check(e.created, &tree["metadata"]["creationTimestamp"]);
    check(e.decision, &tree["annotations"]["authorization.k8s.io/decision"]);
    check(e.reason, &tree["annotations"]["authorization.k8s.io/reason"]);
    for (user, value) in [(e.user, &tree["user"]), (e.impersonated_user, &tree["impersonatedUser"])] {
        assert_eq!(matches!(user, Field::Given(_)), value.is_object());
        if let Field::Given(user) = user {
            check(user.name, &value["username"]);
            check(user.uid, &value["uid"]);
            assert_eq!(user.groups, value["groups"].as_array().map_or(0, Vec::len));
        }
    }
    assert_eq!(matches!(e.object_ref, Field::Given(_)), tree["objectRef"].is_object());
    if let Field::Given(object) = e.object_ref {
        for (text, key) in [
            (object.api_group, "apiGroup"),
            (object.resource, "resource"),
            (object.subresource, "subresource"),
            (object.namespace, "namespace"),
            (object.name, "name"),
        ] {
            check(text, &tree["objectRef"][key]);
        }
    }
    if let Field::Given(Field::Given(code)) = e.response_status {
        assert_eq!(tree["responseStatus"]["code"].as_u64(), Some(u64::from(code)));
    } else {
        assert!(tree["responseStatus"]["code"].as_u64().is_none_or(|code| code > 65_535));
    }
    if let Field::Given(addresses) = e.source_ips {
        let all = tree["sourceIPs"].as_array().unwrap();
        assert_eq!(addresses.count, all.len());
        assert_eq!(addresses.last.and_then(|l| l.get()).as_deref(), all.last().and_then(Value::as_str));
    }
    for (body, key) in [(e.request_object, "requestObject"), (e.response_object, "responseObject")] {
        assert_eq!(body.map_or(Value::Null, |b| serde_json::from_str(b).unwrap()), tree[key]);
    }
}

/// `doc` with what stands in its bodies taken out.
fn hollow(doc: &str, e: &Envelope<'_>) -> String {
    let mut doc = doc.to_owned();
    let mut spans: Vec<_> = [e.request_object, e.response_object].into_iter().flatten().collect();
    spans.sort_by_key(|body| std::cmp::Reverse(body.as_ptr() as usize));
    for body in spans {
        let at = doc.find(body).unwrap();
        doc.replace_range(at..at + body.len(), "{}");
    }
    doc
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 3_000 } else { 50_000 }))]

    #[test]
    fn generated_events_are_read_alike_by_all(seed in any::<u64>()) {
        let doc = Dice(seed).event();
        prop_assert!(readers_agree(doc.as_bytes(), DEPTH), "{doc}");
        let plain = Envelope::plain(&doc).unwrap();
        // A number beyond all bounds is JSON, but no value of a tree.
        if let Ok(tree) = serde_json::from_str(&doc) {
            equals_tree(&plain, &tree);
        }
    }

    #[test]
    fn many_changes_never_make_readers_differ(
        seed in any::<u64>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4u8), 1..6),
    ) {
        let mut bytes = Dice(seed).event().into_bytes();
        for (at, byte, edit) in edits {
            let at = at.index(bytes.len() + 1);
            match edit {
                0 if at < bytes.len() => bytes[at] = byte,
                1 if at < bytes.len() => drop(bytes.remove(at)),
                2 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        prop_assert!(readers_agree(&bytes, DEPTH), "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_fast_reader_takes_what_the_api_server_writes() {
    let taken = (0..10_000).filter(|seed| Envelope::fast(Dice(*seed).event().as_bytes(), DEPTH).is_some()).count();
    assert!(taken > 2_500, "only {taken} of 10000: the comparisons above compare little");
    let unnamed = EVENT.replacen(r#""kind":"Event","apiVersion":"audit.k8s.io/v1","#, "", 1);
    let watch = EVENT.replacen("/db\"", r#"?limit=5\u0026watch=true""#, 1);
    let unknown = with(r#","stage""#, r#","more":[{"a":[true,-1.5e3]},"x"],"stage""#);
    for event in [EVENT, &unnamed, &watch, &unknown] {
        for kernel in Kernel::all() {
            assert_eq!(kernel.read(event.as_bytes(), DEPTH), Envelope::plain(event).ok(), "{}", kernel.name());
            assert!(kernel.read(event.as_bytes(), DEPTH).is_some(), "{} {event}", kernel.name());
        }
    }
}

/// One byte changed anywhere: where only the fast reader accepts, the fault is in a body, which nobody has read yet.
#[test]
fn one_changed_byte_is_seen_everywhere_but_in_bodies() {
    let changes = if cfg!(debug_assertions) { 30_000 } else { 300_000 };
    let body = r#","requestObject":{"kind":"Pod","spec":{"a":["x\n",{"b":-1.5}],"c":null}},"stage""#;
    let reason = r#""authorization.k8s.io/reason":"RBAC: \"x\" \u0026 y""#;
    // Without the `metadata` of the status, the bodies are all that is skipped.
    let seed = with(r#","stage""#, body).replacen(r#""authorization.k8s.io/reason":"""#, reason, 1).replacen(
        r#""metadata":{},"code""#,
        r#""code""#,
        1,
    );
    assert!(Envelope::fast(seed.as_bytes(), DEPTH).is_some());
    let (mut dice, mut both, mut only_fast) = (Dice(7), 0, 0);
    for _ in 0..changes {
        let mut bytes = seed.clone().into_bytes();
        let at = dice.roll(bytes.len());
        bytes[at] = match dice.roll(2) {
            0 => b"\"\\{}[]:,0 \n\x01\x7f\xff\xc3"[dice.roll(15)],
            _ => dice.roll(256) as u8,
        };
        let Some(fast) = Envelope::fast(&bytes, DEPTH) else { continue };
        let doc = std::str::from_utf8(&bytes).expect("the fast reader takes text only");
        assert!(readers_agree(&bytes, DEPTH), "{doc}");
        if Envelope::plain(doc).is_ok() {
            both += 1;
            continue;
        }
        only_fast += 1;
        let hollow = hollow(doc, &fast);
        let (mut rest, mut fast) = (Envelope::plain(&hollow).expect(doc), fast);
        (rest.request_object, fast.request_object) = (None, None);
        assert_eq!(rest, fast, "{doc}");
    }
    assert!(both > changes / 10 && only_fast > 0, "{both} {only_fast}");
}

#[test]
fn whether_a_text_is_one_is_known_before_it_is_read() {
    let texts =
        [r"", r"a\u0026\n", r"\ud834\udd1e", r"\\ud800", r"\ud800", r"a\udc00", r"\ud800\u0041", r"\ud800\\udc00"];
    for (raw, is_text) in texts.into_iter().zip([true, true, true, true, false, false, false, false]) {
        let event = EVENT.replacen("jane", raw, 1);
        let Field::Given(user) = Envelope::fast(event.as_bytes(), DEPTH).unwrap().user else { panic!("{event}") };
        let Field::Given(name) = user.name else { panic!("{event}") };
        assert_eq!((name.is_text(), name.get().is_some()), (is_text, is_text), "{raw}");
    }
}

/// A URI that is most of an event is unescaped, searched for an object and kept: three copies.
#[test]
fn there_is_room_for_a_long_uri() {
    let uri = format!(r"/api/v1/namespaces/shop/secrets/%64b{}\u0026", "x".repeat(100_000));
    let object = r#""objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"},"#;
    let event = one(EVENT.replacen(object, "", 1).replacen("/api/v1/namespaces/shop/secrets/db", &uri, 1));
    assert_eq!(event.request_uri.raw().len(), uri.len() - r"u0026".len());
    assert_eq!(event.object.resource.raw(), "secrets");
}

#[test]
fn an_event_cut_anywhere_is_refused() {
    for seed in 0..30 {
        let doc = Dice(seed).event();
        for end in 0..doc.len() {
            for kernel in Kernel::all() {
                assert_eq!(kernel.read(&doc.as_bytes()[..end], DEPTH), None, "{} {end} {doc}", kernel.name());
            }
        }
    }
}

/// The last bytes of an event are the last bytes of its memory: a load beyond them is a fault that sanitizers see.
#[test]
fn every_length_is_read_to_its_last_byte() {
    for length in 0..200 {
        let doc = format!(r#"{{"level":"{}"}}"#, "é{".repeat(length / 3) + &"x".repeat(length % 3));
        let exact: Box<[u8]> = doc.as_bytes().into();
        let plain = Envelope::plain(&doc).unwrap();
        for kernel in Kernel::all() {
            assert_eq!(kernel.read(&exact, DEPTH), Some(plain), "{} {length}", kernel.name());
        }
    }
}

#[test]
fn what_the_fast_reader_leaves_to_the_plain_one() {
    for (event, accepted) in [
        (with(r#","stage""#, r#", "stage""#), true),
        (with(r#","stage""#, ",\n\"stage\""), true),
        (with(r#","verb":"get""#, r#","verb":"get","verb":"get""#), true),
        (with(r#""verb":"get""#, r#""v\u0065rb":"get""#), true),
        (with(r#""userAgent":"kubectl/v1.33.0""#, r#""userAgent":null"#), true),
        (with(r#","stage""#, r#","metadata":{"creationTimestamp":null},"stage""#), true),
        (with("kubectl", "kube\u{1}ctl"), false),
        (with("kubectl", r"kube\xctl"), false),
        (with("kubectl", r"kube\u12g4ctl"), false),
        (with(r#","stage""#, r#","x":tru,"stage""#), false),
        (with(r#","stage""#, r#","x":01,"stage""#), false),
        (with(r#","stage""#, r#","x":1.,"stage""#), false),
        (with(r#","stage""#, r#",,"stage""#), false),
        (with(r#","stage""#, r#","requestObject":{"a":"\x"},"stage""#), false),
        (with(r#","stage""#, ",") + "x", false),
        (EVENT.to_owned() + "}", false),
    ] {
        assert_eq!(Envelope::fast(event.as_bytes(), DEPTH), None, "{event}");
        assert_eq!(audit(event.clone()).events.len(), usize::from(accepted), "{event}");
    }
}

#[test]
fn depth_is_bounded_in_both() {
    let nested = |depth: usize| {
        with(r#","stage""#, &format!(r#","requestObject":{}{},"stage""#, "[".repeat(depth), "]".repeat(depth)))
    };
    assert!(Envelope::fast(nested(127).as_bytes(), DEPTH).is_some());
    assert_eq!(Envelope::fast(nested(128).as_bytes(), DEPTH), None);
    assert_eq!(Envelope::fast(EVENT.as_bytes(), 2), None);
}

#[test]
fn a_malformed_body_is_never_harmless() {
    let object = r#""objectRef":{"resource":"secrets","namespace":"shop","name":"db","apiVersion":"v1"}"#;
    for body in [r#"{"spec":{"hostPID":true]}"#, r#"{"spec":}"#, r#"{"spec":{} "x"}"#, r#"[{"op":tru}]"#] {
        let event = |resource: &str| {
            let pods = format!(r#""objectRef":{{"resource":"{resource}","name":"x"}},"requestObject":{body}"#);
            with(object, &pods).replacen(r#""verb":"get""#, r#""verb":"update""#, 1)
        };
        assert!(Envelope::fast(event("pods").as_bytes(), DEPTH).is_some(), "{body}");
        assert_eq!(refused(&audit(event("pods"))).0, RejectReason::MalformedJson, "{body}");
        // Nobody looks into the body of a secret: its risk is unknown, not none.
        assert_eq!(one(event("secrets")).risk, RiskFlags::UNKNOWN);
        let created = event("configmaps").replacen("update", "create", 1).replacen(r#","name":"x""#, "", 1);
        assert_eq!(refused(&audit(created)).0, RejectReason::MalformedJson, "{body}");
    }
    assert_eq!(ids(&audit(EVENT)), ["0001"]);
}
