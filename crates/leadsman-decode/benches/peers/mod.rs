//! What the decode benchmark compares with.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::Failure;
use crate::events::run;

/// simdjson 3.12.3 is in this package.
const PACKAGE: &str = "pysimdjson==7.0.2";
const SOURCES: &str = "pysimdjson-7.0.2";

/// The 20 fields as a struct that borrows where it can: what sonic-rs and serde_json fill.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Event<'a> {
    #[serde(borrow)]
    level: Cow<'a, str>,
    #[serde(borrow, rename = "auditID")]
    audit_id: Cow<'a, str>,
    #[serde(borrow)]
    stage: Cow<'a, str>,
    #[serde(borrow, rename = "requestURI")]
    request_uri: Cow<'a, str>,
    #[serde(borrow)]
    verb: Cow<'a, str>,
    #[serde(borrow)]
    user: User<'a>,
    #[serde(borrow, rename = "sourceIPs")]
    source_ips: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    #[serde(borrow)]
    object_ref: Object<'a>,
    response_status: Status,
    #[serde(borrow)]
    request_received_timestamp: Cow<'a, str>,
    #[serde(borrow)]
    stage_timestamp: Cow<'a, str>,
    #[serde(borrow)]
    annotations: Annotations<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    username: Cow<'a, str>,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    groups: Vec<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Object<'a> {
    #[serde(borrow)]
    resource: Cow<'a, str>,
    #[serde(borrow)]
    namespace: Cow<'a, str>,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    api_group: Cow<'a, str>,
    #[serde(borrow)]
    subresource: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: u16,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(borrow, rename = "authorization.k8s.io/decision")]
    decision: Cow<'a, str>,
    #[serde(borrow, rename = "authorization.k8s.io/reason")]
    reason: Cow<'a, str>,
}

impl Event<'_> {
    pub(crate) fn weight(&self) -> u64 {
        let (user, object, annotations) = (&self.user, &self.object_ref, &self.annotations);
        let texts = [
            &self.level,
            &self.audit_id,
            &self.stage,
            &self.request_uri,
            &self.verb,
            &self.user_agent,
            &self.request_received_timestamp,
            &self.stage_timestamp,
            &user.username,
            &user.uid,
            &object.resource,
            &object.namespace,
            &object.name,
            &object.api_group,
            &object.subresource,
            &annotations.decision,
            &annotations.reason,
        ];
        let lengths: usize = texts.iter().map(|text| text.len()).sum();
        (lengths + user.groups.len() + self.source_ips.len()) as u64 + u64::from(self.response_status.code)
    }
}

/// simdjson on-demand in a process of its own.
pub(crate) struct Simdjson {
    /// What the process says it is.
    pub(crate) version: String,
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Simdjson {
    /// Fetches and compiles it where that is not done, and starts it over `file`.
    pub(crate) fn start(directory: &Path, file: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(directory)?;
        let sources = directory.join(SOURCES).join("simdjson");
        if !sources.exists() {
            let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE];
            run(Command::new("python3").args(pip).current_dir(directory))?;
            run(Command::new("tar").arg("xzf").arg(format!("{SOURCES}.tar.gz")).current_dir(directory))?;
        }
        let binary = directory.join("simdjson");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/simdjson.cpp");
        let flags = ["-O3", "-march=native", "-std=c++17", "-DNDEBUG"];
        let include = format!("-I{}", sources.display());
        let mut compiler = Command::new("g++");
        run(compiler.args(flags).arg(include).arg(ours).arg(sources.join("simdjson.cpp")).arg("-o").arg(&binary))?;
        let mut child = Command::new(binary).arg(file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let asks = child.stdin.take().ok_or("no standard input")?;
        let mut answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        let mut version = String::new();
        answers.read_line(&mut version)?;
        Ok(Self { version: version.trim().to_owned(), child, asks, answers })
    }

    /// Reads the first `events` once: seconds of CPU time, and the sum.
    pub(crate) fn read(&mut self, events: usize) -> Result<(f64, u64), Failure> {
        writeln!(self.asks, "{events}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (seconds, sum) = answer.trim().split_once(' ').ok_or("simdjson ended early")?;
        Ok((seconds.parse()?, sum.parse()?))
    }
}

impl Drop for Simdjson {
    fn drop(&mut self) {
        // It ends by itself with its input; a benchmark has nothing to do about a failure here.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
