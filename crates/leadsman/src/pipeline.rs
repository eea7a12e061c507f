//! The straight line from events to findings, shared by the stream, the offline commands and training.
//!
//! Events are observed in runs that end where a window has to close, so a finding never depends on how the
//! log was cut into batches.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use leadsman_decode::DecodeMemo;
use leadsman_domain::{AuditEvent, FeatureMatrix, Finding, FindingId, MetricSample, Surprise, Timestamp};
use leadsman_engine::{Engine, EngineError, ScoredWindow, ShardState, Trainer};
use leadsman_features::{ActivityBuffer, FeatureError, SampleFrame, SampleRow, WindowBuffer, extract_metrics};

/// Why the line broke. None of these is the input's fault.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Features could not be built.
    #[error(transparent)]
    Features(#[from] FeatureError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A snapshot could not be written or read.
    #[error("the state snapshot cannot be used: {0}")]
    Snapshot(#[from] postcard::Error),
}

/// What events and windows are shown to: the engine of a running service, or a trainer.
pub trait Judge {
    /// How many leading events can be observed before a window has to close, and the watermark that does.
    fn run_length(&self, earliest_end: Option<Timestamp>, events: &[AuditEvent]) -> (usize, Option<Timestamp>);
    /// Judges events, then learns from them.
    fn observe(&mut self, events: &[AuditEvent]) -> Result<Vec<Surprise>, EngineError>;
    /// Takes closed windows of actors.
    fn close(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError>;
    /// As `run_length`, for samples.
    fn sample_run_length(
        &self,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>);
    /// Indices of the samples that are in time.
    fn observe_samples(&mut self, samples: &[MetricSample]) -> Vec<usize>;
    /// Takes closed windows of workloads.
    fn close_usage(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError>;
    /// Metrics that windows of workloads are made of; empty when there is no model of usage.
    fn metrics(&self) -> Vec<String>;
}

/// Open windows of one partition.
#[derive(Debug, Clone)]
pub struct Windows {
    length: Duration,
    audit: ActivityBuffer,
    samples: WindowBuffer,
}

/// Later than any window.
const END_OF_TIME: Timestamp = Timestamp::from_micros(i64::MAX);

impl Windows {
    /// No open window.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, audit: ActivityBuffer::new(length), samples: WindowBuffer::new(length) }
    }

    /// Takes audit events.
    ///
    /// Errors: [`PipelineError`], never because of what an event holds.
    pub fn events(&mut self, judge: &mut impl Judge, mut events: &[AuditEvent]) -> Result<(), PipelineError> {
        while !events.is_empty() {
            let (n, watermark) = judge.run_length(self.audit.earliest_end(), events);
            let (run, rest) = events.split_at(n);
            let surprises = judge.observe(run)?;
            self.audit.push(run, &surprises);
            if let Some(watermark) = watermark {
                self.close_audit(judge, watermark)?;
            }
            events = rest;
        }
        Ok(())
    }

    /// Takes metric samples.
    ///
    /// Errors: as [`Self::events`].
    pub fn samples(&mut self, judge: &mut impl Judge, samples: &[MetricSample]) -> Result<(), PipelineError> {
        // Only what the model uses moves the watermark.
        let used = judge.metrics();
        let kept: Vec<MetricSample> =
            samples.iter().filter(|s| used.iter().any(|m| m == s.name.raw())).cloned().collect();
        let mut samples = kept.as_slice();
        while !samples.is_empty() {
            let (n, watermark) = judge.sample_run_length(self.samples.earliest_end(), samples);
            let (run, rest) = samples.split_at(n);
            let in_time: Vec<MetricSample> = judge.observe_samples(run).into_iter().map(|i| run[i].clone()).collect();
            self.samples.push(SampleFrame::new(&in_time, self.length)?.into_inner())?;
            if let Some(watermark) = watermark {
                self.close_samples(judge, watermark)?;
            }
            samples = rest;
        }
        Ok(())
    }

    /// Closes every open window: the log ended, or the source fell idle.
    ///
    /// Errors: as [`Self::events`].
    pub fn close_all(&mut self, judge: &mut impl Judge) -> Result<(), PipelineError> {
        self.close_audit(judge, END_OF_TIME)?;
        self.close_samples(judge, END_OF_TIME)
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.audit.earliest_end().is_none() && self.samples.open().is_none()
    }

    fn close_audit(&mut self, judge: &mut impl Judge, watermark: Timestamp) -> Result<(), PipelineError> {
        if let Some(closed) = self.audit.take_closed(watermark)? {
            judge.close(&closed)?;
        }
        Ok(())
    }

    fn close_samples(&mut self, judge: &mut impl Judge, watermark: Timestamp) -> Result<(), PipelineError> {
        if let Some(closed) = self.samples.take_closed(watermark)? {
            judge.close_usage(&extract_metrics(&closed, &judge.metrics(), self.length)?)?;
        }
        Ok(())
    }
}

/// What came out of a stretch of the log.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Findings, the latest revision of each.
    pub findings: BTreeMap<FindingId, Finding>,
    /// How many windows closed.
    pub windows: u64,
    /// The strangest closed windows, strangest first; at most 100.
    pub strangest: Vec<ScoredWindow>,
}

/// Most windows listed.
const MAX_STRANGEST: usize = 100;

impl Outcome {
    fn closed(&mut self, windows: Vec<ScoredWindow>) {
        self.windows += windows.len() as u64;
        for w in windows {
            let at = self.strangest.partition_point(|s| (s.evidence, -s.p) >= (w.evidence, -w.p));
            if at < MAX_STRANGEST {
                self.strangest.insert(at, w);
                self.strangest.truncate(MAX_STRANGEST);
            }
        }
    }

    fn add(&mut self, findings: Vec<Finding>) {
        for f in findings {
            match self.findings.entry(f.id) {
                Entry::Vacant(new) => {
                    new.insert(f);
                }
                Entry::Occupied(mut known) if known.get().rev < f.rev => {
                    known.insert(f);
                }
                // As in the store: what a late event shows is no news of a window that was told.
                Entry::Occupied(_) => {}
            }
        }
    }
}

/// An engine at work on one partition's state.
pub struct Live<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// The partition's state.
    pub state: &'a mut ShardState,
    /// Where findings go.
    pub outcome: &'a mut Outcome,
    /// Surprise of each event so far, in order; `None` where it was not scored.
    pub surprises: Vec<Option<f64>>,
}

impl Judge for Live<'_> {
    fn run_length(&self, earliest_end: Option<Timestamp>, events: &[AuditEvent]) -> (usize, Option<Timestamp>) {
        self.engine.run_length(self.state, earliest_end, events)
    }

    fn observe(&mut self, events: &[AuditEvent]) -> Result<Vec<Surprise>, EngineError> {
        let (surprises, findings) = self.engine.observe(self.state, events);
        self.outcome.add(findings);
        let begin = self.surprises.len();
        self.surprises.resize(begin + events.len(), None);
        for surprise in &surprises {
            if let Some(of_event) = self.surprises.get_mut(begin + surprise.index) {
                *of_event = Some(surprise.total);
            }
        }
        Ok(surprises)
    }

    fn close(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        let (windows, findings) = self.engine.close(self.state, matrix)?;
        self.outcome.closed(windows);
        self.outcome.add(findings);
        Ok(())
    }

    fn sample_run_length(
        &self,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>) {
        self.engine.sample_run_length(self.state, earliest_end, samples)
    }

    fn observe_samples(&mut self, samples: &[MetricSample]) -> Vec<usize> {
        self.engine.observe_samples(self.state, samples)
    }

    fn close_usage(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        let (windows, findings) = self.engine.close_usage(self.state, matrix)?;
        self.outcome.closed(windows);
        self.outcome.add(findings);
        Ok(())
    }

    fn metrics(&self) -> Vec<String> {
        self.engine.model().usage.as_ref().map_or_else(Vec::new, |u| u.habits.metrics.clone())
    }
}

impl Judge for Trainer {
    fn run_length(&self, earliest_end: Option<Timestamp>, events: &[AuditEvent]) -> (usize, Option<Timestamp>) {
        Self::run_length(self, earliest_end, events)
    }

    fn observe(&mut self, events: &[AuditEvent]) -> Result<Vec<Surprise>, EngineError> {
        Self::observe(self, events)
    }

    fn close(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        Self::close(self, matrix);
        Ok(())
    }

    fn sample_run_length(
        &self,
        earliest_end: Option<Timestamp>,
        samples: &[MetricSample],
    ) -> (usize, Option<Timestamp>) {
        Self::sample_run_length(self, earliest_end, samples)
    }

    fn observe_samples(&mut self, samples: &[MetricSample]) -> Vec<usize> {
        Self::observe_samples(self, samples)
    }

    fn close_usage(&mut self, matrix: &FeatureMatrix) -> Result<(), EngineError> {
        Self::close_usage(self, matrix);
        Ok(())
    }

    fn metrics(&self) -> Vec<String> {
        Self::metrics(self).to_vec()
    }
}

/// Everything one partition remembers: detection state and open windows.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Detection state.
    pub state: ShardState,
    /// What was decoded before.
    pub decoded: DecodeMemo,
    windows: Windows,
    model_digest: String,
}

impl Shard {
    /// An empty shard for `engine`'s model.
    #[must_use]
    pub fn new(engine: &Engine, model_digest: &str) -> Self {
        Self {
            state: ShardState::default(),
            decoded: DecodeMemo::default(),
            windows: Windows::new(engine.model().window()),
            model_digest: model_digest.to_owned(),
        }
    }

    /// Takes what was decoded from the log.
    ///
    /// Errors: [`PipelineError`], never because of what an event holds.
    pub fn push(
        &mut self,
        engine: &Engine,
        events: &[AuditEvent],
        samples: &[MetricSample],
        outcome: &mut Outcome,
    ) -> Result<(), PipelineError> {
        self.push_scored(engine, events, samples, outcome).map(drop)
    }

    /// As [`Self::push`]; tells the surprise of each event, in order: `None` where it was not scored.
    ///
    /// Errors: as [`Self::push`].
    pub fn push_scored(
        &mut self,
        engine: &Engine,
        events: &[AuditEvent],
        samples: &[MetricSample],
        outcome: &mut Outcome,
    ) -> Result<Vec<Option<f64>>, PipelineError> {
        let mut live = Live { engine, state: &mut self.state, outcome, surprises: Vec::with_capacity(events.len()) };
        self.windows.events(&mut live, events)?;
        self.windows.samples(&mut live, samples)?;
        Ok(live.surprises)
    }

    /// Closes every open window.
    ///
    /// Errors: as [`Self::push`].
    pub fn close_all(&mut self, engine: &Engine, outcome: &mut Outcome) -> Result<(), PipelineError> {
        self.windows.close_all(&mut Live { engine, state: &mut self.state, outcome, surprises: Vec::new() })
    }

    /// Whether no window is open.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.windows.is_empty()
    }

    /// The shard as bytes, for a checkpoint.
    ///
    /// Errors: [`PipelineError::Snapshot`] when it cannot be encoded.
    pub fn to_bytes(&mut self) -> Result<Vec<u8>, PipelineError> {
        let samples = self.windows.samples.contiguous().map_or(Ok(Vec::new()), SampleFrame::rows)?;
        Ok(postcard::to_stdvec(&(&self.model_digest, self.state.to_bytes()?, &self.windows.audit, samples))?)
    }

    /// Reads a checkpointed shard; `None` when it was made with another model, whose keys mean nothing to
    /// this one.
    ///
    /// Errors: [`PipelineError`] when it is damaged or of another format.
    pub fn from_bytes(engine: &Engine, model_digest: &str, bytes: &[u8]) -> Result<Option<Self>, PipelineError> {
        let ((of_model, state), windows): ((String, Vec<u8>), _) = postcard::take_from_bytes(bytes)?;
        if of_model != model_digest {
            return Ok(None);
        }
        let mut shard = Self::new(engine, model_digest);
        // The state tells the format of the windows behind it, too.
        shard.state = ShardState::from_bytes(&state)?;
        let (activity, samples): (_, Vec<SampleRow>) = postcard::from_bytes(windows)?;
        shard.windows.audit = activity;
        shard.windows.samples.push(SampleFrame::from_rows(&samples)?.into_inner())?;
        Ok(Some(shard))
    }
}
