//! Publishes findings from the outbox: at least once, always with the same id and revision.

use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{FindingSink, Store};
use leadsman_store::failpoint::reach;

use super::Service;
use super::events::PublishError;

/// Findings published at a time.
const BATCH: usize = 200;
/// Looks into the outbox at least this often.
const PERIOD: Duration = Duration::from_secs(2);

/// Relays until the service ends.
///
/// Errors: when the store cannot be read for good.
pub async fn run(service: Service, name: String, mut sink: impl FindingSink) -> Result<()> {
    loop {
        let items = match service.store.pending_outbox(&name, BATCH).await {
            Ok(items) => items,
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
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}
