//! Jobs that outlive their request: one at a time, in the order they came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use leadsman_api::{ApiError, DatasetId, Job, JobId, JobProgress, JobSpec, JobState, TrainSpec as TrainJob};
use leadsman_decode::DecodeContext;
use leadsman_domain::ModelRef;
use leadsman_engine::TrainSpec;
use tokio::sync::{Semaphore, broadcast};

use super::Service;
use crate::input::LakeOptions;
use crate::offline::{DataOptions, train_with};
use crate::progress::ProgressMode;
use crate::{clock, model};

/// Most jobs remembered; the oldest finished ones are forgotten first.
const MAX_JOBS: usize = 1_000;
/// Most jobs waiting.
const MAX_WAITING: usize = 32;
/// Name of the model that a job without a name retrains.
const DEFAULT_NAME: &str = "default";

/// All jobs since the service started.
pub struct Jobs {
    entries: Mutex<BTreeMap<JobId, Entry>>,
    turn: Semaphore,
}

struct Entry {
    job: Job,
    changes: broadcast::Sender<JobProgress>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { entries: Mutex::default(), turn: Semaphore::new(1) }
    }
}

impl Jobs {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<JobId, Entry>> {
        // The map is consistent after every statement, so a panic elsewhere does not spoil it.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One job.
    pub fn get(&self, id: JobId) -> Option<Job> {
        self.entries().get(&id).map(|e| e.job.clone())
    }

    /// All jobs, newest first.
    pub fn all(&self) -> Vec<Job> {
        self.entries().values().rev().map(|e| e.job.clone()).collect()
    }

    /// Present progress of a job and its changes from now on.
    pub fn follow(&self, id: JobId) -> Option<(JobProgress, broadcast::Receiver<JobProgress>)> {
        self.entries().get(&id).map(|e| (e.job.progress.clone(), e.changes.subscribe()))
    }

    fn add(&self, spec: JobSpec) -> Result<Job, ApiError> {
        let mut entries = self.entries();
        let waiting = entries.values().filter(|e| e.job.progress.state == JobState::Queued).count();
        if waiting >= MAX_WAITING {
            return Err(ApiError::conflict("too many jobs are waiting: try again when some are done"));
        }
        while entries.len() >= MAX_JOBS {
            let oldest = entries.iter().find(|(_, e)| e.job.progress.state.is_final()).map(|(id, _)| *id);
            match oldest {
                Some(id) => drop(entries.remove(&id)),
                None => break,
            }
        }
        let id = JobId::generate();
        let progress = JobProgress { id, state: JobState::Queued, step: "waiting".to_owned(), fraction: 0.0 };
        let job = Job { id, spec, submitted_at: clock::now(), progress, result: None, error: None };
        entries.insert(id, Entry { job: job.clone(), changes: broadcast::channel(64).0 });
        Ok(job)
    }

    fn change(&self, id: JobId, change: impl FnOnce(&mut Job)) {
        if let Some(entry) = self.entries().get_mut(&id) {
            change(&mut entry.job);
            // Nobody listening is no error.
            drop(entry.changes.send(entry.job.progress.clone()));
        }
    }
}

/// Queues a job.
///
/// Errors: [`ApiError`] when the dataset does not exist or too many jobs wait.
pub fn submit(service: &Service, jobs: &std::sync::Arc<Jobs>, spec: JobSpec) -> Result<Job, ApiError> {
    let JobSpec::Train(train) = spec.clone();
    let data = dataset(&service.data_dir.join("datasets"), &train.dataset).ok_or_else(|| {
        ApiError::invalid(format!("there is no dataset `{}`", train.dataset)).at("/spec/dataset", "is not registered")
    })?;
    let job = jobs.add(spec)?;
    let (service, jobs, id) = (service.clone(), jobs.clone(), job.id);
    tokio::spawn(async move {
        let Ok(_turn) = jobs.turn.acquire().await else { return };
        jobs.change(id, |j| j.progress.state = JobState::Running);
        let (worker, reporter) = (service, jobs.clone());
        let result = tokio::task::spawn_blocking(move || retrain(&worker, &reporter, id, &train, data)).await;
        jobs.change(id, |j| match result {
            Ok(Ok(model)) => {
                j.result = Some(model);
                j.progress = JobProgress { id, state: JobState::Succeeded, step: "done".to_owned(), fraction: 1.0 };
            }
            Ok(Err(error)) => {
                tracing::warn!(job = %id, error = format!("{error:#}"), "the job failed");
                j.progress.state = JobState::Failed;
                j.error = Some(format!("{error:#}"));
            }
            Err(error) => {
                tracing::error!(job = %id, %error, "the job panicked");
                j.progress.state = JobState::Failed;
                j.error = Some("the job ended unexpectedly; the log has more".to_owned());
            }
        });
    });
    Ok(job)
}

/// The file or directory of a registered dataset: `datasets/ID`, or `ID` with a telemetry ending.
fn dataset(root: &Path, id: &DatasetId) -> Option<PathBuf> {
    let endings = ["", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".json", ".log"];
    endings.iter().map(|e| root.join(format!("{id}{e}"))).find(|p| p.exists())
}

fn retrain(service: &Service, jobs: &Jobs, id: JobId, job: &TrainJob, data: PathBuf) -> Result<ModelRef> {
    let name = job.name.as_ref().map_or(DEFAULT_NAME, |n| n.as_str());
    let of = &service.cluster.context;
    let rules = of.rules.clone();
    let context = DecodeContext { cluster: of.cluster.clone(), rules: rules.clone(), ..of.clone() };
    let now = &service.model.fitted;
    let spec = TrainSpec { seed: job.seed.unwrap_or(1), window: now.window(), rules, detectors: now.detectors };
    let paths = [data];
    let data = DataOptions {
        paths: &paths,
        context: &context,
        now: clock::now(),
        strict: false,
        progress: ProgressMode::None,
        lakes: LakeOptions::default(),
    };
    let trained = train_with(&data, &spec, Arc::clone(&service.rules), name, |step, fraction| {
        jobs.change(id, |j| {
            step.clone_into(&mut j.progress.step);
            j.progress.fraction = fraction;
        });
    })?;
    let manifest = model::register(&service.data_dir.join("models"), &trained.files)?;
    Ok(ModelRef { name: manifest.name, version: manifest.version, digest: manifest.weights_digest })
}
