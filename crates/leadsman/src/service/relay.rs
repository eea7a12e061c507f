//! Publishes findings from the outbox: at least once, always with the same id and revision.

use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{FindingSink, OutboxItem, Store, StoreError, Timestamp};
use leadsman_store::AnyStore;
use leadsman_store::failpoint::reach;

use super::Service;
use super::events::PublishError;
use super::metrics::Metrics;
use crate::clock;

/// Findings published at a time.
const BATCH: usize = 200;
/// Looks into the outbox at least this often.
const PERIOD: Duration = Duration::from_secs(2);
/// How long other relays leave what this one has taken alone. What a killed relay had taken waits so long.
const LEASE: Duration = Duration::from_secs(5);

/// Relays until the service ends.
///
/// Errors: when the store cannot be read for good.
pub async fn run(service: Service, name: String, mut sink: impl FindingSink) -> Result<()> {
    loop {
        let (items, until) = match lease(&service, &name).await {
            Ok(leased) => leased,
            Err(error) if error.kind().is_retryable() => {
                PublishError { sink: &name, error: &error }.emit(&service.metrics);
                tokio::time::sleep(PERIOD).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if items.is_empty() {
            // A timeout is as good as a ring: both mean "look again".
            drop(tokio::time::timeout(PERIOD, service.outbox.notified()).await);
            continue;
        }
        reach("outbox-read");
        let (store, metrics) = (&service.store, &service.metrics);
        let mut held = Held { store, metrics, sink: &name, items: &items, lease: LEASE, until };
        match held.during(sink.publish(&items)).await {
            Ok(()) => {
                reach("outbox-published");
                service.metrics.published.inc_by(items.len() as u64);
                // Without the acknowledgement they are published again, with the same id and revision.
                if let Err(error) = service.store.ack_outbox(&items).await {
                    PublishError { sink: &name, error: &error }.emit(&service.metrics);
                    tokio::time::sleep(PERIOD).await;
                }
                reach("outbox-acknowledged");
            }
            Err(error) => {
                PublishError { sink: &name, error: &error }.emit(&service.metrics);
                // Another relay may reach the sink; and this one need not wait for its own lease to end.
                held.hold(Timestamp::default()).await;
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}

/// Items that others leave alone.
struct Held<'a> {
    store: &'a AnyStore,
    metrics: &'a Metrics,
    sink: &'a str,
    items: &'a [OutboxItem],
    /// For how long at a time.
    lease: Duration,
    /// Until when.
    until: Timestamp,
}

impl Held<'_> {
    /// Holds them for as long as `work` takes: brokers may keep a publication waiting for minutes.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            let renewed = async {
                tokio::time::sleep(self.lease / 2).await;
                self.hold(clock::now().plus(self.lease)).await;
            };
            tokio::select! {
                done = &mut work => return done,
                () = renewed => {}
            }
        }
    }

    /// Holds them until `to` instead. When that fails, another relay may publish the same, too.
    async fn hold(&mut self, to: Timestamp) {
        match self.store.hold_outbox(self.items, self.until, to).await {
            Ok(()) => self.until = to,
            Err(error) => PublishError { sink: self.sink, error: &error }.emit(self.metrics),
        }
    }
}

async fn lease(service: &Service, sink: &str) -> Result<(Vec<OutboxItem>, Timestamp), StoreError> {
    let now = clock::now();
    let until = now.plus(LEASE);
    Ok((service.store.lease_outbox(sink, BATCH, now, until).await?, until))
}

#[cfg(test)]
mod tests {
    use leadsman_detect::rules::RuleSet;
    use leadsman_domain::{Commit, SourceId, Span};
    use leadsman_engine::{Engine, EngineSettings, Gap, Polarity, Unit};
    use leadsman_store::StoreSettings;

    use super::*;
    use crate::model;

    /// A publication that takes longer than a lease: no other relay gets its items before it has ended.
    #[tokio::test]
    async fn what_is_being_published_stays_with_its_relay() {
        let model = model::demo().unwrap();
        let settings = EngineSettings {
            cluster: "prod".to_owned(),
            budget_per_day: 1.0,
            polarity: Polarity::Normal,
            rules: RuleSet::shipped().unwrap(),
        };
        let engine = Engine::new(model.fitted.clone(), model.reference(), settings);
        let gap = Gap {
            log: "t",
            unit: Unit::Records,
            from: 1,
            to: 2,
            since: Timestamp::default(),
            noticed: Timestamp::default(),
        };
        let directory = tempfile::tempdir().unwrap();
        let store = AnyStore::open(&StoreSettings::Sqlite(directory.path().join("leadsman.db"))).await.unwrap();
        let source = SourceId::new("t");
        let epoch = store.claim(&source, 0).await.unwrap().epoch;
        let commit = Commit {
            span: Span { source, partition: 0, from: 0, to: 2 },
            epoch,
            findings: vec![engine.gap(&gap)],
            dead_letters: Vec::new(),
            snapshot: None,
            roll_to: None,
            source_tag: None,
            sinks: vec!["kafka:f".to_owned()],
        };
        store.commit(commit).await.unwrap();
        let lease = Duration::from_millis(1_500);
        let take = || async {
            let now = clock::now();
            (store.lease_outbox("kafka:f", 9, now, now.plus(lease)).await.unwrap(), now.plus(lease))
        };
        let (items, until) = take().await;
        assert_eq!(items.len(), 1);
        let metrics = Metrics::default();
        let mut held = Held { store: &store, metrics: &metrics, sink: "kafka:f", items: &items, lease, until };
        let others = held.during(async {
            tokio::time::sleep(2 * lease).await;
            take().await.0
        });
        assert_eq!(others.await, [], "another relay took what was being published");
        held.hold(Timestamp::default()).await;
        assert_eq!(take().await.0, items, "what is given back is free");
    }
}
