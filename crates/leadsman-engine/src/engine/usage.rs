use leadsman_detect::calibration::Rareness;
use leadsman_detect::evidence::{Evidence, score};
use leadsman_detect::usage::{STRATUM, UsageModel, largest};
use leadsman_domain::{FeatureMatrix, Finding, IncidentId};
use ndarray::{Array2, Axis};

use super::{Engine, ScoredWindow};
use crate::EngineError;
use crate::incidents::Claim;
use crate::report::UsageWindow;
use crate::shard::{EntityKey, ShardState};

impl Engine {
    /// Scores the closed windows of workloads.
    ///
    /// Errors: [`EngineError::Detect`] when the matrix has another schema than the model.
    pub fn close_usage(
        &self,
        state: &mut ShardState,
        matrix: &FeatureMatrix,
    ) -> Result<(Vec<ScoredWindow>, Vec<Finding>), EngineError> {
        let Some(usage) = &self.model.usage else { return Ok((Vec::new(), Vec::new())) };
        let deviations = usage.habits.deviations(matrix)?;
        let furthest = largest(&deviations);
        let detectors = self.model.detectors.of_usage();
        let forest = usage.forest.score(deviations.view(), STRATUM)?;
        let mut scored = Vec::with_capacity(matrix.rows.len());
        let mut findings = Vec::new();
        for (i, row) in matrix.rows.iter().enumerate() {
            state.closed_samples(row.window.end);
            let habit = self.rareness(&usage.deviation, furthest[i]);
            let strangeness = self.rareness(&usage.strangeness, forest[i]);
            let evidence = self.model.detectors.usage(habit, strangeness);
            scored.push(ScoredWindow {
                entity: row.entity.to_string(),
                class: None,
                window: row.window,
                count: row.count,
                habit: furthest[i],
                forest: forest[i],
                rules: evidence.rules,
                p: detectors.rarest(habit, Some(strangeness)).p,
                evidence: evidence.total(),
                score: score(evidence.total()),
            });
            if evidence.total() >= self.line {
                let new = self.reporter.incident_id(EntityKey::Workload, &row.entity, row.window.start);
                let claim = Claim { entity: &row.entity, window: row.window, ties: &[], current: None, new };
                let incident = state.usage_incidents.join(&claim).incident;
                findings.push(self.usage_finding(
                    usage,
                    matrix,
                    i,
                    &deviations,
                    evidence,
                    (habit, strangeness),
                    incident,
                )?);
            }
        }
        Ok((scored, findings))
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename the arguments")]
    fn usage_finding(
        &self,
        usage: &UsageModel,
        matrix: &FeatureMatrix,
        row: usize,
        deviations: &Array2<f64>,
        evidence: Evidence,
        rareness: (Rareness, Rareness),
        incident: IncidentId,
    ) -> Result<Finding, EngineError> {
        let z = deviations.select(Axis(0), &[row]);
        let attributions = usage.forest.attributions(z.view(), STRATUM)?;
        let detail = UsageWindow {
            schema: &matrix.schema,
            key: &matrix.rows[row],
            values: matrix.x.row(row).to_vec(),
            deviations: z.row(0).to_vec(),
            by_feature: attributions.by_feature.row(0).to_vec(),
            habit: rareness.0,
            strangeness: rareness.1,
            incident,
        };
        let mut finding = self.reporter.usage(usage, &detail, evidence);
        finding.explanation.counterfactual =
            self.counterfactual_usage(usage, &matrix.schema, detail.key, (&detail.values, &detail.deviations))?;
        Ok(finding)
    }
}
