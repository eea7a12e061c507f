//! The events, and who else reads them.

use std::borrow::Cow;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;

use crate::report::{Failure, scratch};

const EVENTS: &str = "200000";
/// The package whose source carries simdjson 3.12.
const PACKAGE: &str = "pysimdjson==7.0.2";
const SOURCE: &str = "pysimdjson-7.0.2";

/// Synthetic events of the bench kit, one a line.
pub(crate) struct Events {
    file: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

impl Events {
    /// `None`, after saying so, where the kit is missing.
    pub(crate) fn generate() -> Result<Option<Self>, Failure> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/bench");
        let kit = std::env::var_os("LEADSMAN_BENCH_KIT").map_or_else(beside, PathBuf::from);
        let generator = kit.join("gen_audit.py");
        if !generator.exists() {
            eprintln!("SKIPPED: {} is missing; LEADSMAN_BENCH_KIT names the folder of the kit", generator.display());
            return Ok(None);
        }
        let file = scratch()?.join("decode.ndjson");
        if !done(Command::new("python3").arg("-B").arg(generator).arg(EVENTS).arg(&file)) {
            return Ok(None);
        }
        Ok(Some(Self { bytes: std::fs::read(&file)?, file }))
    }

    pub(crate) fn lines(&self) -> Vec<&[u8]> {
        self.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect()
    }
}

fn done(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// simdjson in its own process, which times itself.
pub(crate) struct Simdjson {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Simdjson {
    /// `None`, after saying so, where it cannot be fetched or compiled.
    pub(crate) fn start(events: &Events) -> Result<Option<Self>, Failure> {
        let folder = scratch()?;
        let source = folder.join(SOURCE).join("simdjson");
        let archive = format!("{SOURCE}.tar.gz");
        let fetch = ["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", PACKAGE];
        let fetched = source.exists()
            || (done(Command::new("python3").args(fetch).current_dir(&folder))
                && done(Command::new("tar").args(["xzf", &archive]).current_dir(&folder)));
        let program = folder.join("simdjson");
        let compiled = fetched
            && done(
                Command::new("g++")
                    .args(["-O3", "-march=native", "-std=c++17", "-DNDEBUG", "-I"])
                    .arg(&source)
                    .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/decode/simdjson.cpp"))
                    .arg(source.join("simdjson.cpp"))
                    .arg("-o")
                    .arg(&program),
            );
        if !compiled {
            eprintln!("SKIPPED: simdjson, because {PACKAGE} cannot be fetched or compiled (needs pip, tar, g++)");
            return Ok(None);
        }
        let mut child = Command::new(program).arg(&events.file).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Some(Self { child, questions, answers }))
    }

    /// One pass: CPU seconds and checksum.
    pub(crate) fn ask(&mut self, mode: &str) -> Result<(f64, usize), Failure> {
        writeln!(self.questions, "{mode}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let (seconds, sum) = answer.trim().split_once(' ').ok_or("simdjson ended early")?;
        Ok((seconds.parse()?, sum.parse()?))
    }
}

impl Drop for Simdjson {
    fn drop(&mut self) {
        // it may have ended by itself
        let _already_ended = self.child.kill();
        let _nothing_left = self.child.wait();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(rename = "auditID", borrow)]
    audit_id: Text<'a>,
    level: Text<'a>,
    stage: Text<'a>,
    verb: Text<'a>,
    #[serde(rename = "requestURI")]
    request_uri: Text<'a>,
    #[serde(default)]
    user_agent: Text<'a>,
    request_received_timestamp: Text<'a>,
    stage_timestamp: Text<'a>,
    user: User<'a>,
    #[serde(rename = "sourceIPs", default)]
    source_ips: Vec<Text<'a>>,
    #[serde(default)]
    object_ref: ObjectRef<'a>,
    #[serde(default)]
    response_status: Status,
    #[serde(default)]
    annotations: Annotations<'a>,
}

/// Borrowed where there is no escape.
#[derive(Deserialize, Default)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct User<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(default)]
    uid: Text<'a>,
    #[serde(default)]
    groups: Vec<Text<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef<'a> {
    #[serde(borrow)]
    resource: Text<'a>,
    namespace: Text<'a>,
    name: Text<'a>,
    api_group: Text<'a>,
    subresource: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Status {
    code: usize,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Annotations<'a> {
    #[serde(rename = "authorization.k8s.io/decision", borrow)]
    decision: Text<'a>,
    #[serde(rename = "authorization.k8s.io/reason")]
    reason: Text<'a>,
}

impl Event<'_> {
    fn sum(&self) -> usize {
        let (user, object, notes) = (&self.user, &self.object_ref, &self.annotations);
        let texts = [
            &self.audit_id,
            &self.level,
            &self.stage,
            &self.verb,
            &self.request_uri,
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
            &notes.decision,
            &notes.reason,
        ];
        let lengths: usize = texts.into_iter().map(|text| text.0.len()).sum();
        lengths + user.groups.len() + self.source_ips.len() + self.response_status.code
    }
}

pub(crate) fn sonic(event: &[u8]) -> Option<usize> {
    sonic_rs::from_slice::<Event<'_>>(event).ok().map(|event| event.sum())
}

pub(crate) fn serde(event: &[u8]) -> Option<usize> {
    serde_json::from_slice::<Event<'_>>(event).ok().map(|event| event.sum())
}

/// One event of about `size` bytes, most of them a list as response body.
pub(crate) fn event_of(size: usize) -> String {
    let item = r#"{"metadata":{"name":"web-7d9","labels":{"app":"web","note":"a \"b\" c"}},"spec":{"ports":[80,443]}}"#;
    let items = vec![item; size.saturating_sub(500) / (item.len() + 1) + 1].join(",");
    format!(
        r#"{{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"RequestResponse","auditID":"5d3f","stage":"ResponseComplete","requestURI":"/api/v1/pods","verb":"list","user":{{"username":"jane","groups":["dev"]}},"sourceIPs":["10.0.0.7"],"userAgent":"kubectl/v1.33.0","objectRef":{{"resource":"pods","apiVersion":"v1"}},"responseStatus":{{"metadata":{{}},"code":200}},"responseObject":{{"kind":"PodList","items":[{items}]}},"requestReceivedTimestamp":"2026-03-02T10:00:00.000001Z","stageTimestamp":"2026-03-02T10:00:00.004000Z"}}"#
    )
}
