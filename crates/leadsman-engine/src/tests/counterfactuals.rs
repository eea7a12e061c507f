//! A counterfactual is a claim about the detectors, so it is put to them: the log is judged again with the changes made.

use leadsman_detect::novelty::{KeyFamily, tell};
use leadsman_domain::{AuditEvent, Finding, Timestamp, Untrusted};

use super::world::{MORNING, Run, day_with, engine, intrusion, is_by, model};
use crate::Polarity;

/// Evidence of the finding's window when the log is judged again, with or without its counterfactual's changes, and the
/// window's features. `row` stands for features that were not computed again.
fn judged_again(events: &[AuditEvent], finding: &Finding, with: bool, row: Option<&[f64]>) -> (f64, Vec<f64>) {
    let engine = engine(model(), Polarity::Normal);
    let mut run = Run::default();
    let changes = finding.explanation.counterfactual.iter().flat_map(|c| &c.changes).filter(|_| with);
    let (mut known, mut usual) = (Vec::new(), Vec::new());
    for change in changes {
        match KeyFamily::ALL.into_iter().find(|f| f.id() == change.id) {
            Some(family) => known.push((family, &change.observed)),
            None => usual.push(change),
        }
    }
    let of_actor = || events.iter().filter(|e| *e.actor.name == *finding.entity.id);
    for (family, what) in known {
        let showing = of_actor().find(|e| tell(e, family) == *what).unwrap();
        model().novelty.assume_known(showing, family, &mut run.state.novelty);
    }
    run.push(&engine, events);
    let mut matrix = run.windows.take(Timestamp::from_micros(i64::MAX)).unwrap();
    let at = matrix
        .rows
        .iter()
        .position(|r| *r.entity == *finding.entity.id && r.window.start == finding.window.from)
        .unwrap();
    row.into_iter().flatten().zip(matrix.x.row_mut(at)).for_each(|(before, now)| *now = *before);
    for change in usual {
        let column = matrix.schema.names().iter().position(|n| *n == change.id).unwrap();
        matrix.x[(at, column)] = change.would_be.parse().unwrap();
    }
    let (scored, _) = engine.close(&mut run.state, &matrix).unwrap();
    let window = scored.iter().find(|w| w.entity == finding.entity.id && w.window.start == finding.window.from);
    (window.unwrap().evidence, matrix.x.row(at).to_vec())
}

#[test]
fn the_changes_make_it_normal_and_each_is_needed() {
    let engine = engine(model(), Polarity::Normal);
    let mut by_habit = 0;
    for n in 0..12 {
        // Intrusions of different length at different hours, so that different reasons weigh.
        let mut more = intrusion(MORNING - n * 5000);
        more.truncate(1 + n as usize % 5);
        // What a rule always reports has no counterfactual.
        for event in more.iter_mut().filter(|e| e.object.namespace.as_ref().is_some_and(|ns| ns.raw() == "kube-system"))
        {
            event.object.namespace = Some(Untrusted::new("ns-2"));
        }
        // Everything after the attack's window would close it.
        let until = Timestamp::from_millis((MORNING - n * 5000 + 30) * 1000);
        let log: Vec<AuditEvent> = day_with(more).into_iter().filter(|e| e.event_time <= until).collect();
        let mut run = Run::default();
        run.push(&engine, &log);
        run.close(&engine, Timestamp::from_micros(i64::MAX));
        let Some(finding) = run.findings.values().filter(|f| is_by(f, 1)).max_by_key(|f| f.window.from) else {
            assert!(n % 5 == 0, "intrusion {n} was not found");
            continue;
        };
        let Some(counterfactual) = &finding.explanation.counterfactual else { panic!("{n}: none for {finding:#?}") };
        let (before, row) = judged_again(&log, finding, false, None);
        assert!(before >= engine.alert_line(), "unchanged it is a finding");
        let (left, _) = judged_again(&log, finding, true, None);
        assert!(left < engine.alert_line(), "{n}: {left} of {}: {counterfactual:?}", engine.alert_line());
        assert!(counterfactual.score_after < finding.score, "{counterfactual:?}");
        assert!(counterfactual.sentence.contains(&finding.entity.id), "{}", counterfactual.sentence);
        // The changes are told for the window's features as they were; a habit would have changed some of them as well.
        let habits_only = counterfactual.changes.iter().all(|c| KeyFamily::ALL.iter().any(|f| f.id() == c.id));
        by_habit += u32::from(habits_only);
        for needless in (0..counterfactual.changes.len()).filter(|_| habits_only) {
            let mut fewer = finding.clone();
            let changes = &mut fewer.explanation.counterfactual.as_mut().unwrap().changes;
            changes.remove(needless);
            assert!(
                judged_again(&log, &fewer, true, Some(&row)).0 >= engine.alert_line(),
                "{n}: {:?}",
                counterfactual.changes[needless]
            );
        }
    }
    assert!(by_habit >= 2, "habits alone explain {by_habit}");
}
