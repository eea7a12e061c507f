//! Secrets are taken out before anything is stored, logged or shown.
//!
//! A secret is told by its shape (JWT, PEM, cloud and forge tokens) or by the name beside it (`password=`, `--token`,
//! `Authorization:`, the `data` of a `Secret`). It becomes `[redacted:KIND:HASH]`, where the hash is keyed: the same
//! secret is still the same, and nobody can guess it from the hash. Without a key there is no hash.
//!
//! Every search is linear in the text (finite automata, no backtracking).

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use leadsman_domain::{
    AuditEvent, ContentHash, FlowEndpoint, FlowEvent, MetricSample, ObjectRef, RuntimeEvent, Untrusted,
};
use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

/// Key of the hashes that stand for secrets. It never prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RedactionKey(u128);

impl RedactionKey {
    /// The key that belongs to `secret`, which must be hard to guess.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(ContentHash::new("leadsman redaction key v1").field(secret).finish())
    }
}

impl fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedactionKey(..)")
    }
}

/// A value behind a name: in quotes, in escaped quotes (once, or more often), or up to the next delimiter.
macro_rules! value {
    () => {
        r#"(?:\\"(?P<e>(?:[^"\\]|\\\\(?:\\"|[^"]))+)|\\+"(?P<a>[^"\\]+)|"(?P<b>(?:[^"\\]|\\.)+)|'(?P<c>[^']+)|(?P<d>[^\s"'&;,\\}\])]+))"#
    };
}

/// Names of secrets, in any case.
macro_rules! names {
    () => {
        r"[\w.-]*(?:passw(?:or)?d|passphrase|pwd|secret|secret[_-]?(?:access[_-]?)?key|token|api[_-]?key|access[_-]?key|account[_-]?key|accesskey|private[_-]?key|(?:client|encryption|signing|auth)[_-]?key|key[_-]data|credentials?)"
    };
}

/// Kind and pattern. The groups `a` to `e` are the secret; the rest of the match stays.
const RULES: &[(&str, &str)] = &[
    ("pem", r"(?P<a>-----BEGIN[A-Z0-9 +%]*-----(?s:.*?)(?:-----END[A-Z0-9 +%]*-----|\z))"),
    ("pem", r"(?P<a>LS0tLS1CRUdJTi[A-Za-z0-9+/=_-]*)"),
    (
        "jwt",
        r"(?P<a>eyJ[\w-]{6,}\.[\w-]+(?:\.[\w-]*)?|eyJ(?:hbGci|0eXAi|raWQi)[\w-]+(?:\.[\w-]*)*|ZXlKaGJHY2lP[\w+/=-]+)",
    ),
    ("bearer", r"(?i)\bbearer(?:\s|\+|%20)+(?P<a>[\w.~+/=-]{8,})"),
    ("bearer", r"(?i)base64url\.bearer\.authorization\.k8s\.io\.(?P<a>[\w-]+)"),
    (
        "authorization",
        r#"(?i)authorization\\*["']?(?:\s*[:=]\s*|%3[AD])(?:%20|\+|\s)*\\*["']?(?:(?:basic|bearer|digest|negotiate|token)(?:\s|\+|%20)+)?(?P<a>[^\s"'&,\\]+)"#,
    ),
    ("aws", r"\b(?P<a>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,})"),
    ("aws", r"(?i)x-amz-(?:signature|credential|security-token)(?:=|%3D)(?P<a>[^\s&\x22']+)"),
    ("gcp", r"(?P<a>AIza[\w-]{30,}|ya29\.[\w.-]{10,}|GOCSPX-[\w-]{10,})"),
    ("azure", r"(?i)[?&;]sig(?:=|%3D)(?P<a>[^\s&;\x22']+)"),
    (
        "token",
        r"\b(?P<a>gh[pousr]_\w{16,}|github_pat_\w{16,}|gl(?:pat|dt|rt|cbt|ptt|ft|soat)-[\w.-]{16,}|xox[abeoprs]-[\w-]{8,}|xapp-[\w-]{8,}|[sr]k_(?:live|test)_\w{10,}|npm_\w{20,}|dckr_pat_[\w-]{16,}|hv[sb]\.[\w-]{16,}|hf_\w{20,}|SG\.[\w-]{10,}\.[\w-]{10,}|sk-[\w-]{20,})",
    ),
    ("token", r"hooks\.slack\.com/services/(?P<a>[\w/]+)"),
    ("password", r"(?i)[a-z][a-z0-9+.-]*(?:://|%3A%2F%2F)[^\s/:@\x22']*(?::|%3A)(?P<a>[^\s/@\x22']+)(?:@|%40)"),
    // A flag and its value: apart, behind `=`, as two elements of a list or two parameters of an exec.
    (
        "argument",
        concat!(
            r#"(?i)(?:^|[\s"'=+&\[,]|%20)--?"#,
            names!(),
            r#"(?:\s*=\s*|%3D|\s+|\+|%20|&command=|\\*["']\s*,\s*)"#,
            value!()
        ),
    ),
    (
        "argument",
        r"\b(?:mysql\w*|mariadb[\w-]*|sshpass|mongo\w*|redis-cli|sqlcmd|sqlplus)\b[^|;\n]*?(?:[\s+=]|%20)-[paP](?:\s+|&command=|\+|%20|=|%3D)?(?P<a>[^\s&\x22'\\+]+)",
    ),
    ("argument", r"\bcurl\b[^|;\n]*?(?:[\s+=]|%20)(?:-u|--user)(?:\s+|&command=|\+|%20|=|%3D)?(?P<a>[^\s&\x22'\\+]+)"),
    ("value", concat!(r"(?i)", names!(), r#"\\*["']?(?:\s*[:=]\s*|%3[AD])"#, value!())),
    // Bodies, in documents that could not be read: values of a `Secret`, and of environment variables.
    (
        "data",
        r#"\\*"(?:data|stringData|binaryData)\\*"\s*:\s*\{(?:(?P<a>(?:\s*"(?:[^"\\]|\\.)*"\s*[:,]?)+)|(?P<b>(?:\s*\\+"[^"]*"\s*[:,]?)+)|(?P<c>[^{}]+))"#,
    ),
    ("env", concat!(r#"\\*"name\\*"\s*:\s*\\*"[^"]*"\s*,\s*\\*"value\\*"\s*:\s*"#, value!())),
];

/// What secrets become when the rules themselves are broken: nothing may pass.
const FAILED: &[u8] = b"[redacted:all]";
/// How a secret that was taken out begins.
const MARK: &[u8] = b"[redacted:";
/// Shortest text that may hold a secret.
const SHORTEST: usize = 8;

/// Whether any rule applies, in one pass.
static ANY: LazyLock<Result<RegexSet, regex::Error>> =
    LazyLock::new(|| RegexSetBuilder::new(RULES.iter().map(|(_, p)| *p)).unicode(false).build());

/// The rules by themselves: to build them takes as long again, and most input holds no secret.
static EACH: LazyLock<Result<Vec<(&str, Regex)>, regex::Error>> = LazyLock::new(|| {
    let rule = |pattern: &str| RegexBuilder::new(pattern).unicode(false).build();
    RULES.iter().map(|(kind, pattern)| Ok((*kind, rule(pattern)?))).collect()
});

/// `text` without its secrets.
pub(crate) fn bytes<'t>(text: &'t [u8], key: Option<&RedactionKey>) -> Cow<'t, [u8]> {
    if text.len() < SHORTEST {
        return Cow::Borrowed(text);
    }
    let Ok(any) = &*ANY else { return Cow::Borrowed(FAILED) };
    if !any.is_match(text) {
        return Cow::Borrowed(text);
    }
    let Ok(rules) = &*EACH else { return Cow::Borrowed(FAILED) };
    let mut text = Cow::Borrowed(text);
    for (kind, rule) in rules {
        if let Cow::Owned(replaced) = rule.replace_all(&text, |found: &Captures<'_>| replacement(kind, found, key)) {
            text = Cow::Owned(replaced);
        }
    }
    text
}

/// The match with the secret in it replaced.
fn replacement(kind: &str, found: &Captures<'_>, key: Option<&RedactionKey>) -> Vec<u8> {
    let whole = found.get(0).map_or(&[][..], |m| m.as_bytes());
    let start = found.get(0).map_or(0, |m| m.start());
    let secret = ["a", "b", "c", "d", "e"].iter().find_map(|group| found.name(group));
    let Some(secret) = secret else { return whole.to_vec() };
    if secret.as_bytes().starts_with(MARK) {
        return whole.to_vec();
    }
    let mut out = whole.get(..secret.start() - start).unwrap_or_default().to_vec();
    out.extend_from_slice(MARK);
    out.extend_from_slice(kind.as_bytes());
    if let Some(key) = key {
        let hash =
            ContentHash::new("leadsman redaction v1").field(key.0.to_le_bytes()).field(secret.as_bytes()).finish();
        out.extend_from_slice(format!(":{:08x}", hash >> 96).as_bytes());
    }
    out.push(b']');
    out.extend_from_slice(whole.get(secret.end() - start..).unwrap_or_default());
    out
}

/// `text` without its secrets; `key` as in [`DecodeContext`](crate::DecodeContext).
#[must_use]
pub fn redacted<'t>(text: &'t str, key: Option<&RedactionKey>) -> Cow<'t, str> {
    string(text, key).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn string(text: &str, key: Option<&RedactionKey>) -> Option<String> {
    match bytes(text.as_bytes(), key) {
        Cow::Borrowed(same) if same.len() == text.len() => None,
        other => Some(String::from_utf8_lossy(&other).into_owned()),
    }
}

fn untrusted(text: &mut Untrusted, key: Option<&RedactionKey>) {
    if let Some(clean) = string(text.raw(), key) {
        *text = Untrusted::new(clean);
    }
}

fn optional(text: &mut Option<Untrusted>, key: Option<&RedactionKey>) {
    if let Some(text) = text {
        untrusted(text, key);
    }
}

/// Whether a rule applies to `text`, or may do so when it is read with others around it.
pub(crate) fn may_hold_secret(text: &[u8]) -> bool {
    ANY.as_ref().map_or(true, |any| any.is_match(text))
}

/// Takes secrets out of every text of an event. Its ids are those of the text as it came. When its recurring texts (see
/// [`Recurring`](crate::memo::Recurring)) are known to hold none, only the others are searched.
///
/// Texts are searched as one, each on a line of its own, in `memory`: to begin a search takes as long as to search a
/// name. A line's end stands for the beginning and the end of a text in every rule, so nothing is found alone that is not
/// found there.
pub(crate) fn event(event: &mut AuditEvent, recurring_clean: bool, key: Option<&RedactionKey>, memory: &mut Vec<u8>) {
    memory.clear();
    let mut search = |text: &str| {
        memory.extend_from_slice(text.as_bytes());
        memory.push(b'\n');
    };
    if recurring_clean {
        if !is_plain_id(event.audit_id.raw()) {
            search(event.audit_id.raw());
        }
        search(event.request_uri.raw());
        event.object.name.iter().chain(&event.accounts).for_each(|text| search(text.raw()));
    } else {
        search(&event.actor.name);
        texts(event).for_each(|text| search(text.raw()));
    }
    if !may_hold_secret(memory) {
        return;
    }
    texts(event).for_each(|text| untrusted(text, key));
    if let Some(clean) = string(&event.actor.name, key) {
        event.actor.name = clean.into();
    }
}

/// Whether a text has the letters of a UUID only, as the API server's own audit ids do. Every rule has another one in it.
fn is_plain_id(text: &str) -> bool {
    text.bytes().fold(true, |plain, b| plain & (b.is_ascii_hexdigit() | (b == b'-')))
}

/// Every text of an event but the name of who acted.
fn texts(event: &mut AuditEvent) -> impl Iterator<Item = &mut Untrusted> {
    let AuditEvent { audit_id, actor, object, request_uri, source_ip, user_agent, accounts, .. } = event;
    let ObjectRef { group, resource, subresource, namespace, name } = object;
    let optional = [subresource, namespace, name, source_ip, user_agent, &mut actor.impersonated];
    [audit_id, group, resource, request_uri].into_iter().chain(accounts).chain(optional.into_iter().flatten())
}

/// As [`event`], of a runtime event.
pub(crate) fn runtime(event: &mut RuntimeEvent, key: Option<&RedactionKey>) {
    let RuntimeEvent { rule, operation, priority, message, workload, process, user, tags, .. } = event;
    untrusted(rule, key);
    let place =
        [&mut workload.node, &mut workload.namespace, &mut workload.pod, &mut workload.container, &mut workload.image];
    let process = [&mut process.exe, &mut process.command_line, &mut process.parent];
    for text in [operation, priority, message, user].into_iter().chain(place).chain(process) {
        optional(text, key);
    }
    tags.iter_mut().for_each(|tag| untrusted(tag, key));
}

/// As [`event`], of a flow.
pub(crate) fn flow(flow: &mut FlowEvent, key: Option<&RedactionKey>) {
    for text in [&mut flow.dns_query, &mut flow.drop_reason, &mut flow.node] {
        optional(text, key);
    }
    for end in [&mut flow.source, &mut flow.destination] {
        let FlowEndpoint { namespace, pod, workload, labels, names, .. } = end;
        for text in [namespace, pod, workload] {
            optional(text, key);
        }
        labels.iter_mut().chain(names).for_each(|text| untrusted(text, key));
    }
}

/// As [`event`], of a sample.
pub(crate) fn sample(sample: &mut MetricSample, key: Option<&RedactionKey>) {
    let MetricSample { name, namespace, workload, pod, .. } = sample;
    for text in [name, namespace, workload] {
        untrusted(text, key);
    }
    optional(pod, key);
}
