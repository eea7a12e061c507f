//! Rows as both engines store them: everything is checked before a transaction begins.

use std::collections::BTreeSet;

use leadsman_domain::{
    Checkpoint, Commit, DeadLetter, Finding, OutboxItem, Reject, SourceId, Span, StoreError, Triage, TriageStatus,
};

use crate::convert::{finding_to_json, from_db, reject_reason, severity_rank, to_db};
use crate::words;

/// How a commit moves its checkpoint.
pub(crate) struct Step {
    pub(crate) from: i64,
    pub(crate) to: i64,
    pub(crate) state_offset: Option<i64>,
    pub(crate) roll_to: Option<i64>,
}

impl Step {
    /// Errors: `Fenced` for a span that runs backwards, and for a state from beyond what is stored: it would hide what
    /// lies between for ever.
    pub(crate) fn of(commit: &Commit) -> Result<Self, StoreError> {
        let span = &commit.span;
        if span.to < span.from || commit.snapshot.as_ref().is_some_and(|s| s.at > span.to) {
            return Err(fenced(span));
        }
        let offset = |at: u64| to_db(at, "offset");
        Ok(Self {
            from: offset(span.from)?,
            to: offset(span.to)?,
            state_offset: commit.snapshot.as_ref().map(|s| offset(s.at)).transpose()?,
            roll_to: commit.roll_to.map(offset).transpose()?,
        })
    }
}

pub(crate) fn fenced(span: &Span) -> StoreError {
    StoreError::Fenced { partition: format!("{}/{}", span.source, span.partition) }
}

/// A row of checkpoints without its key.
pub(crate) struct CheckpointRow {
    pub(crate) epoch: i64,
    pub(crate) next_offset: i64,
    pub(crate) state_offset: i64,
    pub(crate) roll_to: Option<i64>,
    pub(crate) source_tag: Option<String>,
}

impl CheckpointRow {
    pub(crate) fn into_checkpoint(
        self,
        source: SourceId,
        partition: i32,
        snapshot: Option<Vec<u8>>,
    ) -> Result<Checkpoint, StoreError> {
        Ok(Checkpoint {
            source,
            partition,
            epoch: self.epoch,
            next_offset: from_db(self.next_offset, "next_offset")?,
            state_offset: from_db(self.state_offset, "state_offset")?,
            snapshot,
            roll_to: self.roll_to.map(|at| from_db(at, "roll_to")).transpose()?,
            source_tag: self.source_tag,
        })
    }
}

/// A finding with what is searched in columns of its own.
pub(crate) struct FindingRow<'a> {
    pub(crate) id: String,
    pub(crate) rev: i64,
    pub(crate) entity: &'a str,
    pub(crate) severity: i64,
    pub(crate) score: i64,
    pub(crate) first_seen: i64,
    pub(crate) last_seen: i64,
    pub(crate) body: String,
    pub(crate) cluster: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) incident: String,
    /// Ids, and those that they are parts of, separated by spaces.
    pub(crate) techniques: String,
    /// Words, separated by spaces.
    pub(crate) words: String,
}

impl<'a> FindingRow<'a> {
    pub(crate) fn all(findings: &'a [Finding]) -> Result<Vec<Self>, StoreError> {
        findings.iter().map(Self::of).collect()
    }

    pub(crate) fn of(finding: &'a Finding) -> Result<Self, StoreError> {
        Ok(Self {
            id: finding.id.to_string(),
            rev: to_db(finding.rev, "rev")?,
            entity: &finding.entity.id,
            severity: severity_rank(finding.severity),
            score: finding.score.into(),
            first_seen: finding.first_seen.as_micros(),
            last_seen: finding.last_seen.as_micros(),
            body: finding_to_json(finding)?,
            cluster: &finding.cluster,
            kind: finding.kind.as_str(),
            incident: finding.incident_id.to_string(),
            techniques: techniques(finding),
            words: words::of_finding(finding),
        })
    }
}

fn techniques(finding: &Finding) -> String {
    let whole = |id: &str| id.split_once('.').map(|(whole, _)| whole.to_owned());
    let ids = finding.techniques.iter().map(|technique| &technique.id).filter(|id| !id.contains(char::is_whitespace));
    let ids: BTreeSet<String> = ids.flat_map(|id| [Some(id.clone()), whole(id)]).flatten().collect();
    ids.into_iter().collect::<Vec<_>>().join(" ")
}

/// A row of triage; all are absent where nobody has set anything.
pub(crate) struct TriageRow {
    pub(crate) version: Option<i64>,
    pub(crate) status: Option<String>,
    pub(crate) assignee: Option<String>,
    pub(crate) note: Option<String>,
}

impl TriageRow {
    pub(crate) fn into_triage(self) -> Result<Triage, StoreError> {
        let (Some(version), Some(status)) = (self.version, self.status) else { return Ok(Triage::default()) };
        let known = TriageStatus::named(&status);
        Ok(Triage {
            version: from_db(version, "version of triage")?,
            status: known
                .ok_or_else(|| StoreError::Corrupt(format!("status {status:?} of triage: restore a backup")))?,
            assignee: self.assignee,
            note: self.note.unwrap_or_default(),
        })
    }
}

/// What identifies a row of the outbox.
pub(crate) struct OutboxKey {
    pub(crate) id: String,
    pub(crate) rev: i64,
    pub(crate) sink: String,
}

impl OutboxKey {
    pub(crate) fn all(items: &[OutboxItem]) -> Result<Vec<Self>, StoreError> {
        items
            .iter()
            .map(|item| Ok(Self { id: item.id.to_string(), rev: to_db(item.rev, "rev")?, sink: item.sink.clone() }))
            .collect()
    }
}

pub(crate) fn outbox_item(
    id: &str,
    rev: i64,
    sink: &str,
    key: String,
    body: Vec<u8>,
) -> Result<OutboxItem, StoreError> {
    Ok(OutboxItem {
        id: id.parse().map_err(|error| StoreError::Corrupt(format!("outbox item {id:?}: {error}")))?,
        rev: from_db(rev, "rev")?,
        sink: sink.to_owned(),
        key,
        body,
    })
}

/// A dead letter's numbers and texts.
pub(crate) struct DeadLetterRow {
    pub(crate) source: String,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) item: i64,
    pub(crate) line: i64,
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) payload: Vec<u8>,
}

impl DeadLetterRow {
    pub(crate) fn all(letters: &[DeadLetter]) -> Result<Vec<Self>, StoreError> {
        letters.iter().map(Self::of).collect()
    }

    fn of(letter: &DeadLetter) -> Result<Self, StoreError> {
        let reject = &letter.reject;
        Ok(Self {
            source: letter.source.as_str().to_owned(),
            partition: letter.partition,
            offset: to_db(letter.offset, "offset")?,
            item: to_db(reject.item, "item")?,
            line: to_db(reject.line, "line")?,
            reason: reject.reason.as_str().to_owned(),
            detail: reject.detail.clone(),
            payload: reject.payload.clone(),
        })
    }

    pub(crate) fn into_letter(self) -> Result<DeadLetter, StoreError> {
        Ok(DeadLetter {
            source: SourceId::new(self.source),
            partition: self.partition,
            offset: from_db(self.offset, "offset")?,
            reject: Reject {
                item: from_db(self.item, "item")?,
                line: from_db(self.line, "line")?,
                reason: reject_reason(&self.reason)?,
                detail: self.detail,
                payload: self.payload,
            },
        })
    }
}
