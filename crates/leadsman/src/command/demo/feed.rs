//! The simulated cluster's API server and metrics agent: they post to the service as real ones would.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use leadsman_decode::{DecodeContext, Limits};
use leadsman_domain::{PayloadKind, RawRecord, Timestamp};
use leadsman_sim::{Payload, Simulation};

use crate::labels::Labels;
use crate::progress::{Progress, ProgressMode};

/// The API server's default batch.
const AUDIT_BATCH: usize = 400;
const METRIC_BATCH: usize = 5_000;

/// What was posted, and what the simulator knows of it.
pub(super) struct Fed {
    /// The attack's stages and their events.
    pub(super) labels: Labels,
    /// Audit events posted.
    pub(super) events: u64,
    /// Metric samples posted.
    pub(super) samples: u64,
    /// Requests posted: records of the inbox.
    pub(super) records: u64,
    /// Simulated period.
    pub(super) period: Option<(Timestamp, Timestamp)>,
}

/// Prepares the feeding of `simulation` to the service at `url`; with a pace, the whole takes about that long.
pub(super) fn run(
    simulation: Simulation,
    url: String,
    context: DecodeContext,
    pace: Option<Duration>,
    progress: ProgressMode,
) -> impl FnOnce() -> Result<Fed> + Send {
    move || Feeder::new(url, context).feed(simulation, pace, progress)
}

struct Feeder {
    agent: ureq::Agent,
    url: String,
    context: DecodeContext,
    audit: Vec<Vec<u8>>,
    metrics: Vec<u8>,
    waiting_samples: usize,
    fed: Fed,
}

impl Feeder {
    fn new(url: String, context: DecodeContext) -> Self {
        let fed = Fed { labels: Labels::default(), events: 0, samples: 0, records: 0, period: None };
        let agent = ureq::Agent::new_with_defaults();
        Self { agent, url, context, audit: Vec::new(), metrics: Vec::new(), waiting_samples: 0, fed }
    }

    fn feed(mut self, mut simulation: Simulation, pace: Option<Duration>, progress: ProgressMode) -> Result<Fed> {
        let begun = Instant::now();
        let mut bar = Progress::new(progress, "week", 7 * 24);
        for record in simulation.by_ref() {
            let (from, _) = *self.fed.period.get_or_insert((record.time, record.time));
            self.fed.period = Some((from, record.time));
            match record.payload {
                Payload::Audit(line) => {
                    if let Some(stage) = record.stage {
                        self.label(&line, record.time, stage);
                    }
                    self.audit.push(line);
                }
                Payload::Metric(line) => {
                    self.metrics.extend_from_slice(&line);
                    self.metrics.push(b'\n');
                    self.waiting_samples += 1;
                }
            }
            let full = self.audit.len() >= AUDIT_BATCH;
            if full || self.waiting_samples >= METRIC_BATCH {
                let hours = record.time.seconds_since(from) / 3600.0;
                bar.at(hours as u64, || format!("{} events, simulated {}", self.fed.events, record.time));
                if let Some(show) = pace {
                    let due = show.mul_f64((hours / (7.0 * 24.0)).clamp(0.0, 1.0));
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                }
            }
            if full {
                self.post_audit()?;
            }
            if self.waiting_samples >= METRIC_BATCH {
                self.post_metrics()?;
            }
        }
        self.post_audit()?;
        self.post_metrics()?;
        bar.finish();
        self.fed.labels.stages = simulation.stages().to_vec();
        Ok(self.fed)
    }

    /// Notes which event a labelled line is. Ids are derived from content, so decoding it here gives the one
    /// the service will see.
    fn label(&mut self, line: &[u8], time: Timestamp, stage: usize) {
        let record =
            RawRecord { offset: 0, received_at: time, kind: PayloadKind::K8sAudit, bytes: line.to_vec().into() };
        let decoded = leadsman_decode::record(&self.context, &Limits::default(), &record);
        self.fed.labels.note(&decoded.events, stage);
    }

    fn post_audit(&mut self) -> Result<()> {
        if self.audit.is_empty() {
            return Ok(());
        }
        let mut body = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#.to_vec();
        body.extend(self.audit.join(&b","[..]));
        body.extend_from_slice(b"]}");
        self.fed.events += self.audit.len() as u64;
        self.audit.clear();
        self.post("/v1/ingest/k8s-audit", "application/json", &body)
    }

    fn post_metrics(&mut self) -> Result<()> {
        if self.metrics.is_empty() {
            return Ok(());
        }
        let body = std::mem::take(&mut self.metrics);
        self.fed.samples += std::mem::take(&mut self.waiting_samples) as u64;
        self.post("/v1/ingest/metrics", "application/x-ndjson", &body)
    }

    fn post(&mut self, path: &str, content_type: &str, body: &[u8]) -> Result<()> {
        let sent = self.agent.post(format!("{}{path}", self.url)).header("content-type", content_type).send(body);
        let answer = sent.with_context(|| format!("posting to {path} failed"))?;
        if !answer.status().is_success() {
            bail!("{path} answered {}", answer.status());
        }
        self.fed.records += 1;
        Ok(())
    }
}
