//! Deletes what the configuration no longer keeps.

use std::time::Duration;

use anyhow::Result;
use leadsman_domain::{Pruned, Store, StoreError, Timestamp};
use tokio::sync::watch;

use super::Service;
use super::events::{OldRowsDeleted, RetentionError};
use crate::clock;

/// How long things stay, counted from their last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Findings.
    pub findings: Duration,
    /// Dead letters.
    pub dead_letters: Duration,
}

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(3_600);
/// Rows deleted in one transaction: commits wait for no longer.
const STEP: usize = 500;

/// Looks once an hour until the service ends. What cannot be deleted now is deleted an hour later.
///
/// Errors: none so far; the signature is that of the service's parts.
pub async fn run(service: Service, policy: RetentionPolicy, mut stop: watch::Receiver<bool>) -> Result<()> {
    loop {
        let looked = tokio::select! {
            looked = sweep(&service.store, policy, clock::now()) => looked,
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        };
        match looked {
            Ok(deleted) => OldRowsDeleted { deleted }.emit(&service.metrics),
            Err(error) => RetentionError { error: &error }.emit(),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// Deletes all that is too old, in small transactions between which others get their turn.
async fn sweep(store: &impl Store, policy: RetentionPolicy, now: Timestamp) -> Result<Pruned, StoreError> {
    let (findings, dead_letters) = (now.minus(policy.findings), now.minus(policy.dead_letters));
    let mut deleted = Pruned::default();
    loop {
        let step = store.prune(findings, dead_letters, STEP).await?;
        deleted.findings += step.findings;
        deleted.dead_letters += step.dead_letters;
        if step.findings < STEP as u64 && step.dead_letters < STEP as u64 {
            return Ok(deleted);
        }
    }
}

#[cfg(test)]
mod tests {
    use leadsman_domain::{Commit, DeadLetter, Reject, RejectReason, SourceId, Span};
    use leadsman_store::SqliteStore;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test]
    async fn what_is_too_old_goes_in_steps_and_the_rest_stays() {
        const LETTERS: u64 = 2 * STEP as u64 + 7;
        let store = SqliteStore::in_memory().unwrap();
        let source = SourceId::new("inbox");
        let epoch = store.claim(&source, 0).await.unwrap().epoch;
        let letter = |offset| DeadLetter {
            source: source.clone(),
            partition: 0,
            offset,
            reject: Reject {
                item: 0,
                line: 1,
                reason: RejectReason::MalformedJson,
                detail: "x".into(),
                payload: Vec::new(),
            },
        };
        let commit = Commit {
            span: Span { source: source.clone(), partition: 0, from: 0, to: LETTERS },
            epoch,
            findings: Vec::new(),
            dead_letters: (0..LETTERS).map(letter).collect(),
            snapshot: None,
            roll_to: None,
            source_tag: None,
            sinks: Vec::new(),
        };
        store.commit(commit).await.unwrap();
        let policy = RetentionPolicy { findings: DAY, dead_letters: DAY };
        let now = clock::now();
        assert_eq!(sweep(&store, policy, now).await.unwrap(), Pruned::default(), "all of it is new");
        let deleted = sweep(&store, policy, now.plus(2 * DAY)).await.unwrap();
        assert_eq!(deleted, Pruned { findings: 0, dead_letters: LETTERS });
        assert_eq!(store.stats().await.unwrap().dead_letters, 0);
    }
}
