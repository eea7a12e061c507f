//! Publishes findings from the outbox: at least once, always with the same id and revision.

use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{FindingSink, Store};

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
        let items = service.store.pending_outbox(&name, BATCH).await?;
        if items.is_empty() {
            // A timeout is as good as a ring: both mean "look again".
            if tokio::time::timeout(PERIOD, service.outbox.notified()).await.is_err() {
                continue;
            }
            continue;
        }
        match sink.publish(&items).await {
            Ok(()) => {
                service.store.ack_outbox(&items).await?;
                service.metrics.published.inc_by(items.len() as u64);
            }
            Err(error) => {
                PublishError { sink: &name, error: &error }.emit(&service.metrics);
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}
