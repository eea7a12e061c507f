//! The REST API of the real binary.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::simulated::{ATTACK_DAY, audit, event_list, lines};
use crate::support::http::Http;
use crate::support::leadsman::Serve;
use crate::support::prometheus::Prometheus;
use crate::support::{Case, DEADLINE, Need, Result, free_port, wait_until};

pub(crate) const CASES: &[Case] = &[
    Case { name: "api::asks_for_its_token", needs: &[], run: token },
    Case { name: "api::scores_posted_events", needs: &[], run: score },
    Case { name: "api::retrains_as_a_job", needs: &[], run: retrain },
    Case { name: "api::takes_what_a_real_prometheus_writes", needs: &[Need::Prometheus], run: remote_write },
];

const LONG: Duration = Duration::from_secs(300);

fn serve(directory: &Path) -> Result<(Serve, String)> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let base = format!("http://{listen}");
    let args = ["serve", "--listen", &listen, "--model", "builtin:demo", "--data-dir", "state"];
    std::fs::create_dir_all(directory.join("state"))?;
    let token = "lsm_0123456789abcdef0123456789abcdef";
    std::fs::write(directory.join("state/token"), token)?;
    let service = Serve::start(&args, directory, &[], (&base, Some(token)), &format!("{base}/readyz"))?;
    Ok((service, base))
}

fn token() -> Result<()> {
    let directory = TempDir::new()?;
    let (service, base) = serve(directory.path())?;
    for http in [Http::new(base.as_str(), None), Http::new(base.as_str(), Some("lsm_wrong_wrong_wrong_wrong_wrong"))] {
        for path in ["/v1/findings", "/v1/models", "/v1/jobs", "/metrics"] {
            let answer = http.get(path)?;
            assert_eq!((answer.status, &answer.json["status"]), (401, &json!(401)), "{path}: {}", answer.text);
        }
        assert_eq!(http.post("/v1/ingest/k8s-audit", "application/json", b"{}")?.status, 401);
        assert_eq!(http.get("/livez")?.status, 200);
    }
    let http = &service.http;
    assert_eq!(http.get("/v1/findings")?.json["items"], json!([]));
    assert_eq!(http.get("/openapi.json")?.json["openapi"], "3.1.0");
    assert!(http.get("/metrics")?.text.contains("leadsman_outbox_findings 0"));
    let unknown = http.get("/v1/findings/fnd_00000000000000000000000000000000")?;
    assert_eq!(unknown.status, 404);
    assert!(unknown.json["request_id"].is_string() && unknown.json["type"].is_string(), "{}", unknown.text);
    assert_eq!(http.get("/v1/findings?limit=0")?.status, 422);
    Ok(())
}

fn score() -> Result<()> {
    let directory = TempDir::new()?;
    let (service, _) = serve(directory.path())?;
    let events = audit(ATTACK_DAY, 1)?;
    let stolen: Vec<Vec<u8>> =
        events.iter().filter(|e| String::from_utf8_lossy(e).contains("203.0.113.")).cloned().collect();
    assert!(!stolen.is_empty());
    let answer = service.http.post("/v1/score", "application/json", &event_list(&stolen))?;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let windows = answer.json["windows"].as_array().ok_or("no windows")?;
    assert!(windows[0]["score"].as_u64() >= Some(60), "{:#}", windows[0]);
    assert!(windows[0]["explanation"]["sentence"].as_str().is_some_and(|s| s.contains("shop:cart")));
    let calm = service.http.post("/v1/score", "application/json", &event_list(&events[..200]))?;
    let highest =
        calm.json["windows"].as_array().and_then(|w| w.first()).map_or(0, |w| w["score"].as_u64().unwrap_or(0));
    assert!(highest < 60, "the first minutes of the day are calm: {highest}");
    // Scoring leaves no trace.
    assert_eq!(service.http.get("/v1/findings")?.json["items"], json!([]));
    Ok(())
}

fn retrain() -> Result<()> {
    let directory = TempDir::new()?;
    let (service, _) = serve(directory.path())?;
    let http = &service.http;
    let datasets = directory.path().join("state/datasets");
    std::fs::create_dir_all(&datasets)?;
    std::fs::write(datasets.join("two-days.jsonl"), lines(&audit(0, 2)?))?;
    for bad in [
        json!({"kind": "train", "spec": {"dataset": "../../etc/passwd"}}),
        json!({"kind": "train", "spec": {"dataset": "nowhere"}}),
    ] {
        let answer = http.post_json("/v1/jobs", &bad)?;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
    // The first version of a name is its champion, the next one challenges it.
    train(http, 2)?;
    train(http, 3)?;
    let models = http.get("/v1/models")?.json;
    let challenger = |m: &Value| m["aliases"] == json!(["challenger"]) && m["seed"] == 3;
    assert!(models["items"].as_array().is_some_and(|m| m.iter().any(challenger)), "{models:#}");
    Ok(())
}

/// Trains on the data set and waits for the job.
fn train(http: &Http, seed: u64) -> Result<()> {
    let spec = json!({"kind": "train", "spec": {"dataset": "two-days", "seed": seed}});
    let submitted = http.post_json("/v1/jobs", &spec)?;
    assert_eq!(submitted.status, 202, "{}", submitted.text);
    let id = submitted.json["id"].as_str().ok_or("no id")?.to_owned();
    let (state, job) = wait_until("the job ends", LONG, || {
        let job = http.get(&format!("/v1/jobs/{id}"))?.json;
        let state = job["state"].as_str().or(job["progress"]["state"].as_str()).unwrap_or_default().to_owned();
        Ok(matches!(state.as_str(), "succeeded" | "failed").then_some((state, job)))
    })?;
    assert_eq!(state, "succeeded", "{job:#}");
    Ok(())
}

fn remote_write() -> Result<()> {
    let directory = TempDir::new()?;
    let (service, base) = serve(directory.path())?;
    let _prometheus =
        Prometheus::start(&format!("{base}/v1/ingest/prometheus"), "lsm_0123456789abcdef0123456789abcdef")?;
    wait_until("samples arrive", DEADLINE, || {
        let text = service.http.get("/metrics")?.text;
        let samples =
            text.lines().find_map(|l| l.strip_prefix("leadsman_samples_total{source=\"inbox\"} ")?.parse::<f64>().ok());
        Ok(samples.filter(|n| *n > 100.0))
    })?;
    let text = service.http.get("/metrics")?.text;
    let refused: Vec<&str> = text.lines().filter(|l| l.starts_with("leadsman_rejected_items_total{")).collect();
    assert!(!refused.is_empty() && refused.iter().all(|l| l.ends_with("} 0")), "nothing of it is refused: {text}");
    Ok(())
}
