use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::finding::ModelRefDto;
use super::{mirror, time};
use crate::json::Object;
use crate::{ApiError, Job, JobProgress, JobSpec, JobState, TrainSpec};

/// A job to start.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// What to do.
    kind: JobKindDto,
    /// With what.
    #[schema(value_type = TrainRequest)]
    spec: Object<TrainRequest>,
}

/// What a job does.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobKind)]
enum JobKindDto {
    Train,
}

/// What to train.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TrainRequest {
    /// Id of a registered dataset; never a path or a URL.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$")]
    dataset: String,
    /// Model to add a version to; the default model if absent.
    #[serde(default)]
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,62}$")]
    name: Option<String>,
    /// Seed of the run; 1 if absent.
    #[serde(default)]
    seed: Option<u64>,
}

impl TryFrom<JobRequest> for JobSpec {
    type Error = ApiError;

    fn try_from(JobRequest { kind: JobKindDto::Train, spec: Object(spec) }: JobRequest) -> Result<Self, ApiError> {
        let refused = |pointer: &str, message: String| {
            ApiError::invalid("the job cannot be started: see errors").at(pointer, message)
        };
        let dataset = spec.dataset.parse().map_err(|e: crate::NameError| refused("/spec/dataset", e.to_string()))?;
        let name = spec.name.map(|n| n.parse()).transpose();
        let name = name.map_err(|e: crate::NameError| refused("/spec/name", e.to_string()))?;
        Ok(Self::Train(TrainSpec { dataset, name, seed: spec.seed }))
    }
}

/// A unit of work that outlives its request.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobDto {
    /// Identity.
    #[schema(pattern = "^job_[0-9a-f]{32}$")]
    id: String,
    /// What it does.
    kind: JobKindDto,
    /// With what.
    spec: TrainSpecDto,
    /// Where it stands.
    state: JobStateDto,
    /// What it is doing.
    step: String,
    /// Share of the work that is done.
    #[schema(minimum = 0, maximum = 1)]
    fraction: f64,
    /// When it was submitted.
    #[schema(format = DateTime)]
    submitted_at: String,
    /// The model it made.
    result: Option<ModelRefDto>,
    /// Why it failed.
    error: Option<String>,
}

/// What is trained.
#[derive(Serialize, ToSchema)]
#[schema(as = TrainSpec)]
struct TrainSpecDto {
    /// Id of the dataset.
    dataset: String,
    /// Model that gets the version; null is the default model.
    name: Option<String>,
    /// Seed of the run; null is 1.
    seed: Option<u64>,
}

mirror! {
    /// Where a job stands.
    JobStateDto as JobState from JobState { Queued, Running, Succeeded, Failed }
}

impl From<Job> for JobDto {
    fn from(Job { id, spec, submitted_at, progress, result, error }: Job) -> Self {
        let JobProgress { id: _, state, step, fraction } = progress;
        let JobSpec::Train(TrainSpec { dataset, name, seed }) = spec;
        Self {
            id: id.to_string(),
            kind: JobKindDto::Train,
            spec: TrainSpecDto { dataset: dataset.to_string(), name: name.map(|n| n.to_string()), seed },
            state: state.into(),
            step,
            fraction,
            submitted_at: time(submitted_at),
            result: result.map(Into::into),
            error,
        }
    }
}

/// How far a job has come: the data of a `job.progress` event.
#[derive(Serialize, ToSchema)]
#[schema(as = JobProgress)]
pub(crate) struct JobProgressDto {
    /// Which job.
    id: String,
    /// Where it stands.
    state: JobStateDto,
    /// What it is doing.
    step: String,
    /// Share of the work that is done.
    #[schema(minimum = 0, maximum = 1)]
    fraction: f64,
}

impl From<JobProgress> for JobProgressDto {
    fn from(JobProgress { id, state, step, fraction }: JobProgress) -> Self {
        Self { id: id.to_string(), state: state.into(), step, fraction }
    }
}
