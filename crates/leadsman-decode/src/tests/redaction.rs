//! Fifty secrets go in, in every field and in documents that cannot be read; none comes out.

use super::*;
use crate::RedactionKey;

/// A text with a secret in it, and the secret. Every secret is made up.
fn secrets() -> Vec<(String, String)> {
    let s = |n: usize| format!("s3cr3tV4lue{n:02}xYzQ");
    let jwt = |n: usize| format!("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ{n:02}4cm9vdCJ9.c2lnbmF0dXJlLW9mLXRoaXM{n:02}");
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |before: &str, secret: String, after: &str| {
        all.push((format!("{before}{secret}{after}"), secret));
    };
    // By the name beside them.
    for (n, (before, after)) in [
        ("Authorization: Bearer ", ""),
        ("authorization=Basic ", "&x=1"),
        ("Bearer ", " x"),
        ("bearer%20", "&y"),
        ("/api?token=", "&limit=1"),
        ("/login?access_token=", ""),
        ("/x?password%3D", "&z=1"),
        ("passwd: ", ""),
        ("/exec?command=sh&command=--password=", "&stdin=true"),
        ("/exec?command=--token&command=", "&tty=false"),
        ("/exec?command=mysql&command=-p", ""),
        ("mysql -u root -p", " shop"),
        ("tool --api-key ", " run"),
        ("curl -u admin:", " https"),
        ("export DB_PASSWORD=", ";x"),
        ("AWS_SECRET_ACCESS_KEY=", ""),
        ("aws_session_token = ", ""),
        ("client_secret=", "&a"),
        ("https://bob:", "@host/path"),
        ("postgres%3A%2F%2Fbob%3A", "%40db"),
        ("/blob?sv=1&sig=", "&se=2"),
        ("AccountName=x;AccountKey=", ";End"),
        ("SharedAccessKey=", ";x"),
        ("X-Amz-Signature=", "&x"),
        ("https://hooks.slack.com/services/T0/B0/", ""),
        ("client-key-data: ", ""),
        ("private_key=", ""),
        ("redis-cli -a ", " get x"),
        ("sshpass -p ", " ssh h"),
        ("base64url.bearer.authorization.k8s.io.", ""),
        ("--set auth.password=", ",b=2"),
        ("x-api-key: ", ""),
    ]
    .into_iter()
    .enumerate()
    {
        add(before, s(n), after);
    }
    // By their shape.
    for (n, prefix) in [
        "AKIA",
        "ASIA",
        "AIzaSyA-",
        "ya29.a0Af",
        "ghp_",
        "gho_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "xapp-1-",
        "sk_live_",
        "hvs.CAES",
        "npm_",
        "dckr_pat_",
        "GOCSPX-",
    ]
    .into_iter()
    .enumerate()
    {
        add("see ", format!("{prefix}{:0>32}", format!("ABCDEFGHIJ{n:02}")), " there");
    }
    add("x ", jwt(1), " y");
    add("/watch?t=", jwt(2), "&x");
    add("", "-----BEGIN RSA PRIVATE KEY----- MIIEpAIBAAKCAQEA77 -----END RSA PRIVATE KEY-----".to_owned(), "");
    add("cert ", "LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFcEFJQkFBS0NBUUVB".to_owned(), "");
    all
}

fn keyed() -> DecodeContext {
    DecodeContext { redaction_key: Some(RedactionKey::new("a test's key")), ..context() }
}

fn decode(text: &str) -> Decoded {
    record(&keyed(), &Limits::default(), &raw(PayloadKind::K8sAudit, text))
}

/// Each secret alone in the fields of an event, of an alert, of a flow and of a sample, and in what is refused.
#[test]
fn no_planted_secret_is_found_in_anything_decoded() {
    let all = secrets();
    assert!(all.len() >= 50, "{}", all.len());
    for (text, secret) in &all {
        let audit = format!(
            r#"{{"auditID":"{text}","stage":"ResponseComplete","verb":"get","user":{{"username":"jane"}},"impersonatedUser":{{"username":"{text}"}},"sourceIPs":["{text}"],"userAgent":"{text}","requestURI":"{text}","objectRef":{{"resource":"{text}","subresource":"{text}","namespace":"{text}","name":"{text}","apiGroup":"{text}"}},"requestReceivedTimestamp":"2026-03-02T10:00:00Z"}}"#
        );
        let falco = format!(
            r#"{{"time":"2026-03-02T10:00:00Z","rule":"{text}","priority":"Warning","source":"syscall","output":"{text}","tags":["{text}"],"output_fields":{{"proc.cmdline":"{text}","proc.exepath":"{text}","k8s.pod.name":"{text}","container.image.repository":"{text}","user.name":"{text}"}}}}"#
        );
        let flow = format!(
            r#"{{"flow":{{"time":"2026-03-02T10:00:00Z","verdict":"DROPPED","node_name":"{text}","source":{{"pod_name":"{text}","labels":["k8s:app={text}"]}},"destination":{{"namespace":"{text}"}},"destination_names":["{text}"],"l7":{{"dns":{{"query":"{text}"}}}}}}}}"#
        );
        let sample = format!(
            r#"{{"timestamp":"2026-03-02T10:00:00Z","value":"1","name":"{text}","labels":{{"namespace":"{text}","pod":"{text}"}}}}"#
        );
        let refused = format!(r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v9","auditID":"{text}"}}"#);
        let bound = format!(
            r#"{{"auditID":"a","stage":"ResponseComplete","verb":"create","user":{{"username":"jane"}},"objectRef":{{"resource":"rolebindings","apiGroup":"rbac.authorization.k8s.io"}},"requestObject":{{"subjects":[{{"kind":"User","name":"{text}"}}]}},"requestReceivedTimestamp":"2026-03-02T10:00:00Z"}}"#
        );
        let cut = &audit[..audit.len() - 3];
        for document in [&audit, &bound, &falco, &flow, &sample, &refused, cut, text.as_str()] {
            let decoded = decode(document);
            let mut shown = format!("{decoded:?}");
            for reject in &decoded.rejects {
                shown.push_str(&String::from_utf8_lossy(&reject.payload));
            }
            assert!(!shown.contains(secret.as_str()), "{secret}\nin {document}\nas {shown}");
        }
        assert_eq!(decode(&audit).events.len(), 1);
        assert_eq!(decode(&bound).events[0].accounts.len(), 1);
        assert_eq!(decode(&flow).flows.len(), 1);
        assert_eq!(decode(&falco).runtime.len(), 1);
    }
}

/// Each secret in one field, and the others without: the beginning and the end of a text are those of what is searched.
#[test]
fn a_secret_is_found_in_any_field_alone() {
    let fields = ["U", "I", "S", "A", "Q", "R", "B", "N", "M", "G", "D"];
    let audit = r#"{"auditID":"D","stage":"ResponseComplete","verb":"get","user":{"username":"U"},"impersonatedUser":{"username":"I"},"sourceIPs":["S"],"userAgent":"A","requestURI":"Q","objectRef":{"resource":"R","subresource":"B","namespace":"N","name":"M","apiGroup":"G"},"requestReceivedTimestamp":"2026-03-02T10:00:00Z"}"#;
    for (text, secret) in &secrets() {
        for field in fields {
            let shown = format!("{:?}", decode(&audit.replace(&format!("\"{field}\""), &format!("\"{text}\""))).events);
            assert!(shown.contains("[redacted:") && !shown.contains(secret.as_str()), "{secret} in {field}: {shown}");
        }
    }
    assert!(!format!("{:?}", decode(audit).events).contains("[redacted:"));
}

/// Bodies in documents that cannot be read, plain and wrapped once more.
#[test]
fn bodies_of_what_is_refused_are_not_kept() {
    let value = "cGxhaW4gYnV0IHNlY3JldA";
    for body in [
        format!(r#"{{"kind":"Secret","data":{{"user":"{value}","b":"x{value}"}},"broken"#),
        format!(r#"{{"kind":"Secret","stringData":{{"cfg":"{{a: {value}}}","b":"{value}"}},"broken"#),
        format!(r#"{{"env":[{{"name":"MODE","value":"{value}"}}],"broken"#),
        format!(r#"{{"args":["run","--token","{value}"],"password":"a \" b{value}","broken"#),
    ] {
        let wrapped = format!(r#"{{"log":"{}"#, body.replace('\\', r"\\").replace('"', "\\\""));
        for document in [body, wrapped] {
            let decoded = decode(&document);
            assert_eq!(decoded.rejects.len(), 1);
            let payload = String::from_utf8_lossy(&decoded.rejects[0].payload).into_owned();
            assert!(!payload.contains(value), "{payload}");
            assert!(payload.contains("[redacted:"), "{payload}");
        }
    }
    // A secret that the cap goes through.
    for at in 4_040..4_100 {
        let document = format!("{{\"x\":\"{}\",\"password\":\"{value}", "y".repeat(at)) + &"z".repeat(9_000);
        let payload = String::from_utf8_lossy(&decode(&document).rejects[0].payload).into_owned();
        assert!(!payload.contains(&value[..6]), "{at}: {}", &payload[payload.len() - 40..]);
    }
}

#[test]
fn equal_secrets_stay_equal_and_only_under_one_key() {
    let shown = |ctx: &DecodeContext, secret: &str| {
        let text = with("/api/v1/namespaces/shop/secrets/db", &format!("/x?token={secret}&limit=5"));
        let decoded = record(ctx, &Limits::default(), &raw(PayloadKind::K8sAudit, text));
        decoded.events[0].request_uri.raw().to_owned()
    };
    let other = DecodeContext { redaction_key: Some(RedactionKey::new("another")), ..context() };
    assert_eq!(shown(&keyed(), "abc"), shown(&keyed(), "abc"));
    assert_ne!(shown(&keyed(), "abc"), shown(&keyed(), "abd"));
    assert_ne!(shown(&keyed(), "abc"), shown(&other, "abc"));
    assert_eq!(shown(&context(), "abc"), "/x?token=[redacted:value]&limit=5");
    assert!(!format!("{:?}", keyed()).contains("test"));
}

#[test]
fn ordinary_text_is_not_touched() {
    for text in [
        "/api/v1/namespaces/shop/secrets/db-password?fieldManager=kubectl",
        "/api/v1/pods?limit=500&continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTIzLCJzdGFydCI6ImEifQ",
        "/apis/authentication.k8s.io/v1/tokenreviews?timeout=10s",
        "/api/v1/namespaces/kube-system/serviceaccounts/token-cleaner/token",
        "/api/v1/namespaces/x/pods/y/exec?command=ls&command=-p&command=%2Ftmp&container=c&stdout=true",
        "/api/v1/secrets?allowWatchBookmarks=true&resourceVersion=12&labelSelector=owner%3Dhelm%2Cstatus%3Ddeployed",
        "kubectl/v1.33.0 (linux/amd64) kubernetes/8adc0f0",
        "kube-controller-manager/v1.27.1 (linux/amd64) kubernetes/4c94112/tokens-controller",
        "system:serviceaccount:kube-system:bootstrap-signer",
        "3f2b8c1e-7d11-4c63-9c51-0f6e1c2a9b77",
        "registry.example/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "mkdir -p /var/lib/data/a-very-long-name-that-is-nothing-but-a-name-of-a-directory",
        "AKIAinlowercaseisnone",
    ] {
        let event = one(with("/api/v1/namespaces/shop/secrets/db\"", &format!("{text}\"")));
        assert_eq!(event.request_uri.raw(), text);
    }
}
