use std::time::Duration;

use leadsman_domain::{AuditEvent, EventId, RequestKey, Stage, Timestamp, Verb};

use super::world::event;
use crate::requests::{Admission, MAX_REQUESTS, Requests};
use crate::shard::ShardState;

fn request(n: usize, second: i64) -> AuditEvent {
    let (id, request) = (EventId::new(n as u128), RequestKey::new(n as u128));
    AuditEvent { id, request, ..event("jane", second, Verb::Get, "pods", "shop") }
}

#[test]
fn a_request_is_one_observation_however_often_it_comes() {
    let mut requests = Requests::default();
    let first = request(1, 0);
    let later = AuditEvent { stage: Stage::Panic, ..first.clone() };
    let received = AuditEvent { stage: Stage::RequestReceived, ..request(3, 0) };
    for (event, admission) in [
        (&received, Admission::NotScored),
        (&first, Admission::New),
        (&first, Admission::Duplicate),
        (&later, Admission::Joined),
        (&later, Admission::Duplicate),
        (&first, Admission::Duplicate),
    ] {
        assert_eq!(requests.admit(event), admission);
    }
}

#[test]
fn requests_are_known_for_ten_minutes_behind_the_watermark_and_over_a_restart() {
    let mut requests = Requests::default();
    for n in 0..1_000 {
        assert_eq!(requests.admit(&request(n, n as i64)), Admission::New);
    }
    let later = |n: usize| AuditEvent { stage: Stage::Panic, ..request(n, n as i64) };
    for n in (0..1_000).step_by(100) {
        assert_eq!(requests.admit(&later(n)), Admission::Joined);
    }
    requests.expire(Timestamp::from_millis(1_200_000));
    let bytes = postcard::to_stdvec(&requests).unwrap();
    let mut restored: Requests = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(restored, requests);
    assert_eq!(postcard::to_stdvec(&restored).unwrap(), bytes);
    for (n, admission) in [(599, Admission::New), (600, Admission::Duplicate), (999, Admission::Duplicate)] {
        assert_eq!(restored.admit(&request(n, n as i64)), admission, "{n}");
    }
    for (n, admission) in [(500, Admission::New), (600, Admission::Duplicate), (601, Admission::Joined)] {
        assert_eq!(restored.admit(&later(n)), admission, "{n}");
    }
}

/// At the cap the oldest go, not those that just came.
#[test]
fn a_flood_is_bounded() {
    let second = |n: usize| (n / 5_000) as i64;
    let mut requests = Requests::default();
    for n in 0..MAX_REQUESTS + 100 {
        requests.admit(&request(n, second(n)));
    }
    assert_eq!(requests.len(), MAX_REQUESTS + 100 - 50_000, "ten seconds were forgotten");
    for (n, admission) in [(MAX_REQUESTS + 99, Admission::Duplicate), (50_000, Admission::Duplicate)] {
        assert_eq!(requests.admit(&request(n, second(n))), admission);
    }
    assert_eq!(requests.admit(&request(0, second(0))), Admission::New);
    let at = |second: i64| Timestamp::from_millis(second * 1_000);
    assert!(!requests.may_have_forgotten(at(10)));
    assert!(requests.may_have_forgotten(at(9)), "what came then may come again, and must not count");
    let bytes = postcard::to_stdvec(&requests).unwrap();
    assert!(postcard::from_bytes::<Requests>(&bytes).unwrap().may_have_forgotten(at(9)));
    requests.expire(Timestamp::from_millis(200_000).plus(Duration::from_secs(3_600)));
    assert_eq!(requests.len(), 0);
}

/// Also when all come at one time: the last of them is known.
#[test]
fn a_flood_of_one_time_is_bounded() {
    let mut requests = Requests::default();
    for n in 0..MAX_REQUESTS + 100 {
        requests.admit(&request(n, 1));
    }
    assert_eq!(requests.len(), 100);
    assert_eq!(requests.admit(&request(MAX_REQUESTS + 99, 1)), Admission::Duplicate);
    assert!(!requests.may_have_forgotten(Timestamp::from_millis(1_000)), "what goes on coming is not late");
    for n in 0..MAX_REQUESTS {
        requests.admit(&request(MAX_REQUESTS + 200 + n, 11));
    }
    assert!(requests.may_have_forgotten(Timestamp::from_millis(9_000)), "once others come, it is");
    assert!(!requests.may_have_forgotten(Timestamp::from_millis(11_000)));
    requests.expire(Timestamp::from_millis(11_000).plus(Duration::from_secs(3_600)));
    assert_eq!(requests, Requests::default(), "nothing is left of it when all of it is late");
}

/// At the cap nothing is forgotten for what is known already.
#[test]
fn a_repetition_needs_no_room() {
    let mut requests = Requests::default();
    for n in 0..MAX_REQUESTS {
        requests.admit(&request(n, (n / 5_000) as i64));
    }
    assert_eq!(requests.admit(&request(0, 0)), Admission::Duplicate);
    assert_eq!(requests.len(), MAX_REQUESTS);
}

#[test]
fn what_was_forgotten_for_want_of_room_is_late() {
    let mut state = ShardState::default();
    for n in 0..=MAX_REQUESTS {
        state.requests.admit(&request(n, (n / 5_000) as i64));
    }
    let at = |second: i64| Timestamp::from_millis(second * 1_000);
    assert!(state.watermark().is_none(), "the watermark alone would let it in");
    assert!(state.is_late(at(0)) && !state.is_late(at(10)));
}
