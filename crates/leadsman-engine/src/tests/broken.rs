//! Detectors that were inverted or inert have shipped under green tests elsewhere. These tests break the detectors on
//! purpose and ask whether the suite notices.

use leadsman_domain::{AuditEvent, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::world::{MORNING, day_with, engine, found, intrusion, is_by, model};
use crate::Polarity;

/// What is wrong with an engine that reads `log`, a day with an intrusion in the morning.
fn suite(polarity: Polarity, log: &[AuditEvent]) -> Vec<&'static str> {
    let engine = engine(model(), polarity);
    let findings = found(&engine, log, 100);
    let at = Timestamp::from_millis(MORNING * 1000);
    let attack = |f: &&leadsman_domain::Finding| is_by(f, 1) && f.window.from <= at && at < f.window.to;
    let mut wrong = Vec::new();
    match findings.iter().find(attack) {
        None => wrong.push("the intrusion was not found"),
        Some(f) if findings.iter().any(|other| other.score > f.score) => wrong.push("something else ranks higher"),
        Some(f) if f.detected_at >= at.plus(std::time::Duration::from_secs(5)) => wrong.push("it was found late"),
        Some(_) => {}
    }
    if findings.iter().filter(|f| !attack(f)).count() > 2 {
        wrong.push("an ordinary day is not quiet");
    }
    wrong
}

#[test]
fn the_suite_is_green_and_notices_broken_scores() {
    let log = day_with(intrusion(MORNING));
    assert_eq!(suite(Polarity::Normal, &log), Vec::<&str>::new());
    for broken in [Polarity::Negated, Polarity::Frozen] {
        assert!(suite(broken, &log).contains(&"the intrusion was not found"), "{broken:?}");
    }
}

/// The same events, each at the time of another one.
#[test]
fn the_suite_notices_shuffled_time() {
    let log = day_with(intrusion(MORNING));
    let times: Vec<Timestamp> = log.iter().map(|e| e.event_time).collect();
    let mut runner = TestRunner::new(Config { cases: 8, ..Config::default() });
    let shuffled = Just(times).prop_shuffle();
    let result = runner.run(&shuffled, |times| {
        let mut log = log.clone();
        log.iter_mut().zip(times).for_each(|(event, time)| event.event_time = time);
        log.sort_by_key(|e| e.event_time);
        prop_assert!(!suite(Polarity::Normal, &log).is_empty());
        Ok(())
    });
    assert_eq!(result, Ok(()));
}
