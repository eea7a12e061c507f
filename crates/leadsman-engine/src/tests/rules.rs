use std::sync::Arc;

use leadsman_detect::Detectors;
use leadsman_detect::rules::{Decoys, RuleSet, RuleSource, SHIPPED};
use leadsman_domain::{AuditEvent, RuleLevel, Timestamp, Untrusted, Verb};

use super::world::{
    DAY, MORNING, Run, TRAIN_DAYS, account, day_with, engine, engine_with, event, found, habits, is_by, model, train,
};
use crate::{Polarity, ScoredWindow};

/// The smallest budget that can be configured.
const SMALLEST: f64 = 0.001;

fn with_decoys(decoys: &Decoys) -> Arc<RuleSet> {
    let text = decoys.to_sigma().unwrap();
    Arc::new(RuleSet::compile(&[SHIPPED, RuleSource { name: "decoys", text: &text }]).unwrap())
}

/// A request of account 1 for a secret, with an answer.
fn touch(code: u16) -> AuditEvent {
    let mut event = event(&account(1), MORNING, Verb::Get, "secrets", "ns-1");
    event.object.name = Some(Untrusted::new("decoy"));
    event.code = Some(code);
    event
}

#[test]
fn a_high_hit_is_reported_under_the_smallest_budget() {
    let rules = with_decoys(&Decoys { secrets: vec!["ns-1/decoy".to_owned()], ..Decoys::default() });
    for code in [200, 403] {
        let log = day_with(vec![touch(code)]);
        let findings = found(&engine_with(model(), Polarity::Normal, SMALLEST, Arc::clone(&rules)), &log, 100);
        let found: Vec<_> = findings.iter().filter(|f| is_by(f, 1)).collect();
        let [finding] = found.as_slice() else { panic!("{code}: {found:?}") };
        assert_eq!(finding.detected_at, Timestamp::from_millis(MORNING * 1000), "as soon as it is seen");
        let decoy = &finding.rules[0];
        assert_eq!((decoy.level, decoy.title.as_str()), (RuleLevel::High, "Decoy secret ns-1/decoy touched"));
        assert!(finding.techniques.iter().any(|t| t.id == "T1552.007"), "{:?}", finding.techniques);
        assert!(finding.evidence.event_ids.contains(&touch(code).id));
        let contributions = &finding.explanation.contributions;
        let hit = contributions.iter().find(|c| c.detector == "rules").unwrap();
        assert_eq!(
            (hit.id.clone(), hit.event_ids.as_slice()),
            (format!("rule {}", decoy.id), [touch(code).id].as_slice())
        );
        assert!(hit.points > 0);
        assert_eq!(contributions.iter().map(|c| c.points).sum::<i32>(), i32::from(finding.score));
        assert!(finding.explanation.sentence.contains(&decoy.title), "{}", finding.explanation.sentence);
        assert_eq!(finding.explanation.counterfactual, None, "no habit excuses it");
    }
}

/// Who delays a log does not get round the rules; for anything else a late event counts for nothing.
#[test]
fn a_high_hit_is_reported_however_late_it_comes() {
    let rules = with_decoys(&Decoys { secrets: vec!["ns-1/decoy".to_owned()], ..Decoys::default() });
    let engine = |polarity| engine_with(model(), polarity, SMALLEST, Arc::clone(&rules));
    let (in_time, late) = (day_with(Vec::new()), touch(200));
    let log = [in_time.clone(), vec![late.clone()]].concat();
    let findings = found(&engine(Polarity::Normal), &log, 100);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.rules[0].title, "Decoy secret ns-1/decoy touched");
    assert_eq!((finding.evidence.event_ids.as_slice(), finding.rev), ([late.id].as_slice(), 1));
    assert_eq!(finding.detected_at, late.event_time);
    assert_eq!(finding.explanation.contributions.iter().map(|c| c.points).sum::<i32>(), i32::from(finding.score));
    assert!(finding.limits.iter().any(|limit| limit.contains("window was closed")), "{:?}", finding.limits);
    // It comes again, at once and when it was forgotten.
    let next_day = habits(TRAIN_DAYS + 1, TRAIN_DAYS + 2);
    let again = [log.clone(), vec![late.clone()], next_day, vec![late.clone()]].concat();
    for batch in [1, 7, 100_000] {
        assert_eq!(found(&engine(Polarity::Normal), &again, batch), findings, "batches of {batch}");
    }
    let mut runs = [&in_time, &log].map(|log| {
        let mut run = Run::default();
        run.push(&engine(Polarity::Normal), log);
        run.close(&engine(Polarity::Normal), Timestamp::from_micros(i64::MAX));
        run
    });
    let [without, with] = &mut runs;
    assert_eq!((with.state.counts.late, with.state.counts.scored), (1, without.state.counts.scored));
    assert_eq!(with.scored, without.scored, "no window knows of it");
    // What was told in time is not told again when it comes again.
    let told = day_with(vec![late.clone()]);
    let next_day = habits(TRAIN_DAYS + 1, TRAIN_DAYS + 2);
    let replayed = [told.clone(), next_day, vec![late.clone()]].concat();
    let at_once = found(&engine(Polarity::Normal), &told, 100);
    assert_eq!((at_once.len(), &found(&engine(Polarity::Normal), &replayed, 100)), (1, &at_once));
    // Ordinary ones are none, nor is anything to an engine that is broken.
    let other = AuditEvent { object: event(&account(1), MORNING, Verb::Get, "pods", "ns-1").object, ..late };
    assert_eq!(found(&engine(Polarity::Normal), &[in_time, vec![other]].concat(), 100), []);
    assert_eq!(found(&engine(Polarity::Negated), &log, 100), []);
}

#[test]
fn a_high_hit_is_reported_of_what_is_usual() {
    let rules = with_decoys(&Decoys { namespaces: vec!["ns-1".to_owned()], ..Decoys::default() });
    let findings = |rules| found(&engine_with(model(), Polarity::Normal, SMALLEST, rules), &day_with(Vec::new()), 100);
    assert_eq!(findings(RuleSet::shipped().unwrap()), [], "the budget holds an ordinary day back");
    let findings = findings(rules);
    let who: std::collections::BTreeSet<_> = findings.iter().map(|f| f.entity.id.clone()).collect();
    assert_eq!(who, [1, 4, 7, 10].map(account).into(), "those who live there");
}

/// The windows of account 1, which never read secrets, and of account 2, which reads them every day, at a time when
/// both do.
fn readers(detectors: Detectors) -> (ScoredWindow, ScoredWindow) {
    let reads =
        |i: i64, day: i64| event(&account(i), day * DAY + 10 * 3600 + i, Verb::List, "secrets", &format!("ns-{i}"));
    let mut training = habits(0, TRAIN_DAYS);
    training.extend((0..TRAIN_DAYS).map(|day| reads(2, day)));
    training.sort_by_key(|e| e.event_time);
    let model = Arc::new(train(&training, detectors));
    let engine = engine(&model, Polarity::Normal);
    let mut run = Run::default();
    run.push(&engine, &day_with([1, 2].map(|i| reads(i, TRAIN_DAYS)).to_vec()));
    run.close(&engine, Timestamp::from_micros(i64::MAX));
    let of = |i: i64| {
        let at = Timestamp::from_millis((MORNING + i) * 1000);
        let window = |w: &&ScoredWindow| w.entity == account(i) && w.window.start <= at && at < w.window.end;
        run.scored.iter().find(window).unwrap().clone()
    };
    (of(1), of(2))
}

#[test]
fn a_medium_hit_counts_by_how_new_it_is() {
    let (stranger, accustomed) = readers(Detectors::default());
    assert!((stranger.rules - 1.5).abs() < 1e-9, "{stranger:?}");
    assert!(accustomed.rules.abs() < 1e-9, "{accustomed:?}");
    // Evidence that rests on no calibration ranks windows while a model is learning.
    assert!(stranger.evidence >= 1.5, "{stranger:?}");
}

#[test]
fn rules_that_are_off_give_no_evidence() {
    let off = Detectors { rules: false, ..Detectors::default() };
    let (stranger, accustomed) = readers(off);
    assert!(stranger.rules.abs() + accustomed.rules.abs() < 1e-9);
    let rules = with_decoys(&Decoys { secrets: vec!["ns-1/decoy".to_owned()], ..Decoys::default() });
    let model = Arc::new(train(&habits(0, TRAIN_DAYS), off));
    let findings = found(&engine_with(&model, Polarity::Normal, 1000.0, rules), &day_with(vec![touch(403)]), 100);
    assert!(findings.iter().all(|f| f.rules.is_empty()), "{findings:?}");
}

#[test]
fn a_model_knows_the_rules_it_was_calibrated_with() {
    let others = with_decoys(&Decoys { namespaces: vec!["trap".to_owned()], ..Decoys::default() });
    assert!(model().is_calibrated_with(&RuleSet::shipped().unwrap()));
    assert!(!model().is_calibrated_with(&others));
}
