use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
/// Some midnight.
const START: i64 = 20_000 * 24 * HOUR;

fn window(second: i64) -> Window {
    Timestamp::from_millis((START + second) * 1000).window(Duration::from_secs(300))
}

fn link(kind: LinkKind, id: &str) -> Link {
    Link { kind, id: id.to_owned() }
}

fn new_id(entity: &str, second: i64) -> IncidentId {
    let hash = leadsman_domain::ContentHash::new("test").field(entity).field(second.to_le_bytes());
    IncidentId::new(hash.finish())
}

fn join(incidents: &mut Incidents, entity: &str, second: i64, ties: &[Link]) -> Joined {
    let new = new_id(entity, second);
    incidents.join(&Claim { entity, window: window(second), ties, current: None, new })
}

#[test]
fn the_account_whose_token_was_minted_is_part_of_the_story() {
    let mut all = Incidents::default();
    let minted = [link(LinkKind::MintedToken, "robot")];
    let thief = join(&mut all, "jane", 0, &minted);
    assert_eq!((thief.incident, thief.links.len()), (new_id("jane", 0), 0), "the first has nobody to be linked to");
    let robot = join(&mut all, "robot", 20 * MINUTE, &[]);
    assert_eq!((robot.incident, &*robot.links), (thief.incident, &minted[..]));
    let later = join(&mut all, "robot", 70 * MINUTE, &[]);
    assert_eq!(later.incident, thief.incident, "the gap counts from the last finding");
    assert_ne!(join(&mut all, "bob", 71 * MINUTE, &[]).incident, thief.incident, "others have their own");
    assert_ne!(join(&mut all, "robot", 3 * HOUR, &[]).incident, thief.incident, "an hour of peace ends it");
}

#[test]
fn the_order_of_the_two_does_not_matter() {
    for kind in [LinkKind::MintedToken, LinkKind::Impersonation, LinkKind::BoundSubject, LinkKind::WorkloadAccount] {
        let mut all = Incidents::default();
        let robot = join(&mut all, "robot", 0, &[]);
        let thief = join(&mut all, "jane", 5 * MINUTE, &[link(kind, "robot")]);
        assert_eq!((thief.incident, thief.links), (robot.incident, vec![link(kind, "robot")]));
    }
}

#[test]
fn two_incidents_become_the_older_one() {
    let mut all = Incidents::default();
    let (jane, robot) = (join(&mut all, "jane", 0, &[]), join(&mut all, "robot", 10 * MINUTE, &[]));
    assert_ne!(jane.incident, robot.incident);
    let ties = [link(LinkKind::MintedToken, "robot")];
    let claim = Claim {
        entity: "jane",
        window: window(15 * MINUTE),
        ties: &ties,
        current: Some(jane.incident),
        new: new_id("jane", 15 * MINUTE),
    };
    let joined = all.join(&claim);
    assert_eq!((joined.incident, &*joined.merged), (jane.incident, &[robot.incident][..]));
    assert!(joined.links.contains(&link(LinkKind::Incident, &robot.incident.to_string())));
    assert_eq!(join(&mut all, "robot", 20 * MINUTE, &[]).incident, jane.incident);
}

#[test]
fn a_source_links_at_most_three() {
    let mut all = Incidents::default();
    let from = |all: &mut Incidents, who: &str, minute| {
        join(all, who, minute * MINUTE, &[link(LinkKind::Source, "203.0.113.7")]).incident
    };
    let first = from(&mut all, "a", 0);
    assert_eq!((from(&mut all, "b", 5), from(&mut all, "c", 10)), (first, first));
    let fourth = from(&mut all, "d", 15);
    assert_ne!(fourth, first, "many behind one address are a proxy");
    assert_ne!(from(&mut all, "e", 20), fourth);
    assert_eq!(from(&mut all, "a", 25), first, "who is in stays in");
}

#[test]
fn an_incident_lives_a_day_and_an_entity_has_two_a_day() {
    let mut all = Incidents::default();
    let mut seen = Vec::new();
    for half_hour in 0..100 {
        seen.push(join(&mut all, "steady", half_hour * 30 * MINUTE, &[]).incident);
    }
    seen.dedup();
    assert_eq!(seen.len(), 3, "fifty hours are three lives");
    let mut all = Incidents::default();
    let mut busy: Vec<IncidentId> = (0..12).map(|n| join(&mut all, "busy", n * 2 * HOUR, &[]).incident).collect();
    busy.dedup();
    assert_eq!(busy.len(), 2, "what is beyond joins the last");
    assert!(!busy.contains(&join(&mut all, "busy", 26 * HOUR, &[]).incident), "tomorrow is another day");
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut all = Incidents::default();
    for n in 0..1_000 {
        join(&mut all, &format!("actor {n}"), n * HOUR, &[link(LinkKind::Source, &format!("source {n}"))]);
    }
    assert!(all.open.len() < 60 && all.ties.len() < 120 && all.days.len() < 80, "{all:?}");
}

proptest! {
    /// Whoever is linked within the gap shares an incident, whoever the links name.
    #[test]
    fn linked_findings_share_an_incident(who in prop::collection::vec((0usize..6, 0usize..6), 1..30)) {
        let mut all = Incidents::default();
        let mut current: BTreeMap<usize, IncidentId> = BTreeMap::new();
        for (n, (actor, other)) in who.into_iter().enumerate() {
            let name = |i: usize| format!("user {i}");
            let joined =
                join(&mut all, &name(actor), n as i64 * MINUTE, &[link(LinkKind::Impersonation, &name(other))]);
            for id in current.values_mut().filter(|id| joined.merged.contains(id)) {
                *id = joined.incident;
            }
            current.insert(actor, joined.incident);
            if let Some(id) = current.get(&other) {
                prop_assert_eq!(*id, joined.incident, "{} and {}", actor, other);
            }
        }
    }
}
