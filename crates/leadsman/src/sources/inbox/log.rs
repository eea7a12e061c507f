//! The writer thread: gathers appends, writes them, syncs once, answers all.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use leadsman_domain::{PayloadKind, Timestamp};
use leadsman_store::failpoint::reach;
use tokio::sync::{mpsc, oneshot, watch};

use super::frame::{self, Damage};
use super::segment::{self, Scan};
use super::{InboxError, InboxLimits};

/// Longest time that a first append waits for company.
const GATHER: Duration = Duration::from_millis(5);
/// Bytes after which a group is written without waiting for more.
const GROUP_BYTES: usize = 8 << 20;

/// A request to the writer thread.
#[derive(Debug)]
pub(super) enum Command {
    Append(Append),
    DeleteBefore { record: u64, reply: oneshot::Sender<Result<usize, InboxError>> },
}

#[derive(Debug)]
pub(super) struct Append {
    pub(super) kind: PayloadKind,
    pub(super) bytes: Vec<u8>,
    pub(super) received_at: Timestamp,
    pub(super) reply: oneshot::Sender<Result<u64, InboxError>>,
}

/// The durable records: `[first, end)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) first: u64,
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    limits: InboxLimits,
    /// First record and durable length of each segment, ascending; never empty.
    older: VecDeque<(u64, u64)>,
    pub(super) last: (u64, u64),
    /// The last segment.
    pub(super) file: File,
    end: u64,
    /// The end of `file` is unknown: another frame could follow half a one.
    refused: bool,
    kept: watch::Sender<Kept>,
    /// Held while the log is open; the operating system gives it back when the process dies.
    _lock: File,
}

/// Serves commands until every sender is gone.
pub(super) fn run(mut log: Log, mut commands: mpsc::Receiver<Command>) {
    while let Some(first) = commands.blocking_recv() {
        let (started, mut bytes) = (Instant::now(), 0);
        let (mut group, mut next) = (Vec::new(), Some(first));
        while let Some(command) = next {
            match command {
                Command::Append(append) => {
                    bytes += append.bytes.len();
                    group.push(append);
                }
                Command::DeleteBefore { record, reply } => answer(reply, log.delete_before(record)),
            }
            let more = bytes < GROUP_BYTES && started.elapsed() < GATHER;
            next = if more { commands.try_recv().ok() } else { None };
        }
        log.append(group);
    }
}

/// A caller that went away needs no answer.
fn answer<T>(reply: oneshot::Sender<Result<T, InboxError>>, result: Result<T, InboxError>) {
    drop(reply.send(result));
}

impl Log {
    pub(super) fn open(dir: &Path, limits: InboxLimits) -> Result<Self, InboxError> {
        fs::create_dir_all(dir).map_err(InboxError::io("make", dir))?;
        if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            segment::sync_dir(parent)?;
        }
        let lock = lock(dir)?;
        let mut firsts = segment::list(dir)?;
        let (first, file, scan) = match firsts.pop() {
            None => (0, segment::create(dir, 0)?, Scan { records: 0, len: 0, torn: 0 }),
            Some(first) => {
                let path = segment::path(dir, first);
                let options = OpenOptions::new().read(true).write(true).open(&path);
                let file = options.map_err(InboxError::io("open", &path))?;
                // A process that was killed may have left names and frames that the disk has not seen yet.
                segment::sync_dir(dir)?;
                file.sync_all().map_err(InboxError::io("sync", &path))?;
                let scan = segment::scan(&path, &file)?;
                if scan.torn > 0 {
                    file.set_len(scan.len).and_then(|()| file.sync_all()).map_err(InboxError::io("cut", &path))?;
                    TornTailCut { path: &path, bytes: scan.torn, record: first + scan.records }.emit();
                }
                (first, file, scan)
            }
        };
        let mut older = VecDeque::new();
        let nexts = firsts.iter().skip(1).copied().chain([first]);
        for (first, next) in firsts.iter().copied().zip(nexts) {
            let path = segment::path(dir, first);
            let (records, len) = segment::count(&path)?;
            if first + records != next {
                return Err(InboxError::Corrupt { path, offset: len, damage: Damage::RecordCount });
            }
            older.push_back((first, len));
        }
        let last = (first, scan.len);
        let end = first + scan.records;
        let (kept, _) = watch::channel(Kept { first: older.front().map_or(first, |s| s.0), end });
        Ok(Self { dir: dir.to_owned(), limits, older, last, file, end, refused: false, kept, _lock: lock })
    }

    /// Follows what is durable.
    pub(super) fn kept(&self) -> watch::Receiver<Kept> {
        self.kept.subscribe()
    }

    /// Writes a group, one segment's share after the other, and answers each append.
    pub(super) fn append(&mut self, group: Vec<Append>) {
        let size = group.iter().map(|append| frame::size(append.bytes.len())).sum::<u64>();
        let mut buffer = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let mut waiting = Vec::new();
        for Append { kind, bytes, received_at, reply } in group {
            let size = frame::size(bytes.len());
            let filled = self.last.1 + buffer.len() as u64;
            if filled > 0 && filled + size > self.limits.segment_bytes {
                self.write(&mut buffer, &mut waiting);
                if let Err(error) = self.roll() {
                    answer(reply, Err(error));
                    continue;
                }
            }
            if self.refused {
                answer(reply, Err(InboxError::Refused { dir: self.dir.clone() }));
            } else if self.held() + buffer.len() as u64 + size > self.limits.max_bytes {
                answer(reply, Err(self.full()));
            } else {
                frame::encode(&mut buffer, kind, received_at, self.last.1, &bytes);
                waiting.push(reply);
            }
        }
        self.write(&mut buffer, &mut waiting);
    }

    /// Makes `buffer` durable behind the last segment, then tells readers and those who wait.
    fn write(&mut self, buffer: &mut Vec<u8>, waiting: &mut Vec<oneshot::Sender<Result<u64, InboxError>>>) {
        if waiting.is_empty() {
            return;
        }
        let first = self.end;
        let written = self.write_durably(buffer);
        if written.is_ok() {
            self.last.1 += buffer.len() as u64;
            self.end += waiting.len() as u64;
            self.publish();
        }
        for (number, reply) in (first..).zip(waiting.drain(..)) {
            answer(reply, written.clone().map(|()| number));
        }
        buffer.clear();
    }

    fn write_durably(&mut self, buffer: &[u8]) -> Result<(), InboxError> {
        let path = segment::path(&self.dir, self.last.0);
        if let Err(error) = self.file.write_all_at(buffer, self.last.1) {
            let undone = self.file.set_len(self.last.1).and_then(|()| self.file.sync_data());
            self.refused = undone.is_err();
            AppendError { path: &path, error: &error, refused: self.refused }.emit();
            let no_space = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            return Err(if no_space { self.full() } else { InboxError::io("write", &path)(error) });
        }
        reach("inbox-written");
        self.file.sync_data().map_err(|error| {
            // After a failed sync the kernel may take the pages for written: a later sync that succeeds proves nothing. Cut
            // off, they are not found there after a restart.
            self.refused = true;
            let kept = self.file.set_len(self.last.1).err();
            for error in [&error].into_iter().chain(&kept) {
                AppendError { path: &path, error, refused: true }.emit();
            }
            InboxError::io("sync", &path)(error)
        })?;
        reach("inbox-durable");
        Ok(())
    }

    /// Ends the last segment and starts the next.
    fn roll(&mut self) -> Result<(), InboxError> {
        if self.refused {
            return Err(InboxError::Refused { dir: self.dir.clone() });
        }
        self.file = segment::create(&self.dir, self.end).inspect_err(|_| {
            // Left behind, an empty segment would restart the numbering here while the old one grows on.
            let removed = fs::remove_file(segment::path(&self.dir, self.end));
            self.refused = removed.is_err_and(|e| e.kind() != io::ErrorKind::NotFound);
        })?;
        self.older.push_back(self.last);
        self.last = (self.end, 0);
        Ok(())
    }

    fn delete_before(&mut self, record: u64) -> Result<usize, InboxError> {
        let mut deleted = 0;
        // A segment's records end where the next segment starts.
        while let Some(&(first, _)) = self.older.front()
            && self.older.get(1).map_or(self.last.0, |next| next.0) <= record
        {
            let path = segment::path(&self.dir, first);
            fs::remove_file(&path).map_err(InboxError::io("delete", &path))?;
            self.older.pop_front();
            self.publish();
            deleted += 1;
        }
        if deleted > 0 {
            segment::sync_dir(&self.dir)?;
        }
        Ok(deleted)
    }

    fn publish(&self) {
        let first = self.older.front().map_or(self.last.0, |s| s.0);
        self.kept.send_replace(Kept { first, end: self.end });
    }

    fn held(&self) -> u64 {
        self.older.iter().map(|s| s.1).sum::<u64>() + self.last.1
    }

    fn full(&self) -> InboxError {
        InboxError::Full { dir: self.dir.clone(), held: self.held() }
    }
}

/// Two writers would number records twice.
fn lock(dir: &Path) -> Result<File, InboxError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(InboxError::io("make", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(InboxError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(InboxError::io("lock", &path)(error)),
    }
}

/// What lies behind the last good frame was cut: nothing proves that its append was answered.
struct TornTailCut<'a> {
    path: &'a Path,
    bytes: u64,
    record: u64,
}

impl TornTailCut<'_> {
    fn emit(&self) {
        let Self { path, bytes, record } = self;
        tracing::warn!(path = %path.display(), bytes, record, "cut a torn tail, which nothing proves to have been acknowledged");
    }
}

/// Records could not be made durable; their senders were told.
struct AppendError<'a> {
    path: &'a Path,
    error: &'a io::Error,
    refused: bool,
}

impl AppendError<'_> {
    fn emit(&self) {
        let Self { path, error, refused } = self;
        if *refused {
            tracing::error!(path = %path.display(), %error, "cannot append: look at the disk and restart leadsman");
        } else {
            tracing::warn!(path = %path.display(), %error, "cannot append: the senders will try again");
        }
    }
}
