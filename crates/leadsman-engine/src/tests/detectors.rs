use std::sync::Arc;

use leadsman_detect::Detectors;

use super::world::{MORNING, day_with, engine, found, habits, intrusion, is_by, model, train};
use crate::Polarity;

#[test]
fn an_intrusion_is_found_and_an_ordinary_day_is_not() {
    let engine = engine(model(), Polarity::Normal);
    let findings = found(&engine, &day_with(intrusion(MORNING)), 100);
    assert!(findings.iter().any(|f| is_by(f, 1)), "{findings:?}");
    let quiet = found(&engine, &day_with(Vec::new()), 100);
    assert!(quiet.len() <= 1, "the budget is one a day: {quiet:?}");
}

#[test]
fn what_is_off_says_nothing() {
    let training = habits(0, super::world::TRAIN_DAYS);
    let day = day_with(intrusion(MORNING));
    for list in ["novelty", "forest", "novelty,forest", "novelty,peers,forest", "novelty,forest,peers,rules"] {
        let on: Detectors = list.parse().unwrap();
        let model = Arc::new(train(&training, on));
        assert_eq!(model.detectors, on, "the model carries them");
        let findings = found(&engine(&model, Polarity::Normal), &day, 100);
        let found = findings.iter().find(|f| is_by(f, 1)).unwrap_or_else(|| panic!("{list} sees nothing"));
        let points = |detector: &str| {
            let of = found.explanation.contributions.iter().filter(|c| c.detector == detector);
            of.map(|c| c.points.abs()).sum::<i32>()
        };
        assert_eq!((points("novelty") > 0, points("forest") > 0), (on.novelty, on.forest), "{list}: {found:?}");
        assert_eq!(points("rules") > 0, on.rules, "{list}");
        let peers = found.explanation.contributions.iter().filter_map(|c| c.baseline.as_ref()).any(|b| b.peers_of > 0);
        assert_eq!(peers, on.novelty, "{list}: peers are told of whether they judge or not");
        let total: i32 = found.explanation.contributions.iter().map(|c| c.points).sum();
        assert_eq!(total, i32::from(found.score), "{list}");
    }
}
