//! Triage and retention.

use std::time::{Duration, SystemTime};

use leadsman_domain::{FindingId, Pruned, Store, Timestamp, Triage, TriageError, TriageStatus};

use super::{batch, dead_letter, finding, lease, source};

const NEVER: Timestamp = Timestamp::from_micros(i64::MIN);
const EVER: Timestamp = Timestamp::from_micros(i64::MAX);

fn in_progress() -> Triage {
    Triage {
        version: 0,
        status: TriageStatus::InProgress,
        assignee: Some("jane".into()),
        note: "asked \"the\" team\0 \u{2713}".into(),
    }
}

pub(crate) async fn triage_survives_replay(store: impl Store) {
    let first = store.claim(&source(), 0).await.unwrap();
    let id = FindingId::new(1);
    assert_eq!(store.triage(id).await.unwrap(), None);
    store.commit(batch(first.epoch, 0, 5, vec![finding(1, 3, 50)])).await.unwrap();
    assert_eq!(store.triage(id).await.unwrap(), Some(Triage::default()));
    let set = store.set_triage(id, in_progress()).await.unwrap();
    assert_eq!((set.version, set.status, set.assignee.as_deref()), (1, TriageStatus::InProgress, Some("jane")));

    // The next owner derives the same findings again, and then a later revision.
    let second = store.claim(&source(), 0).await.unwrap();
    store.commit(batch(second.epoch, 5, 6, vec![finding(1, 3, 50)])).await.unwrap();
    store.commit(batch(second.epoch, 6, 7, vec![finding(1, 4, 90)])).await.unwrap();
    assert_eq!(store.triage(id).await.unwrap(), Some(set));
    assert_eq!(store.finding(id).await.unwrap().unwrap().1, finding(1, 4, 90));
}

pub(crate) async fn triage_is_compared_before_it_is_set(store: impl Store + Clone + 'static) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let id = FindingId::new(1);
    let missing = store.set_triage(FindingId::new(2), in_progress()).await;
    assert!(matches!(missing, Err(TriageError::Missing(_))), "{missing:?}");
    let unseen = store.set_triage(id, Triage { version: 7, ..in_progress() }).await;
    assert!(matches!(unseen, Err(TriageError::Outdated { found: 0, .. })), "{unseen:?}");

    // Of those who decide at the same time, one wins each round, and nobody's decision is lost unseen.
    let people: Vec<_> = (0..4)
        .map(|person| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut set = 0;
                while set < 5 {
                    let seen = store.triage(id).await.unwrap().unwrap();
                    match store.set_triage(id, Triage { note: format!("{person}"), ..seen }).await {
                        Ok(_) => set += 1,
                        Err(TriageError::Outdated { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    for person in people {
        person.await.unwrap();
    }
    assert_eq!(store.triage(id).await.unwrap().unwrap().version, 20);
}

pub(crate) async fn retention_spares_what_is_not_done(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut commit = batch(epoch, 0, 1, (0..6).map(|id| finding(id, 1, 50)).collect());
    commit.dead_letters = (0..3).map(|item| dead_letter(0, item, "x")).collect();
    store.commit(commit).await.unwrap();
    assert_eq!(store.prune(EVER, NEVER, 100).await.unwrap(), Pruned::default(), "nothing is published yet");
    let items = lease(&store, "kafka", 9, 0, 1).await;
    store.ack_outbox(&items[..5]).await.unwrap();
    for (id, status) in [(0, TriageStatus::New), (1, TriageStatus::InProgress), (2, TriageStatus::Resolved)] {
        store.set_triage(FindingId::new(id), Triage { status, ..in_progress() }).await.unwrap();
    }
    assert_eq!(store.prune(NEVER, NEVER, 100).await.unwrap(), Pruned::default());
    // Small steps: what was resolved, and what nobody ever looked at.
    assert_eq!(store.prune(EVER, EVER, 2).await.unwrap(), Pruned { findings: 2, dead_letters: 2 });
    assert_eq!(store.prune(EVER, EVER, 2).await.unwrap(), Pruned { findings: 1, dead_letters: 1 });
    assert_eq!(store.prune(EVER, EVER, 2).await.unwrap(), Pruned::default());
    for (id, stays) in [(0, true), (1, true), (2, false), (3, false), (4, false), (5, true)] {
        assert_eq!(store.finding(FindingId::new(id)).await.unwrap().is_some(), stays, "{id}");
        assert_eq!(store.triage(FindingId::new(id)).await.unwrap().is_some(), stays, "{id}");
    }
    let any = leadsman_domain::FindingQuery { limit: 9, text: Some("secrets".into()), ..Default::default() };
    assert_eq!(store.findings(any).await.unwrap().total, 3, "their words are gone as well");
    // What is derived again after all starts anew.
    store.commit(batch(epoch, 1, 2, vec![finding(2, 1, 50)])).await.unwrap();
    assert_eq!(store.triage(FindingId::new(2)).await.unwrap(), Some(Triage::default()));
}

/// Old telemetry that is read today is not old.
pub(crate) async fn retention_counts_from_the_last_change(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let commit = |from: u64, id: u128, rev: u64| {
        let mut commit = batch(epoch, from, from + 1, vec![finding(id, rev, 50)]);
        commit.sinks.clear();
        commit.dead_letters = vec![dead_letter(from, 0, "x")];
        store.commit(commit)
    };
    commit(0, 1, 1).await.unwrap();
    commit(1, 2, 1).await.unwrap();
    commit(2, 4, 1).await.unwrap();
    let middle = later().await;
    commit(3, 2, 2).await.unwrap();
    commit(4, 3, 1).await.unwrap();
    let resolved = Triage { status: TriageStatus::Resolved, ..in_progress() };
    store.set_triage(FindingId::new(4), resolved).await.unwrap();
    assert_eq!(store.prune(middle, middle, 100).await.unwrap(), Pruned { findings: 1, dead_letters: 3 });
    assert_eq!(store.finding(FindingId::new(1)).await.unwrap(), None);
    assert_eq!(store.stats().await.unwrap().findings, 3);
}

/// Retention deletes what is old while people decide about it: a decision that was taken keeps its finding.
pub(crate) async fn nothing_ages_away_under_a_decision(store: impl Store + Clone + 'static) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    for round in 0..20 {
        let ids = round * 10..round * 10 + 10;
        let mut commit =
            batch(epoch, round as u64, round as u64 + 1, ids.clone().map(|id| finding(id, 1, 50)).collect());
        commit.sinks.clear();
        store.commit(commit).await.unwrap();
        let people: Vec<_> = ids
            .map(|id| {
                let store = store.clone();
                tokio::spawn(async move {
                    match store.set_triage(FindingId::new(id), in_progress()).await {
                        Ok(_) => true,
                        Err(TriageError::Missing(_)) => false,
                        Err(other) => panic!("{other}"),
                    }
                })
            })
            .collect();
        store.prune(EVER, NEVER, 100).await.unwrap();
        let mut decided = 0;
        for person in people {
            decided += usize::from(person.await.unwrap());
        }
        let stays = store.stats().await.unwrap().findings;
        store.prune(EVER, NEVER, 100).await.unwrap();
        let open = store.stats().await.unwrap().findings;
        assert!(open <= stays && open >= decided as u64, "{decided} decisions, {open} findings");
    }
}

/// A time between what was stored before and what is stored after, by the clock that server and test share.
#[expect(clippy::disallowed_methods, reason = "the store reads the same clock")]
async fn later() -> Timestamp {
    let now = || {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Timestamp::from_micros(since.as_micros() as i64)
    };
    let start = now();
    while now().as_micros() < start.as_micros() + 4_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Timestamp::from_micros(start.as_micros() + 2_000)
}
