//! The promises of the stream: what was accepted is scored, once, whatever is killed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rdkafka::message::Message;
use serde_json::Value;
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, event_list, lines};
use crate::support::broker::shared;
use crate::support::http::Http;
use crate::support::leadsman::{Serve, run};
use crate::support::{Case, DEADLINE, Need, Result, free_port, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "stream::kafka_findings_survive_a_kill_and_equal_the_file",
        needs: &[Need::Broker],
        run: kafka_equals_file,
    },
    Case { name: "stream::webhook_findings_survive_a_kill", needs: &[], run: webhook_survives },
    Case { name: "stream::tailed_file_equals_the_file_at_rest", needs: &[], run: tail_equals_file },
    Case { name: "stream::a_log_that_was_removed_unread_is_a_finding", needs: &[], run: removed_log },
    Case { name: "stream::two_requests_under_one_audit_id_are_read_and_told", needs: &[], run: one_audit_id },
    Case { name: "stream::what_cannot_be_read_is_a_dead_letter", needs: &[], run: dead_letters },
    Case { name: "stream::a_second_process_does_not_end_the_first", needs: &[], run: second_process },
    Case { name: "stream::absurd_measurements_do_not_end_the_service", needs: &[], run: absurd_samples },
];

/// Long enough for a debug build to score a day.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// What must agree about a finding: revision, score, sentence and points.
pub(crate) type Essence = BTreeMap<String, (u64, u64, String, String)>;

pub(crate) fn essence(findings: &[Value]) -> Result<Essence> {
    let of = |f: &Value| {
        let why = &f["explanation"];
        Some((
            f["id"].as_str()?.to_owned(),
            (f["rev"].as_u64()?, f["score"].as_u64()?, why["sentence"].as_str()?.to_owned(), points(why)),
        ))
    };
    Ok(findings.iter().map(of).collect::<Option<_>>().ok_or("a finding lacks a field")?)
}

fn points(explanation: &Value) -> String {
    let all = explanation["contributions"].as_array().cloned().unwrap_or_default();
    all.iter().map(|c| format!("{} {};", c["points"], c["id"])).collect()
}

/// Findings of the file, by the offline command.
pub(crate) fn offline(directory: &Path, file: &[u8]) -> Result<Essence> {
    std::fs::write(directory.join("audit.jsonl"), file)?;
    let args = ["score", "--model", "builtin:demo", "audit.jsonl", "--json", "--budget", "1"];
    let output = run(&args, directory, &[], b"", LONG)?;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let document: Value = serde_json::from_str(&output.stdout)?;
    assert_eq!(document["rejects"], serde_json::json!({}));
    essence(document["findings"].as_array().ok_or("no findings")?)
}

/// Every finding of a service, page by page.
pub(crate) fn online(http: &Http) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut path = "/v1/findings?limit=50".to_owned();
    loop {
        let page = http.get(&path)?;
        assert_eq!(page.status, 200, "{}", page.text);
        all.extend(page.json["items"].as_array().cloned().unwrap_or_default());
        match page.json["next_cursor"].as_str() {
            Some(next) => path = format!("/v1/findings?limit=50&cursor={next}"),
            None => return Ok(all),
        }
    }
}

pub(crate) fn serve(directory: &Path, more: &[&str], idle: &str, settings: &[(&str, &str)]) -> Result<Serve> {
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let base = format!("http://{listen}");
    let mut args = vec!["serve", "--listen", &listen, "--no-auth", "--model", "builtin:demo", "--budget", "1"];
    args.extend(["--data-dir", "state"]);
    args.extend(more);
    let mut variables = vec![
        ("LEADSMAN_SOURCES__IDLE_AFTER_SECONDS", idle),
        ("LEADSMAN_STATE__SNAPSHOT_EVERY_EVENTS", "3000"),
        // The group waits this long for a member that was killed.
        ("LEADSMAN_KAFKA__PROPERTIES__SESSION_TIMEOUT_MS", "1500"),
        ("LEADSMAN_KAFKA__PROPERTIES__HEARTBEAT_INTERVAL_MS", "300"),
    ];
    variables.extend(settings);
    Serve::start(&args, directory, &variables, (&base, None), &format!("{base}/readyz"))
}

/// Posts events as the API server does, as many at a time as it sends at most, unless told otherwise.
pub(crate) fn post(http: &Http, events: &[Vec<u8>]) -> Result<()> {
    for batch in events.chunks(400) {
        let answer = http.post("/v1/ingest/k8s-audit", "application/json", &event_list(batch))?;
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    Ok(())
}

/// Value of a counter or gauge; labelled series are summed.
pub(crate) fn metric(http: &Http, name: &str) -> Result<f64> {
    let text = http.get("/metrics")?.text;
    let of = |line: &str| line.strip_prefix(name)?.rsplit(' ').next()?.parse::<f64>().ok();
    Ok(text.lines().filter_map(of).sum())
}

/// Waits until the findings of the service are those of the file.
pub(crate) fn becomes(http: &Http, wanted: &Essence) -> Result<()> {
    let mut last = Essence::new();
    let waited = wait_until("the service finds what the file holds", LONG, || {
        last = essence(&online(http)?)?;
        Ok((last == *wanted).then_some(()))
    });
    let differ: Vec<_> = wanted.iter().filter(|(id, f)| last.get(*id) != Some(f)).take(3).collect();
    let extra: Vec<_> = last.iter().filter(|(id, _)| !wanted.contains_key(*id)).take(3).collect();
    waited.map_err(|e| {
        format!(
            "{}; wanted {} got {}: {differ:#?} extra {extra:#?}",
            e.message().unwrap_or(""),
            wanted.len(),
            last.len()
        )
        .into()
    })
}

/// 20,000 events keyed by actor over three partitions; the consumer is killed once in the middle.
fn kafka_equals_file() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(20_000).collect();
    assert_eq!(events.len(), 20_000);
    let directory = TempDir::new()?;
    let wanted = offline(directory.path(), &lines(&events))?;
    assert!(wanted.len() >= 5, "the attack must be visible: {wanted:#?}");

    let broker = shared()?;
    broker.create_topic("leadsman.audit", 3)?;
    broker.create_topic("leadsman.metrics", 1)?;
    broker.create_topic("leadsman.findings", 1)?;
    let (first, second) = events.split_at(11_000);
    produce(first)?;
    let kafka = ["--kafka", broker.bootstrap()];
    let mut before = serve(directory.path(), &kafka, "4", &[])?;
    wait_until("a part is committed", LONG, || {
        Ok((metric(&before.http, "leadsman_events_total")? >= 4_000.0).then_some(()))
    })?;
    before.process.signal("KILL")?;
    before.process.wait(DEADLINE)?;
    produce(second)?;
    let after = serve(directory.path(), &kafka, "4", &[])?;
    becomes(&after.http, &wanted)?;

    // The topic, folded by id and highest revision, holds the same.
    wait_until("the outbox is empty", DEADLINE, || {
        Ok((metric(&after.http, "leadsman_outbox_findings")? < 0.5).then_some(()))
    })?;
    let mut folded: BTreeMap<String, Value> = BTreeMap::new();
    for message in broker.records("leadsman.findings")? {
        let finding: Value = serde_json::from_slice(message.payload().ok_or("an empty finding")?)?;
        let id = finding["id"].as_str().ok_or("no id")?.to_owned();
        let newer = folded.get(&id).is_none_or(|f| f["rev"].as_u64() <= finding["rev"].as_u64());
        if newer {
            folded.insert(id, finding);
        }
    }
    let published = essence(&folded.into_values().collect::<Vec<_>>())?;
    assert_eq!(published, wanted);

    // Metric samples come by their own topic.
    let sample = br#"{"timestamp":"2026-03-02T00:00:00Z","value":"0.5","name":"up","labels":{"namespace":"shop","workload":"cart"}}"#;
    broker.produce("leadsman.metrics", 0, &[sample.as_slice(); 5])?;
    wait_until("the samples are read", DEADLINE, || {
        Ok((metric(&after.http, "leadsman_samples_total{source=\"kafka:leadsman.metrics\"}")? >= 5.0).then_some(()))
    })
}

/// Produces to the partition of the event's actor, as a keyed producer does.
fn produce(events: &[Vec<u8>]) -> Result<()> {
    let mut partitions: [Vec<&[u8]>; 3] = Default::default();
    for event in events {
        let parsed: Value = serde_json::from_slice(event)?;
        let user = parsed["user"]["username"].as_str().unwrap_or_default();
        let hash = user.bytes().fold(0usize, |h, b| h.wrapping_mul(31).wrapping_add(usize::from(b)));
        partitions[hash % 3].push(event);
    }
    let broker = shared()?;
    for (number, payloads) in (0..).zip(&partitions) {
        broker.produce("leadsman.audit", number, payloads)?;
    }
    Ok(())
}

/// A 200 means durable: what was posted before a SIGKILL is scored after it.
fn webhook_survives() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let directory = TempDir::new()?;
    let wanted = offline(directory.path(), &lines(&events))?;
    assert!(wanted.len() >= 4, "the attack must be visible: {wanted:#?}");
    let mut before = serve(directory.path(), &[], "4", &[])?;
    post(&before.http, &events)?;
    before.process.signal("KILL")?;
    before.process.wait(DEADLINE)?;
    // A clean stop in the middle of the replay must not take half a state for the whole.
    assert_eq!(serve(directory.path(), &[], "4", &[])?.process.stop()?, 0);
    let mut after = serve(directory.path(), &[], "4", &[])?;
    becomes(&after.http, &wanted)?;
    // A clean stop writes state down: the next start has nothing to replay and finds the same.
    assert_eq!(after.process.stop()?, 0, "{}", after.process.stderr());
    becomes(&serve(directory.path(), &[], "4", &[])?.http, &wanted)
}

fn tail_equals_file() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(ATTACK_DAY, 1)?.into_iter().take(16_000).collect();
    let directory = TempDir::new()?;
    let wanted = offline(directory.path(), &lines(&events))?;
    let log = directory.path().join("live.log");
    std::fs::write(&log, lines(&events[..9_000]))?;
    let mut service = serve(directory.path(), &["--tail", "live.log"], "4", &[])?;
    wait_until("the tail is read", LONG, || {
        Ok((metric(&service.http, "leadsman_events_total")? >= 5_000.0).then_some(()))
    })?;
    service.process.signal("KILL")?;
    service.process.wait(DEADLINE)?;
    std::fs::OpenOptions::new().append(true).open(&log)?.write_all(&lines(&events[9_000..]))?;
    becomes(&serve(directory.path(), &["--tail", "live.log"], "4", &[])?.http, &wanted)
}

/// Whoever removes the log while nobody reads it is told of, once; reading goes on with the one that is there.
fn removed_log() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(0, 1)?.into_iter().take(3_000).collect();
    let directory = TempDir::new()?;
    let log = directory.path().join("live.log");
    std::fs::write(&log, lines(&events[..1_000]))?;
    let start = || serve(directory.path(), &["--tail", "live.log"], "2", &[]);
    let has_read = |service: &Serve, count: f64| {
        wait_until("the tail is read", LONG, || {
            Ok((metric(&service.http, "leadsman_events_total")? >= count).then_some(()))
        })
    };
    let mut service = start()?;
    has_read(&service, 1_000.0)?;
    assert_eq!(service.process.stop()?, 0, "{}", service.process.stderr());
    std::fs::remove_file(&log)?;
    for later in [&events[1_000..2_000], &events[2_000..]] {
        std::fs::OpenOptions::new().create(true).append(true).open(&log)?.write_all(&lines(later))?;
        let mut service = start()?;
        has_read(&service, 1_000.0)?;
        let gaps = wait_until("the gap is told", DEADLINE, || {
            let gaps: Vec<Value> = online(&service.http)?.into_iter().filter(|f| f["kind"] == "data_gap").collect();
            Ok((!gaps.is_empty()).then_some(gaps))
        })?;
        assert_eq!(gaps.len(), 1, "told once, and not when reading goes on after a restart: {gaps:#?}");
        let sentence = gaps[0]["explanation"]["sentence"].as_str().unwrap_or_default();
        assert!(sentence.contains("removed or overwritten") && sentence.contains("live.log"), "{sentence}");
        assert_eq!(service.process.stop()?, 0, "{}", service.process.stderr());
    }
    Ok(())
}

/// Who gives a request the id of one that was logged does not hide it, and is told of; who repeats the log is not.
fn one_audit_id() -> Result<()> {
    let events: Vec<Vec<u8>> = audit(0, 1)?.into_iter().take(1_000).collect();
    let mut hidden: Value = serde_json::from_slice(&events[990])?;
    let id = hidden["auditID"].as_str().ok_or("an event without its id")?.to_owned();
    hidden["verb"] = "delete".into();
    let directory = TempDir::new()?;
    let mut before = serve(directory.path(), &[], "4", &[])?;
    let has_read = |service: &Serve, count: f64| {
        wait_until("all is read", LONG, || Ok((metric(&service.http, "leadsman_events_total")? >= count).then_some(())))
    };
    post(&before.http, &events)?;
    has_read(&before, 1_000.0)?;
    before.process.signal("KILL")?;
    before.process.wait(DEADLINE)?;
    let after = serve(directory.path(), &[], "4", &[])?;
    let told = || -> Result<Vec<Value>> {
        Ok(online(&after.http)?.into_iter().filter(|f| f["kind"] == "audit_id_collision").collect())
    };
    post(&after.http, &events[900..])?;
    has_read(&after, 100.0)?;
    assert_eq!(told()?, [] as [Value; 0], "the log again is no other request");
    post(&after.http, &[hidden.to_string().into_bytes()])?;
    let told = wait_until("it is told", DEADLINE, || Ok(Some(told()?).filter(|told| !told.is_empty())))?;
    assert_eq!(told.len(), 1, "{told:#?}");
    let sentence = told[0]["explanation"]["sentence"].as_str().unwrap_or_default();
    assert!(sentence.contains(&id), "{sentence}");
    // Both were read, and what was repeated counted once.
    has_read(&after, 101.0)?;
    assert!(metric(&after.http, "leadsman_duplicate_events_total")? >= 90.0);
    Ok(())
}

/// Bad input is answered 200, because the API server would repeat and then drop it, and kept with its reason.
fn dead_letters() -> Result<()> {
    let directory = TempDir::new()?;
    let service = serve(directory.path(), &[], "4", &[])?;
    let good = event_list(&audit(0, 1)?[..10]);
    let bomb = "[".repeat(100_000);
    for body in
        [b"{\"kind\": 0}".as_slice(), b"\xff\xfe not text", bomb.as_bytes(), &good, b"{\"kind\":\"Event\",\"apiV"]
    {
        assert_eq!(service.http.post("/v1/ingest/k8s-audit", "application/json", body)?.status, 200);
    }
    wait_until("all were read", DEADLINE, || {
        let (good, bad) =
            (metric(&service.http, "leadsman_events_total")?, metric(&service.http, "leadsman_dead_letters")?);
        Ok((good >= 10.0 && bad >= 4.0).then_some(()))
    })?;
    let text = service.http.get("/metrics")?.text;
    for reason in ["invalid_field", "invalid_utf8", "too_deep", "malformed_json"] {
        assert!(text.contains(&format!("leadsman_rejected_items_total{{reason=\"{reason}\"}} 1")), "{reason}\n{text}");
    }
    assert_eq!(service.http.get("/livez")?.status, 200);
    Ok(())
}

fn second_process() -> Result<()> {
    let directory = TempDir::new()?;
    let mut first = serve(directory.path(), &[], "4", &[])?;
    let second = serve(directory.path(), &[], "4", &[]).err().ok_or("a second process took the data directory")?;
    assert!(second.message().is_some_and(|m| m.contains("in use")), "{second:?}");
    let body = event_list(&audit(0, 1)?[..10]);
    assert_eq!(first.http.post("/v1/ingest/k8s-audit", "application/json", &body)?.status, 200);
    wait_until("the first goes on", DEADLINE, || {
        Ok((metric(&first.http, "leadsman_events_total")? >= 10.0).then_some(()))
    })?;
    assert_eq!(first.process.stop()?, 0);
    Ok(())
}

/// Exporters can send any number; the windows they fall into close, and the service goes on.
fn absurd_samples() -> Result<()> {
    let directory = TempDir::new()?;
    let service = serve(directory.path(), &[], "1", &[])?;
    let mut lines = String::new();
    for (pod, sign) in [("a", ""), ("b", "-"), ("c", "")] {
        for second in 0..5 {
            lines.push_str(&format!(
                "{{\"timestamp\":\"2026-03-02T00:00:0{second}Z\",\"value\":\"{sign}1.7976931348623157e308\",\
                 \"name\":\"container_memory_working_set_bytes\",\"labels\":{{\"namespace\":\"shop\",\
                 \"pod\":\"{pod}\",\"workload\":\"cart\"}}}}\n"
            ));
        }
    }
    assert_eq!(service.http.post("/v1/ingest/metrics", "application/x-ndjson", lines.as_bytes())?.status, 202);
    wait_until("the window closed", DEADLINE, || {
        let found = service.http.get("/v1/findings")?.json["total"].as_u64().unwrap_or(0);
        Ok((metric(&service.http, "leadsman_commits_total")? >= 2.0 && found >= 1).then_some(()))
    })?;
    assert_eq!(service.http.get("/readyz")?.status, 200);
    Ok(())
}
