//! What every [`Store`] must do, as functions over any of them; an implementation's tests run them all: SQLite's beside
//! it, PostgreSQL's in `tests/postgres`, where they can be skipped.
//!
//! The names of the guards that each test defends stand beside the guards.

mod care;
mod outbox;
mod search;

use std::collections::BTreeSet;

pub(crate) use care::*;
use leadsman_domain::{
    Commit, DeadLetter, DeadLetterKey, Entity, EntityType, EvidenceRef, Explanation, Finding, FindingId, FindingKind,
    FindingQuery, IncidentId, ModelRef, Rarity, Reject, RejectReason, Severity, Snapshot, SourceId, Span, Store,
    StoreError, StoreStats, Timestamp, WindowRef,
};
pub(crate) use outbox::*;
pub(crate) use search::*;

/// Hands the names of all checks to another macro, behind its own arguments.
macro_rules! checks {
    ($then:ident, $($argument:tt)*) => {
        $then! {
            $($argument)*;
            refuses_gaps_and_overlaps, fences_the_older_of_two_owners, a_fenced_commit_leaves_no_row,
            upserts_are_idempotent, stale_revisions_change_nothing, cursors_list_all_once, filters_apply,
            a_sink_acknowledges_its_own, dead_letters_are_unique, dead_letters_are_deleted_by_key, snapshots_round_trip,
            an_unclaimed_partition_takes_no_commit, impossible_values_are_refused,
            rolls_of_the_lake_survive_their_owner, a_state_from_the_future_is_refused,
            a_shared_secret_is_chosen_once, another_number_of_partitions_is_refused, partitions_commit_side_by_side, a_race_of_owners_loses_nothing,
            numbers_become_visible_in_their_order, hostile_text_is_stored_and_found,
            leases_keep_other_relays_away_until_they_end, what_is_given_back_is_free_at_once,
            what_is_held_on_stays_with_its_relay,
            relays_share_the_outbox, words_are_found, hostile_searches_find_nothing_and_fail_nothing,
            more_filters_apply, triage_survives_replay, triage_is_compared_before_it_is_set,
            retention_spares_what_is_not_done, retention_counts_from_the_last_change,
            nothing_ages_away_under_a_decision
        }
    };
}
pub(crate) use checks;

pub(crate) fn source() -> SourceId {
    SourceId::new("kafka:audit")
}

pub(crate) fn finding(id: u128, rev: u64, score: u8) -> Finding {
    let seen = Timestamp::from_micros(1_700_000_000_000_000 + (id as i64) * 1_000_000);
    Finding {
        id: FindingId::new(id),
        rev,
        incident_id: IncidentId::new(id),
        cluster: "demo".into(),
        kind: FindingKind::SecretsAccess,
        entity: Entity { kind: EntityType::Actor, id: format!("user-{}", id % 2), class: None },
        title: "it read \"secrets\" ✓".into(),
        score,
        severity: Severity::of(score),
        rarity: Rarity { p: 0.1 + 0.2, per_day: 3e-7, calibration_n: 9, stratum: "all".into(), extrapolated: false },
        explanation: Explanation { sentence: "why".into(), contributions: Vec::new(), counterfactual: None },
        techniques: Vec::new(),
        model: ModelRef { name: "demo".into(), version: 1, digest: "00".into() },
        evidence: EvidenceRef { event_ids: Vec::new(), total: rev },
        window: WindowRef { from: seen, to: seen },
        first_seen: seen,
        last_seen: seen,
        detected_at: seen,
        limits: Vec::new(),
        links: Vec::new(),
        rules: Vec::new(),
    }
}

pub(crate) fn batch(epoch: i64, from: u64, to: u64, findings: Vec<Finding>) -> Commit {
    Commit {
        span: Span { source: source(), partition: 0, from, to },
        epoch,
        findings,
        dead_letters: Vec::new(),
        snapshot: None,
        roll_to: None,
        source_tag: None,
        sinks: vec!["kafka".into()],
    }
}

pub(crate) fn dead_letter(offset: u64, item: u64, detail: &str) -> DeadLetter {
    let reason = RejectReason::MalformedJson;
    let reject = Reject { item, line: item + 1, reason, detail: detail.into(), payload: vec![0, 255] };
    DeadLetter { source: source(), partition: 0, offset, reject }
}

fn is_fenced(result: &Result<(), StoreError>) -> bool {
    matches!(result, Err(StoreError::Fenced { .. }))
}

pub(crate) async fn refuses_gaps_and_overlaps(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 10, vec![])).await.unwrap();
    for (from, to) in [(0, 10), (9, 20), (11, 20), (10, 9)] {
        assert!(is_fenced(&store.commit(batch(epoch, from, to, vec![])).await), "{from}..{to}");
    }
    store.commit(batch(epoch, 10, 10, vec![])).await.unwrap();
    store.commit(batch(epoch, 10, 11, vec![])).await.unwrap();
    assert_eq!(store.claim(&source(), 0).await.unwrap().next_offset, 11);
}

pub(crate) async fn fences_the_older_of_two_owners(store: impl Store) {
    let old = store.claim(&source(), 0).await.unwrap();
    let new = store.claim(&source(), 0).await.unwrap();
    assert!(new.epoch > old.epoch);
    // Both are at the same offset: nothing but the epoch tells them apart.
    assert!(is_fenced(&store.commit(batch(old.epoch, 0, 5, vec![])).await));
    store.commit(batch(new.epoch, 0, 5, vec![])).await.unwrap();
    assert!(is_fenced(&store.commit(batch(old.epoch, 5, 9, vec![])).await));
    assert!(is_fenced(&store.commit(batch(new.epoch + 1, 5, 9, vec![])).await), "an epoch nobody was given");
}

pub(crate) async fn a_fenced_commit_leaves_no_row(store: impl Store) {
    let old = store.claim(&source(), 0).await.unwrap().epoch;
    let new = store.claim(&source(), 0).await.unwrap().epoch;
    let mut zombie = batch(old, 0, 5, vec![finding(1, 1, 90)]);
    zombie.dead_letters = vec![dead_letter(1, 0, "x")];
    zombie.snapshot = Some(Snapshot { at: 5, body: vec![1] });
    zombie.roll_to = Some(5);
    zombie.source_tag = Some("zombie".into());
    assert!(is_fenced(&store.commit(zombie).await));

    assert_eq!(store.stats().await.unwrap(), StoreStats::default());
    let now = store.claim(&source(), 0).await.unwrap();
    assert_eq!((now.epoch, now.next_offset, now.state_offset), (new + 1, 0, 0));
    assert_eq!((now.snapshot, now.roll_to, now.source_tag), (None, None, None));
}

pub(crate) async fn upserts_are_idempotent(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 3, 50)])).await.unwrap();
    let (first, _) = store.finding(FindingId::new(1)).await.unwrap().unwrap();
    store.commit(batch(epoch, 1, 2, vec![finding(1, 3, 50)])).await.unwrap();
    assert_eq!(store.finding(FindingId::new(1)).await.unwrap().unwrap(), (first, finding(1, 3, 50)));
    assert_eq!(store.stats().await.unwrap(), StoreStats { findings: 1, dead_letters: 0, outbox: 1 });

    store.commit(batch(epoch, 2, 3, vec![finding(1, 4, 80)])).await.unwrap();
    let (second, stored) = store.finding(FindingId::new(1)).await.unwrap().unwrap();
    assert!(second > first);
    assert_eq!(stored, finding(1, 4, 80));
    assert_eq!(store.stats().await.unwrap(), StoreStats { findings: 1, dead_letters: 0, outbox: 2 });
}

pub(crate) async fn stale_revisions_change_nothing(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 5, 80)])).await.unwrap();
    let before = store.finding(FindingId::new(1)).await.unwrap();
    // Same revision with another content, and an older one.
    store.commit(batch(epoch, 1, 2, vec![finding(1, 5, 10), finding(1, 4, 10)])).await.unwrap();
    assert_eq!(store.finding(FindingId::new(1)).await.unwrap(), before);
    assert_eq!(store.stats().await.unwrap().outbox, 1);
    assert_eq!(store.finding(FindingId::new(2)).await.unwrap(), None);
}

pub(crate) async fn cursors_list_all_once(store: impl Store) {
    const N: u128 = 7;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, (0..N).map(|id| finding(id, 1, 50)).collect())).await.unwrap();
    store.commit(batch(epoch, 1, 2, vec![finding(2, 2, 60)])).await.unwrap();
    for limit in 1..=(N as usize + 1) {
        let (mut seqs, mut ids, mut before) = (Vec::new(), BTreeSet::new(), None);
        loop {
            let page = store.findings(FindingQuery { limit, before, ..FindingQuery::default() }).await.unwrap();
            assert_eq!(page.total, N as u64, "the cursor does not change the total");
            assert!(page.items.len() <= limit && !page.items.is_empty());
            seqs.extend(page.items.iter().map(|(seq, _)| *seq));
            ids.extend(page.items.iter().map(|(_, f)| f.id));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!((seqs.len(), ids.len()), (N as usize, N as usize), "limit {limit}");
        assert!(seqs.is_sorted_by(|a, b| a > b), "newest first: {seqs:?}");
    }
    let newest = store.findings(FindingQuery { limit: 1, ..FindingQuery::default() }).await.unwrap();
    assert_eq!(newest.items[0].1.id, FindingId::new(2), "a revision moves to the front");
    let count = store.findings(FindingQuery::default()).await.unwrap();
    assert_eq!((count.items.len(), count.next, count.total), (0, None, N as u64));
}

pub(crate) async fn filters_apply(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let all: Vec<Finding> = (0..10).map(|id| finding(id, 1, (id * 11) as u8)).collect();
    store.commit(batch(epoch, 0, 1, all.clone())).await.unwrap();
    let any = FindingQuery { limit: 100, ..FindingQuery::default() };
    let (from, to) = (all[3].last_seen, all[6].last_seen);
    type Case = (&'static str, FindingQuery, fn(&Finding, Timestamp, Timestamp) -> bool);
    let cases: [Case; 6] = [
        ("severity", FindingQuery { min_severity: Some(Severity::High), ..any.clone() }, |f, _, _| f.score >= 75),
        ("score", FindingQuery { min_score: Some(33), ..any.clone() }, |f, _, _| f.score >= 33),
        ("entity", FindingQuery { entity: Some("user-1".into()), ..any.clone() }, |f, _, _| f.entity.id == "user-1"),
        ("hostile entity", FindingQuery { entity: Some("' OR 1 --".into()), ..any.clone() }, |_, _, _| false),
        ("time", FindingQuery { from: Some(from), to: Some(to), ..any.clone() }, |f, from, to| {
            (from..to).contains(&f.last_seen)
        }),
        (
            "all of them",
            FindingQuery { entity: Some("user-1".into()), from: Some(from), min_score: Some(60), ..any.clone() },
            |f, from, _| f.entity.id == "user-1" && f.last_seen >= from && f.score >= 60,
        ),
    ];
    for (name, query, keep) in cases {
        let page = store.findings(query).await.unwrap();
        let expected: Vec<_> = all.iter().rev().filter(|f| keep(f, from, to)).cloned().collect();
        assert_eq!(page.total, expected.len() as u64, "{name}");
        assert_eq!(page.items.into_iter().map(|(_, f)| f).collect::<Vec<_>>(), expected, "{name}");
    }
}

pub(crate) async fn dead_letters_are_unique(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut commit = batch(epoch, 0, 5, vec![]);
    commit.dead_letters = vec![dead_letter(1, 0, "a"), dead_letter(1, 1, "b"), dead_letter(1, 0, "again")];
    store.commit(commit).await.unwrap();
    let mut commit = batch(epoch, 5, 6, vec![]);
    commit.dead_letters = vec![dead_letter(1, 1, "again"), dead_letter(5, 0, "c")];
    store.commit(commit).await.unwrap();
    let expected = [dead_letter(5, 0, "c"), dead_letter(1, 1, "b"), dead_letter(1, 0, "a")];
    assert_eq!(store.dead_letters(10, None).await.unwrap(), expected);
    assert_eq!(store.dead_letters(1, None).await.unwrap(), expected[..1]);
    // What is asked for by its reason is found behind whatever came since.
    let mut rare = dead_letter(0, 0, "d");
    rare.reject.reason = RejectReason::TooDeep;
    let mut commit = batch(epoch, 6, 9, vec![]);
    commit.dead_letters = vec![rare.clone(), dead_letter(7, 0, "e"), dead_letter(8, 0, "f")];
    store.commit(commit).await.unwrap();
    assert_eq!(store.dead_letters(1, Some(RejectReason::TooDeep)).await.unwrap(), [rare]);
    assert_eq!(store.dead_letters(9, Some(RejectReason::TooNested)).await.unwrap(), []);
    assert_eq!(store.stats().await.unwrap().dead_letters, 6);
}

pub(crate) async fn dead_letters_are_deleted_by_key(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let letters = [dead_letter(1, 0, "a"), dead_letter(1, 1, "b"), dead_letter(2, 0, "c")];
    let mut commit = batch(epoch, 0, 5, vec![]);
    commit.dead_letters = letters.to_vec();
    store.commit(commit).await.unwrap();
    let mut elsewhere = letters[0].key();
    elsewhere.partition = 1;
    let other_source = DeadLetterKey { source: SourceId::new("kafka:other"), ..letters[0].key() };
    let other_item = DeadLetterKey { item: 7, ..letters[0].key() };
    assert_eq!(store.delete_dead_letters(&[elsewhere, other_source, other_item]).await.unwrap(), 0);
    let keys = [letters[1].key(), letters[1].key(), letters[2].key()];
    assert_eq!(store.delete_dead_letters(&keys).await.unwrap(), 2, "named twice, deleted once");
    assert_eq!(store.delete_dead_letters(&keys).await.unwrap(), 0);
    assert_eq!(store.dead_letters(9, None).await.unwrap(), letters[..1]);
    assert_eq!(store.delete_dead_letters(&[]).await.unwrap(), 0);
}

pub(crate) async fn snapshots_round_trip(store: impl Store) {
    let fresh = store.claim(&source(), 0).await.unwrap();
    assert_eq!((fresh.next_offset, fresh.state_offset, &fresh.snapshot), (0, 0, &None));
    let mut next = 0;
    for body in [vec![7; 100_000], vec![], vec![1]] {
        let mut commit = batch(fresh.epoch, next, next + 10, vec![]);
        commit.snapshot = Some(Snapshot { at: next + 10, body: body.clone() });
        commit.source_tag = Some(format!("inode {next}"));
        store.commit(commit).await.unwrap();
        store.commit(batch(fresh.epoch, next + 10, next + 20, vec![])).await.unwrap();
        next += 20;
    }
    let back = store.claim(&source(), 0).await.unwrap();
    // A commit without snapshot or tag leaves both: state stands behind the checkpoint, and is replayed.
    assert_eq!((back.next_offset, back.state_offset), (60, 50));
    assert_eq!((back.snapshot, back.source_tag), (Some(vec![1]), Some("inode 40".into())));
    assert_eq!(store.claim(&source(), 1).await.unwrap().next_offset, 0, "another partition is another row");
}

/// What an owner decided before it was killed is what its successor writes.
pub(crate) async fn rolls_of_the_lake_survive_their_owner(store: impl Store) {
    let first = store.claim(&source(), 0).await.unwrap();
    let mut decided = batch(first.epoch, 0, 10, vec![]);
    decided.roll_to = Some(10);
    store.commit(decided).await.unwrap();
    store.commit(batch(first.epoch, 10, 25, vec![])).await.unwrap();

    let second = store.claim(&source(), 0).await.unwrap();
    assert_eq!((second.next_offset, second.state_offset, second.roll_to), (25, 0, Some(10)));
    // The file is written: the state at its end is stored, behind what was committed since.
    let mut rolled = batch(second.epoch, 25, 25, vec![]);
    rolled.snapshot = Some(Snapshot { at: 10, body: vec![1] });
    store.commit(rolled).await.unwrap();
    let third = store.claim(&source(), 0).await.unwrap();
    assert_eq!((third.next_offset, third.state_offset, third.roll_to), (25, 10, None));
    assert_eq!(third.snapshot, Some(vec![1]));
}

pub(crate) async fn a_shared_secret_is_chosen_once(store: impl Store) {
    assert_eq!(store.shared_secret("redaction", "first").await.unwrap(), "first");
    assert_eq!(store.shared_secret("redaction", "second").await.unwrap(), "first");
    assert_eq!(store.shared_secret("other", "second").await.unwrap(), "second");
}

pub(crate) async fn a_state_from_the_future_is_refused(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut ahead = batch(epoch, 0, 5, vec![]);
    ahead.snapshot = Some(Snapshot { at: 6, body: vec![1] });
    assert!(is_fenced(&store.commit(ahead).await));
    assert_eq!(store.claim(&source(), 0).await.unwrap().next_offset, 0);
}

pub(crate) async fn another_number_of_partitions_is_refused(store: impl Store) {
    store.bind_source(&source(), 3, false).await.unwrap();
    store.bind_source(&source(), 3, false).await.unwrap();
    let refused = store.bind_source(&source(), 4, false).await.unwrap_err();
    assert!(matches!(refused, StoreError::Repartitioned { found: 4, stored: 3, .. }), "{refused}");
    store.bind_source(&source(), 3, false).await.unwrap();
    store.bind_source(&source(), 4, true).await.unwrap();
    assert!(store.bind_source(&source(), 3, false).await.is_err(), "what was accepted is what counts");
    store.bind_source(&SourceId::new("kafka:other"), 1, false).await.unwrap();
}

pub(crate) async fn an_unclaimed_partition_takes_no_commit(store: impl Store) {
    for epoch in [0, 1] {
        assert!(is_fenced(&store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await));
    }
    assert_eq!(store.stats().await.unwrap(), StoreStats::default());
}

pub(crate) async fn impossible_values_are_refused(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut nan = finding(1, 1, 50);
    nan.rarity.p = f64::NAN;
    let mut letter = batch(epoch, 0, 1, vec![finding(3, 1, 50)]);
    letter.dead_letters = vec![dead_letter(u64::MAX, 0, "far")];
    let broken = [batch(epoch, 0, u64::MAX, vec![]), batch(epoch, 0, 1, vec![nan, finding(2, u64::MAX, 50)]), letter];
    for commit in broken {
        assert!(matches!(store.commit(commit).await, Err(StoreError::Corrupt(_))));
    }
    assert_eq!(store.stats().await.unwrap(), StoreStats::default());
    assert_eq!(store.claim(&source(), 0).await.unwrap().next_offset, 0);
}

pub(crate) async fn partitions_commit_side_by_side(store: impl Store + Clone + 'static) {
    const BATCHES: u64 = 20;
    let tasks: Vec<_> = (0..3)
        .map(|partition| {
            let store = store.clone();
            tokio::spawn(async move {
                let epoch = store.claim(&source(), partition).await.unwrap().epoch;
                for n in 0..BATCHES {
                    let id = u128::from(n) * 10 + partition as u128;
                    let mut commit = batch(epoch, n, n + 1, vec![finding(id, 1, 50)]);
                    commit.span.partition = partition;
                    store.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let page = store.findings(FindingQuery { limit: 100, ..FindingQuery::default() }).await.unwrap();
    assert_eq!((page.items.len() as u64, page.total), (3 * BATCHES, 3 * BATCHES));
    let seqs: BTreeSet<i64> = page.items.iter().map(|(seq, _)| *seq).collect();
    assert_eq!(seqs.into_iter().collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>());
}

/// Owners that take the partition from each other: every offset is committed by exactly one of them.
pub(crate) async fn a_race_of_owners_loses_nothing(store: impl Store + Clone + 'static) {
    const END: u64 = 60;
    let owners: Vec<_> = (0..3)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut committed = Vec::new();
                loop {
                    let claimed = store.claim(&source(), 0).await.unwrap();
                    let mut next = claimed.next_offset;
                    while next < END {
                        let commit = batch(claimed.epoch, next, next + 1, vec![finding(u128::from(next), 1, 50)]);
                        match store.commit(commit).await {
                            Ok(()) => committed.push(next),
                            Err(StoreError::Fenced { .. }) => break,
                            Err(other) => panic!("{other}"),
                        }
                        next += 1;
                    }
                    if next == END {
                        return committed;
                    }
                }
            })
        })
        .collect();
    let mut committed = Vec::new();
    for owner in owners {
        committed.extend(owner.await.unwrap());
    }
    committed.sort_unstable();
    assert_eq!(committed, (0..END).collect::<Vec<_>>());
    assert_eq!(store.stats().await.unwrap().findings, END);
}

/// A reader that has seen a sequence number has seen, or can see, all below it: a cursor passes over nothing.
pub(crate) async fn numbers_become_visible_in_their_order(store: impl Store + Clone + 'static) {
    const WRITERS: i32 = 4;
    const BATCHES: u64 = 25;
    let writers: Vec<_> = (0..WRITERS)
        .map(|partition| {
            let store = store.clone();
            tokio::spawn(async move {
                let epoch = store.claim(&source(), partition).await.unwrap().epoch;
                for n in 0..BATCHES {
                    let ids = (0..3).map(|i| u128::from(n) * 100 + i * 10 + partition as u128);
                    let mut commit = batch(epoch, n, n + 1, ids.map(|id| finding(id, 1, 50)).collect());
                    commit.span.partition = partition;
                    store.commit(commit).await.unwrap();
                }
            })
        })
        .collect();
    let all = FindingQuery { limit: 1_000, ..FindingQuery::default() };
    let mut seen = 0;
    while seen < 3 * BATCHES as i64 * i64::from(WRITERS) {
        let page = store.findings(all.clone()).await.unwrap();
        let seqs: Vec<i64> = page.items.iter().rev().map(|(seq, _)| *seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>(), "a number was missing below a visible one");
        seen = seqs.len() as i64;
    }
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Clients choose names and bytes; none of them may stop the stream.
pub(crate) async fn hostile_text_is_stored_and_found(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    // Not to be compressed: an index entry has a limit after compression.
    let long: String =
        (0..20_000u32).map(|i| char::from(b'!' + (i.wrapping_mul(2_654_435_761) >> 24) as u8 % 90)).collect();
    let names = ["nul \0 inside".to_owned(), long, "\u{1f980} \u{202e}\u{7f}".to_owned(), String::new()];
    let findings: Vec<Finding> = names
        .iter()
        .enumerate()
        .map(|(id, name)| {
            let mut hostile = finding(id as u128, 1, 50);
            hostile.entity.id.clone_from(name);
            hostile.title.clone_from(name);
            hostile
        })
        .collect();
    let mut commit = batch(epoch, 0, 1, findings.clone());
    commit.dead_letters = vec![dead_letter(0, 0, "nul \0 inside")];
    store.commit(commit).await.unwrap();
    for (name, expected) in names.iter().zip(findings) {
        let query = FindingQuery { limit: 9, entity: Some(name.clone()), ..FindingQuery::default() };
        let page = store.findings(query).await.unwrap();
        assert_eq!(page.items.into_iter().map(|(_, f)| f).collect::<Vec<_>>(), [expected]);
    }
    let keys: BTreeSet<_> = lease(&store, "kafka", 9, 0, 1).await.into_iter().map(|i| i.key).collect();
    assert_eq!(keys, names.into_iter().collect());
    assert_eq!(store.dead_letters(9, None).await.unwrap()[0].reject.payload, [0, 255]);
}
