//! Statements that both engines understand.
//!
//! To PostgreSQL `$1` is the first parameter. To SQLite it is a name, and names are numbered as they first appear:
//! so each statement mentions its parameters in their order.

/// Takes ownership: raises the epoch, so that the previous owner's next commit matches no row. In PostgreSQL it
/// waits for a commit of that owner that is under way, and sees its outcome.
pub(crate) const CLAIM: &str = "INSERT INTO partition_ckpt(source, part, epoch, next_offset, state_offset)
     VALUES ($1, $2, 1, 0, 0)
     ON CONFLICT(source, part) DO UPDATE SET epoch = partition_ckpt.epoch + 1
     RETURNING epoch, next_offset, state_offset, roll_to, source_tag";

pub(crate) const READ_SNAPSHOT: &str = "SELECT body FROM partition_snapshot WHERE source = $1 AND part = $2";

pub(crate) const WRITE_SNAPSHOT: &str = "INSERT INTO partition_snapshot(source, part, body) VALUES ($1, $2, $3)
     ON CONFLICT(source, part) DO UPDATE SET body = excluded.body";

pub(crate) const BIND_SOURCE: &str = "INSERT INTO stream_meta(source, partitions) VALUES ($1, $2)
     ON CONFLICT(source) DO UPDATE
     SET partitions = CASE WHEN $3 THEN excluded.partitions ELSE stream_meta.partitions END
     RETURNING partitions";

pub(crate) const SHARED_SECRET: &str = "INSERT INTO shared_secret(name, value) VALUES ($1, $2)
     ON CONFLICT(name) DO UPDATE SET name = excluded.name RETURNING value";

/// The compare-and-set. Without `epoch` in it, `fences_the_older_of_two_owners` fails; without `next_offset`,
/// `refuses_gaps_and_overlaps` does; where an engine does not look at the row count, both do and
/// `a_fenced_commit_leaves_no_row`.
pub(crate) const ADVANCE: &str = "UPDATE partition_ckpt SET next_offset = $1,
       state_offset = coalesce($2, state_offset),
       roll_to = CASE WHEN roll_to <= $2 THEN NULL ELSE coalesce($3, roll_to) END,
       source_tag = coalesce($4, source_tag)
     WHERE source = $5 AND part = $6 AND epoch = $7 AND next_offset = $8";

pub(crate) const CHECKPOINTS: &str = "SELECT source, part, epoch, next_offset, state_offset, roll_to, source_tag
     FROM partition_ckpt ORDER BY source, part";

pub(crate) const FINDING: &str = "SELECT commit_seq, body FROM finding WHERE id = $1";

/// Those of one reason, if that is not null, and at most so many. SQLite numbers parameters in the order of the text.
pub(crate) const DEAD_LETTERS: &str = "SELECT source, part, off, item, line, reason, detail, payload
     FROM dead_letter WHERE reason = COALESCE($1, reason) ORDER BY seq DESC LIMIT $2";

pub(crate) const STATS: &str = "SELECT (SELECT count(*) FROM finding), (SELECT count(*) FROM dead_letter),
     (SELECT count(*) FROM outbox)";

/// No row when there is no such finding.
pub(crate) const READ_TRIAGE: &str = "SELECT t.version, t.status, t.assignee, t.note
     FROM finding f LEFT JOIN finding_triage t ON t.finding_id = f.id WHERE f.id = $1";

pub(crate) const WRITE_TRIAGE: &str = "INSERT INTO finding_triage(finding_id, version, status, assignee, note)
     VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT(finding_id) DO UPDATE SET version = excluded.version, status = excluded.status,
       assignee = excluded.assignee, note = excluded.note";

/// Findings that may go: people are done with them or never began, and nobody waits for them. Without the two
/// conditions `retention_spares_what_is_not_done` fails.
pub(crate) const OLD_FINDINGS: &str = "SELECT id, commit_seq FROM finding
     WHERE stored_at < $1
       AND NOT EXISTS (SELECT 1 FROM finding_triage t
         WHERE t.finding_id = finding.id AND t.status IN ('new', 'in_progress'))
       AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.item_id = finding.id)
     ORDER BY stored_at LIMIT $2";

pub(crate) const PRUNE_DEAD_LETTERS: &str = "DELETE FROM dead_letter
     WHERE seq IN (SELECT seq FROM dead_letter WHERE stored_at < $1 ORDER BY stored_at LIMIT $2)";
