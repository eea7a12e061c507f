//! Input that is only looked at: one thread reads files, and two look at their lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use leadsman_decode::{AuditScanner, LineBlock, Part};
use leadsman_domain::Decoded;

use super::{Inputs, MAX_EXAMPLES, ReadReport, Reading, open};
use crate::inspection::Inspection;
use crate::progress::Progress;

/// Threads that look at lines. A number of its own, not that of the CPUs: names beyond the bound are the same everywhere.
const LANES: usize = 2;
/// Blocks that wait for a thread.
const WAITING: usize = 2;

/// What one thread saw.
#[derive(Default)]
struct Seen {
    inspection: Inspection,
    /// The first refusals, with file and line.
    examples: Vec<(usize, u64, String)>,
}

impl Seen {
    fn add(&mut self, file: usize, decoded: &Decoded) {
        self.inspection.add(decoded);
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        let first = decoded.rejects.iter().take(room);
        self.examples.extend(first.map(|r| (file, r.line, format!("{}: {}", r.reason, r.detail))));
    }
}

/// Blocks for the threads, in turn.
struct Lanes<'a> {
    senders: Vec<SyncSender<(usize, LineBlock)>>,
    turn: usize,
    /// Memory that the threads have done with.
    memory: Receiver<Vec<u8>>,
    /// Items decoded so far.
    items: &'a AtomicU64,
}

impl Lanes<'_> {
    fn send(&mut self, file: usize, block: LineBlock) -> Result<()> {
        self.turn = (self.turn + 1) % LANES;
        let sent = self.senders.get(self.turn).map(|sender| sender.send((file, block)));
        if matches!(sent, Some(Ok(()))) { Ok(()) } else { Err(anyhow!("a thread that looks at lines has ended early")) }
    }
}

impl Inputs {
    /// Looks at everything, with the same result as [`Self::read`] and without keeping an audit event. `strict` is not
    /// looked at.
    ///
    /// Errors: when a file cannot be read.
    pub fn inspect(&self, reading: &Reading<'_>, progress: &mut Progress) -> Result<(Inspection, ReadReport)> {
        let items = AtomicU64::new(0);
        let (mut all, lanes) = thread::scope(|scope| {
            let (back, memory) = channel();
            let (senders, lanes): (Vec<_>, Vec<_>) = (0..LANES)
                .map(|_| {
                    let ((sender, blocks), back, items) = (sync_channel(WAITING), back.clone(), &items);
                    (sender, scope.spawn(move || look(reading, &blocks, &back, items)))
                })
                .unzip();
            let mut seen = Seen::default();
            let read = self.scan(reading, progress, &mut seen, Lanes { senders, turn: 0, memory, items: &items });
            let lanes: Vec<_> = lanes.into_iter().map(thread::ScopedJoinHandle::join).collect();
            read.map(|()| (seen, lanes))
        })?;
        for lane in lanes {
            let lane = lane.map_err(|_| anyhow!("a thread that looked at lines has panicked; please report it"))?;
            all.inspection.merge(&lane.inspection);
            all.examples.extend(lane.examples);
        }
        all.examples.sort_by_key(|(file, line, _)| (*file, *line));
        all.examples.truncate(MAX_EXAMPLES);
        let named = |(file, line, what): (usize, u64, String)| {
            format!("{}:{line}: {what}", self.files.get(file).map(|f| f.display().to_string()).unwrap_or_default())
        };
        let examples = all.examples.into_iter().map(named).collect();
        let report = ReadReport { account: all.inspection.account.clone(), examples };
        Ok((all.inspection, report))
    }

    fn scan(
        &self,
        reading: &Reading<'_>,
        progress: &mut Progress,
        seen: &mut Seen,
        mut lanes: Lanes<'_>,
    ) -> Result<()> {
        let done = Arc::new(AtomicU64::new(0));
        for (file, path) in self.files.iter().enumerate() {
            let failed = || format!("cannot read {}", path.display());
            let input = open(path, &done)?;
            let context = reading.context.clone();
            let mut scanner = AuditScanner::new(input, context, reading.limits, reading.now).with_context(failed)?;
            loop {
                let before = seen.inspection.account.decoded();
                let inspection = &mut seen.inspection;
                let memory = lanes.memory.try_recv().unwrap_or_default();
                let part = scanner.next(memory, &mut |event| inspection.event(event));
                match part.with_context(failed)? {
                    Some(Part::Lines(block)) => lanes.send(file, block)?,
                    Some(Part::Read(decoded)) => seen.add(file, &decoded),
                    None => break,
                }
                lanes.items.fetch_add(seen.inspection.account.decoded() - before, Ordering::Relaxed);
                progress.at(done.load(Ordering::Relaxed), || format!("{} items", lanes.items.load(Ordering::Relaxed)));
            }
        }
        Ok(())
    }
}

fn look(
    reading: &Reading<'_>,
    blocks: &Receiver<(usize, LineBlock)>,
    back: &Sender<Vec<u8>>,
    items: &AtomicU64,
) -> Seen {
    let mut seen = Seen::default();
    for (file, block) in blocks {
        let before = seen.inspection.account.decoded();
        let inspection = &mut seen.inspection;
        let decoded = block.read(reading.context, &reading.limits, reading.now, &mut |event| inspection.event(event));
        seen.add(file, &decoded);
        items.fetch_add(seen.inspection.account.decoded() - before, Ordering::Relaxed);
        // The reader is gone when it failed; then the memory is no longer wanted.
        drop(back.send(block.into_memory()));
    }
    seen
}
