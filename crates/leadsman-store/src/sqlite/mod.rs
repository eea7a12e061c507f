//! One SQLite file: one writer, one reader, write-ahead log.
//!
//! SQLite calls block, so each runs on tokio's blocking pool. A dropped future does not stop its call: an
//! owner that gave up waiting for a commit claims the partition again to learn where it stands.

mod care;
mod error;
mod outbox;
mod read;
mod schema;
#[cfg(test)]
mod tests;
mod words;
mod write;

use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leadsman_domain::{
    Checkpoint, Commit, DeadLetter, DeadLetterKey, Finding, FindingId, FindingPage, FindingQuery, OutboxItem, Pruned,
    RejectReason, SourceId, Store, StoreError, StoreStats, Timestamp, Triage, TriageError,
};
use rusqlite::{Connection, OpenFlags};

use crate::rows::OutboxKey;
use error::sql_error;

/// How long a statement waits for another process before it reports the store as busy.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Findings, checkpoints, outbox and dead letters in one SQLite file.
///
/// Clones share the connections. A commit is on disk when it returns (`synchronous=FULL`). Several
/// processes may open the same file: the checkpoint's compare-and-set holds between them too.
///
/// The methods of [`Store`] must be called inside a tokio runtime.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Arc<Mutex<Connection>>,
    reader: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens or creates the store at `path`, whose directory must exist, and brings its schema up to date.
    ///
    /// Blocks while it does so.
    ///
    /// Errors: `NewerSchema` when a newer release wrote it, `Corrupt` when the file is something else,
    /// `Unavailable` when it cannot be reached.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        open_file(path).map_err(|error| located(path, error))
    }

    /// Opens the store at `path` as it is: makes none, and leaves an older schema to the service.
    ///
    /// Errors: as [`Self::open`]; `OlderSchema` when an older release wrote it.
    pub fn attach(path: &Path) -> Result<Self, StoreError> {
        attach_file(path).map_err(|error| located(path, error))
    }

    /// A store that lives as long as this handle and its clones: for tests and for runs that keep nothing.
    pub fn in_memory() -> Result<Self, StoreError> {
        let mut conn = Connection::open_in_memory().map_err(sql_error)?;
        configure(&conn)?;
        schema::migrate(&mut conn)?;
        // A second in-memory connection would be a second database.
        let conn = Arc::new(Mutex::new(conn));
        Ok(Self { writer: Arc::clone(&conn), reader: conn })
    }

    /// Where every partition stands, by source and partition. Claims nothing; `snapshot` is always `None`.
    pub async fn checkpoints(&self) -> Result<Vec<Checkpoint>, StoreError> {
        blocking(&self.reader, |conn| read::checkpoints(conn)).await
    }
}

// === impl Store ===

impl Store for SqliteStore {
    async fn claim(&self, source: &SourceId, partition: i32) -> Result<Checkpoint, StoreError> {
        let source = source.clone();
        blocking(&self.writer, move |conn| write::claim(conn, source, partition)).await
    }

    async fn bind_source(&self, source: &SourceId, partitions: u32, accept: bool) -> Result<(), StoreError> {
        let source = source.clone();
        blocking(&self.writer, move |conn| write::bind_source(conn, &source, partitions, accept)).await
    }

    async fn shared_secret(&self, name: &str, fresh: &str) -> Result<String, StoreError> {
        let (name, fresh) = (name.to_owned(), fresh.to_owned());
        blocking(&self.writer, move |conn| write::shared_secret(conn, &name, &fresh)).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        blocking(&self.writer, move |conn| write::commit(conn, &commit)).await
    }

    async fn lease_outbox(
        &self,
        sink: &str,
        limit: usize,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<OutboxItem>, StoreError> {
        let sink = sink.to_owned();
        blocking(&self.writer, move |conn| outbox::lease(conn, &sink, limit, now, until)).await
    }

    async fn hold_outbox(&self, items: &[OutboxItem], until: Timestamp, to: Timestamp) -> Result<(), StoreError> {
        let keys = OutboxKey::all(items)?;
        blocking(&self.writer, move |conn| outbox::hold(conn, &keys, until, to)).await
    }

    async fn ack_outbox(&self, items: &[OutboxItem]) -> Result<(), StoreError> {
        let keys = OutboxKey::all(items)?;
        blocking(&self.writer, move |conn| outbox::ack(conn, &keys)).await
    }

    async fn finding(&self, id: FindingId) -> Result<Option<(i64, Finding)>, StoreError> {
        blocking(&self.reader, move |conn| read::finding(conn, id)).await
    }

    /// A `limit` of 0 asks for `total` alone: no items and no cursor.
    async fn findings(&self, query: FindingQuery) -> Result<FindingPage, StoreError> {
        blocking(&self.reader, move |conn| read::findings(conn, &query)).await
    }

    async fn triage(&self, id: FindingId) -> Result<Option<Triage>, StoreError> {
        blocking(&self.reader, move |conn| care::triage(conn, id)).await
    }

    async fn set_triage(&self, id: FindingId, triage: Triage) -> Result<Triage, TriageError> {
        blocking(&self.writer, move |conn| care::set_triage(conn, id, triage)).await
    }

    async fn prune(
        &self,
        findings_before: Timestamp,
        dead_letters_before: Timestamp,
        limit: usize,
    ) -> Result<Pruned, StoreError> {
        blocking(&self.writer, move |conn| care::prune(conn, findings_before, dead_letters_before, limit)).await
    }

    async fn dead_letters(&self, limit: usize, reason: Option<RejectReason>) -> Result<Vec<DeadLetter>, StoreError> {
        blocking(&self.reader, move |conn| read::dead_letters(conn, limit, reason)).await
    }

    async fn delete_dead_letters(&self, keys: &[DeadLetterKey]) -> Result<u64, StoreError> {
        let keys = keys.to_vec();
        blocking(&self.writer, move |conn| write::delete_dead_letters(conn, &keys)).await
    }

    /// `outbox` counts deliveries: a finding on its way to two sinks counts twice.
    async fn stats(&self) -> Result<StoreStats, StoreError> {
        blocking(&self.reader, |conn| read::stats(conn)).await
    }
}

/// Runs `work` on the blocking pool while it alone holds the connection.
async fn blocking<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    conn: &Arc<Mutex<Connection>>,
    work: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let conn = Arc::clone(conn);
    let call = tokio::task::spawn_blocking(move || {
        // A panic inside `work` rolled its transaction back while unwinding: the connection is sound.
        work(&mut conn.lock().unwrap_or_else(PoisonError::into_inner))
    });
    let unfinished = |error| StoreError::Unavailable(format!("the database call did not finish: {error}"));
    call.await.map_err(unfinished)?
}

fn open_file(path: &Path) -> Result<SqliteStore, StoreError> {
    create_private(path)?;
    // Without SQLITE_OPEN_URI a path that starts with `file:` is a path.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut writer = Connection::open_with_flags(path, flags).map_err(sql_error)?;
    writer.busy_timeout(BUSY_TIMEOUT).map_err(sql_error)?;
    // Before the journal mode: another program's database, or a newer release's, stays untouched.
    schema::check(&writer)?;
    let mode: String =
        writer.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(sql_error)?;
    if mode != "wal" {
        return Err(StoreError::Unavailable(format!(
            "the file system allows no write-ahead log (journal mode {mode}): put the data directory on a local disk"
        )));
    }
    configure(&writer)?;
    schema::migrate(&mut writer)?;

    with_reader(path, writer)
}

fn attach_file(path: &Path) -> Result<SqliteStore, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let writer = Connection::open_with_flags(path, flags).map_err(sql_error)?;
    configure(&writer)?;
    schema::check_current(&writer)?;
    with_reader(path, writer)
}

/// The store of a connection, with another one that only reads.
fn with_reader(path: &Path, writer: Connection) -> Result<SqliteStore, StoreError> {
    // Readers of a write-ahead log write beside it where they are.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags).map_err(sql_error)?;
    configure(&reader)?;
    reader.pragma_update(None, "query_only", true).map_err(sql_error)?;
    Ok(SqliteStore { writer: Arc::new(Mutex::new(writer)), reader: Arc::new(Mutex::new(reader)) })
}

fn configure(conn: &Connection) -> Result<(), StoreError> {
    conn.busy_timeout(BUSY_TIMEOUT).map_err(sql_error)?;
    conn.pragma_update(None, "synchronous", "FULL").map_err(sql_error)?;
    conn.pragma_update(None, "foreign_keys", true).map_err(sql_error)
}

/// Creates a missing file for its owner alone: dead letters may hold credentials. SQLite gives its log the
/// mode of the database.
///
/// Only a new file is opened here: closing a second descriptor of a database that this process has open
/// would release SQLite's locks on it (POSIX; "How To Corrupt An SQLite Database File", section 2.2).
fn create_private(path: &Path) -> Result<(), StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!(
            "cannot create the database: {error}; create its directory and make it writable"
        ))),
    }
}

fn located(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(detail) => StoreError::Unavailable(format!("{}: {detail}", path.display())),
        StoreError::Corrupt(detail) => StoreError::Corrupt(format!("{}: {detail}", path.display())),
        StoreError::Fenced { .. }
        | StoreError::Repartitioned { .. }
        | StoreError::NewerSchema { .. }
        | StoreError::OlderSchema { .. } => error,
    }
}
