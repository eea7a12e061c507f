//! The way of findings to their sinks.

use std::collections::BTreeSet;

use leadsman_domain::{Finding, OutboxItem, Store, Timestamp};

use super::{batch, finding, source};

/// Takes items at a time and until another.
pub(crate) async fn lease(store: &impl Store, sink: &str, limit: usize, now: i64, until: i64) -> Vec<OutboxItem> {
    let at = Timestamp::from_micros;
    store.lease_outbox(sink, limit, at(now), at(until)).await.unwrap()
}

fn keys(items: &[OutboxItem]) -> Vec<(u128, u64)> {
    items.iter().map(|item| (item.id.get(), item.rev)).collect()
}

pub(crate) async fn a_sink_acknowledges_its_own(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    let mut commit = batch(epoch, 0, 1, vec![finding(9, 1, 50), finding(1, 1, 50), finding(1, 2, 60)]);
    commit.sinks = vec!["kafka".into(), "webhook".into(), "kafka".into()];
    store.commit(commit).await.unwrap();
    assert_eq!(store.stats().await.unwrap().outbox, 6);

    let first = lease(&store, "kafka", 2, 0, 10).await;
    let order: Vec<_> = first.iter().map(|i| (i.id.get(), i.rev, i.key.as_str())).collect();
    assert_eq!(order, [(9, 1, "user-1"), (1, 1, "user-1")], "oldest first");
    assert_eq!(serde_json::from_slice::<Finding>(&first[0].body).unwrap(), finding(9, 1, 50));

    store.ack_outbox(&first).await.unwrap();
    store.ack_outbox(&first).await.unwrap();
    assert_eq!(keys(&lease(&store, "kafka", 10, 20, 30).await), [(1, 2)]);
    assert_eq!(lease(&store, "webhook", 10, 0, 10).await.len(), 3);
    assert_eq!(lease(&store, "nobody", 10, 0, 10).await, []);
}

pub(crate) async fn leases_keep_other_relays_away_until_they_end(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, (0..3).map(|id| finding(id, 1, 50)).collect())).await.unwrap();
    let first = lease(&store, "kafka", 2, 100, 200).await;
    assert_eq!(keys(&first), [(0, 1), (1, 1)]);
    assert_eq!(keys(&lease(&store, "kafka", 9, 100, 200).await), [(2, 1)], "only what nobody holds");
    assert_eq!(lease(&store, "kafka", 9, 199, 300).await, []);
    // Its holder died: the next relay publishes the same again.
    let again = lease(&store, "kafka", 9, 200, 300).await;
    assert_eq!(again[..2], first);
    assert_eq!(again.len(), 3);
    // A revision that comes later is free.
    store.commit(batch(epoch, 1, 2, vec![finding(0, 2, 50)])).await.unwrap();
    assert_eq!(keys(&lease(&store, "kafka", 9, 201, 300).await), [(0, 2)]);
}

pub(crate) async fn what_is_given_back_is_free_at_once(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let at = Timestamp::from_micros;
    let first = lease(&store, "kafka", 9, 0, 100).await;
    store.hold_outbox(&first, at(100), at(0)).await.unwrap();
    let second = lease(&store, "kafka", 9, 1, 200).await;
    assert_eq!(second, first);
    // Too late: it is held by another by now.
    store.hold_outbox(&first, at(100), at(0)).await.unwrap();
    assert_eq!(lease(&store, "kafka", 9, 2, 300).await, []);
}

pub(crate) async fn what_is_held_on_stays_with_its_relay(store: impl Store) {
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, vec![finding(1, 1, 50)])).await.unwrap();
    let at = Timestamp::from_micros;
    let held = lease(&store, "kafka", 9, 0, 100).await;
    store.hold_outbox(&held, at(100), at(200)).await.unwrap();
    assert_eq!(lease(&store, "kafka", 9, 150, 300).await, []);
    assert_eq!(lease(&store, "kafka", 9, 200, 300).await, held);
    // Too late: it is held by another by now.
    store.hold_outbox(&held, at(200), at(900)).await.unwrap();
    assert_eq!(lease(&store, "kafka", 9, 300, 400).await, held);
}

/// Several relays at once publish each item, and none twice while leases last.
pub(crate) async fn relays_share_the_outbox(store: impl Store + Clone + 'static) {
    const N: u128 = 60;
    let epoch = store.claim(&source(), 0).await.unwrap().epoch;
    store.commit(batch(epoch, 0, 1, (0..N).map(|id| finding(id, 1, 50)).collect())).await.unwrap();
    let relays: Vec<_> = (0..4)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut published = Vec::new();
                while store.stats().await.unwrap().outbox > 0 {
                    let items = lease(&store, "kafka", 7, 0, 100).await;
                    published.extend(keys(&items));
                    store.ack_outbox(&items).await.unwrap();
                }
                published
            })
        })
        .collect();
    let mut all = Vec::new();
    for relay in relays {
        all.extend(relay.await.unwrap());
    }
    assert_eq!(all.len(), N as usize, "one was published twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), N as usize);
}
