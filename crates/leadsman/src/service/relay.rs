//! Publishes findings from the outbox: at least once, always with the same id and revision.

use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{FindingSink, OutboxItem, Store, StoreError, Timestamp};
use leadsman_store::failpoint::reach;

use super::Service;
use super::events::PublishError;
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
        match sink.publish(&items).await {
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
                if let Err(error) = service.store.release_outbox(&items, until).await {
                    PublishError { sink: &name, error: &error }.emit(&service.metrics);
                }
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}

async fn lease(service: &Service, sink: &str) -> Result<(Vec<OutboxItem>, Timestamp), StoreError> {
    let now = clock::now();
    let until = now.plus(LEASE);
    Ok((service.store.lease_outbox(sink, BATCH, now, until).await?, until))
}
