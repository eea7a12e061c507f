use leadsman_domain::Timestamp;

use super::*;

fn trial(style: Style) -> Trial {
    Trial {
        technique: Technique::ALL[0],
        identity: IdentityKind::ALL[0],
        style,
        at: Timestamp::from_micros(0),
        repeat: 0,
    }
}

const MISSED: Verdict = Verdict { delay: None, explained: false };
const FOUND: Verdict = Verdict { delay: Some(2.0), explained: true };

#[test]
fn intervals_hold_the_recall_and_narrow_with_trials() {
    let few = Hits { found: 3, of: 4 };
    let many = Hits { found: 300, of: 400 };
    for hits in [few, many] {
        let [low, high] = hits.interval();
        assert!(low < hits.recall() && hits.recall() < high);
    }
    let width = |hits: Hits| hits.interval()[1] - hits.interval()[0];
    assert!(width(many) < width(few) / 5.0);
    let [low, high] = Hits { found: 21, of: 21 }.interval();
    assert!((low - 0.8454).abs() < 1e-4 && high >= 1.0, "{low} {high}");
}

#[test]
fn the_median_is_in_the_middle() {
    assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
    assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
}

#[test]
fn a_week_without_findings_is_all_missed_and_quiet() {
    let mut report = Report::default();
    report.full.attempt(&trial(Style::Noisy), 1, MISSED);
    report.full.quiet(1, 0, 7.0);
    assert_eq!(report.full.lowest_recall(1), Some((Style::Noisy, 0.0)));
    let document = serde_json::to_value(report.document()).unwrap();
    assert_eq!(document["recall"]["noisy"]["1"], 0.0);
    assert_eq!(document["techniques"][Technique::ALL[0].as_str()]["noisy"]["1"], 0.0);
    assert_eq!(document["budget_ratio"]["1"], 0.0);
    assert!(document["time_to_detect_s"].as_object().is_some_and(serde_json::Map::is_empty));
}

#[test]
fn what_a_detector_adds_is_told_in_points() {
    let mut report = Report::default();
    for verdict in [FOUND, FOUND, FOUND, MISSED] {
        report.full.attempt(&trial(Style::Paced), 1, verdict);
    }
    let mut without = Tally::default();
    for verdict in [FOUND, MISSED, MISSED, MISSED] {
        without.attempt(&trial(Style::Paced), 1, verdict);
    }
    report.ablation.insert("novelty", without);
    let document = serde_json::to_value(report.document()).unwrap();
    assert_eq!(document["recall"]["paced"]["1"], 0.75);
    assert_eq!(document["ablation"]["novelty"]["recall"]["paced"]["1"], 0.25);
    assert_eq!(document["ablation"]["novelty"]["points_against_all"]["1"], -50.0);
    assert_eq!(document["ablation"]["novelty"]["detectors"], "rules");
    assert_eq!(document["explanation_hit_rate"], 1.0);
    assert_eq!(document["time_to_detect_s"]["paced"]["1"], 2.0);
}

#[test]
fn clusters_add_up() {
    let mut all = Tally::default();
    for incidents in [7, 21] {
        let mut one = Tally::default();
        one.attempt(&trial(Style::Mimicry), 1, FOUND);
        one.quiet(1, incidents, 7.0);
        all.join(one);
    }
    assert_eq!(all.hits[&(Style::Mimicry, 1)], Hits { found: 2, of: 2 });
    assert!(all.per_day(1).is_some_and(|n| (n - 2.0).abs() < 1e-12));
}
