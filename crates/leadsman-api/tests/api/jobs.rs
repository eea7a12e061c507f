use leadsman_api::{JobId, JobSpec};
use serde_json::{Value, json};

use crate::fake::{Fake, JOB, api, config, get, send};

const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn a_training_job_is_queued() {
    let (api, fake) = api(Fake::default(), config());
    let body = json!({"kind": "train", "spec": {"dataset": "base-2026.03_a", "name": "default", "seed": 7}});
    let answer = send(&api, "POST", "/v1/jobs", &[JSON], body.to_string()).await;
    assert_eq!(answer.status, 202);
    assert_eq!(answer.header("location"), format!("/v1/jobs/{JOB}"));
    assert_eq!(answer.header("retry-after"), "1");
    let job = answer.json();
    assert_eq!(job["state"], "queued");
    assert_eq!(job["spec"], body["spec"]);
    let submitted = fake.submitted.lock().unwrap();
    let JobSpec::Train(spec) = &submitted[0];
    assert_eq!((spec.dataset.as_str(), spec.seed), ("base-2026.03_a", Some(7)));
}

#[tokio::test]
async fn what_is_not_a_job_is_422_with_a_pointer() {
    let (api, fake) = api(Fake::default(), config());
    let long = "a".repeat(64);
    let with = |dataset: &str| json!({"kind": "train", "spec": {"dataset": dataset}}).to_string();
    for (body, pointer) in [
        (with("/etc/passwd"), "/spec/dataset"),
        (with("../x"), "/spec/dataset"),
        (with("https://evil.example/x"), "/spec/dataset"),
        (with("Upper"), "/spec/dataset"),
        (with(""), "/spec/dataset"),
        (with(&long), "/spec/dataset"),
        (json!({"kind": "train", "spec": {"dataset": "a", "name": "-x"}}).to_string(), "/spec/name"),
        (json!({"kind": "train", "spec": {"dataset": "a", "colour": 1}}).to_string(), "/spec/colour"),
        (json!({"kind": "train", "spec": {"dataset": 1}}).to_string(), "/spec/dataset"),
        (json!({"kind": "train", "spec": {"dataset": "a", "seed": -1}}).to_string(), "/spec/seed"),
        (json!({"kind": "train", "spec": {}}).to_string(), "/spec"),
        (json!({"kind": "export", "spec": {"dataset": "a"}}).to_string(), "/kind"),
        (json!({"kind": "train", "spec": {"dataset": "a"}, "x": 1}).to_string(), "/x"),
        (json!({"kind": "train", "spec": ["a", null, null]}).to_string(), "/spec"),
        (json!(["train", {"dataset": "a"}]).to_string(), ""),
        ("{".to_owned(), ""),
        (String::new(), ""),
        (format!("{} {{}}", with("a")), ""),
        ("[".repeat(10_000), ""),
    ] {
        let problem = send(&api, "POST", "/v1/jobs", &[JSON], body.clone()).await.problem(422, "invalid_input");
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}: {problem}");
    }
    assert!(fake.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_job_is_json_and_small() {
    let (api, _) = api(Fake::default(), config());
    let good = json!({"kind": "train", "spec": {"dataset": "a"}}).to_string();
    for media in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = send(&api, "POST", "/v1/jobs", &[("content-type", media)], good.clone()).await;
        answer.problem(415, "unsupported_media_type");
    }
    let encoded = [JSON, ("content-encoding", "gzip")];
    send(&api, "POST", "/v1/jobs", &encoded, good.clone()).await.problem(415, "unsupported_media_type");
    let large = format!("{good}{}", " ".repeat(70_000));
    send(&api, "POST", "/v1/jobs", &[JSON], large).await.problem(413, "payload_too_large");
    let charset = [("content-type", "application/json; charset=utf-8")];
    assert_eq!(send(&api, "POST", "/v1/jobs", &charset, good).await.status, 202);
}

#[tokio::test]
async fn jobs_are_listed_and_found() {
    let (api, _) = api(Fake::default(), config());
    let list = get(&api, "/v1/jobs").await.json();
    assert_eq!((&list["total"], &list["next_cursor"]), (&json!(1), &Value::Null));
    assert_eq!(list["items"][0]["id"], JOB.to_string());
    assert_eq!(get(&api, &format!("/v1/jobs/{JOB}")).await.json(), list["items"][0]);
    for id in [JobId::new(8).to_string(), "job_7".into(), "x".into()] {
        get(&api, &format!("/v1/jobs/{id}")).await.problem(404, "not_found");
        get(&api, &format!("/v1/jobs/{id}/events")).await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn progress_is_streamed_to_the_end_of_the_job() {
    let (api, _) = api(Fake::default(), config());
    let answer = get(&api, &format!("/v1/jobs/{JOB}/events")).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let events: Vec<_> = answer.text.split("\n\n").filter(|e| !e.is_empty()).collect();
    assert_eq!(events.len(), 2, "{}", answer.text);
    for (event, state) in events.iter().zip(["running", "succeeded"]) {
        let (name, data) = event.split_once('\n').unwrap();
        assert_eq!(name, "event: job.progress");
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!((&data["state"], &data["id"]), (&json!(state), &json!(JOB.to_string())));
    }
}

#[test]
fn job_ids_have_one_spelling() {
    let id = JobId::generate();
    assert_eq!(id.to_string().parse(), Ok(id));
    for bad in ["job_", "job_+0000000000000000000000000000007", "job_0000000000000000000000000000000A", "7"] {
        assert!(bad.parse::<JobId>().is_err(), "{bad}");
    }
}
