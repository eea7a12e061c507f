//! Input that is only looked at, by two threads that take turns at reading it.
//!
//! Whoever has the [`Turn`] reads the next block, hands the turn on and looks at the lines while the other one reads. So
//! the bytes of a block stay in the cache of one core, and which thread sees what does not depend on the speed of either:
//! names beyond the bound are the same each time.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use anyhow::{Context, Result, anyhow};
use leadsman_decode::{AuditScanner, LineBlock, Memory, Part};
use leadsman_domain::Decoded;

use super::{CHUNK, Input, Inputs, MAX_EXAMPLES, ReadReport, Reading, Source, open};
use crate::inspection::Inspection;
use crate::progress::Progress;

/// Threads that look at lines. A number of its own, not that of the CPUs, for the same result on every machine.
const LANES: usize = 2;

/// What one thread saw.
#[derive(Default)]
struct Seen {
    inspection: Inspection,
    /// The first refusals, with file and line.
    examples: Vec<(usize, u64, String)>,
    /// Items that others were told of.
    told: u64,
}

impl Seen {
    /// Takes what was decoded beside the audit events that were shown, and tells of all in `items`.
    fn add(&mut self, file: usize, decoded: &Decoded, items: &AtomicU64) {
        self.inspection.add(decoded);
        let decoded_now = self.inspection.account.decoded();
        items.fetch_add(decoded_now - mem::replace(&mut self.told, decoded_now), Ordering::Relaxed);
        let room = MAX_EXAMPLES.saturating_sub(self.examples.len());
        let first = decoded.rejects.iter().take(room);
        self.examples.extend(first.map(|r| (file, r.line, format!("{}: {}", r.reason, r.detail))));
    }
}

/// The right to read, which one thread has at a time.
struct Turn<'a> {
    inputs: &'a Inputs,
    reading: &'a Reading<'a>,
    progress: &'a mut Progress,
    /// The file that is read, and its number.
    scanner: Option<AuditScanner<Source>>,
    file: usize,
    /// Bytes read so far.
    done: Arc<AtomicU64>,
    /// Items decoded so far.
    items: &'a AtomicU64,
}

impl Turn<'_> {
    /// The next block of lines and its file; all that is not lines is read on the way. `None` at the end.
    fn next(&mut self, mut memory: Memory, seen: &mut Seen) -> Result<Option<(usize, LineBlock)>> {
        while let Some(input) = self.inputs.inputs.get(self.file) {
            let path = match input {
                Input::File(path) => path,
                Input::Lake(lake) => {
                    let before = self.done.load(Ordering::Relaxed);
                    let mut items = lake.open()?;
                    while let Some(decoded) = items.next_chunk(self.reading.context, CHUNK)? {
                        seen.add(self.file, &decoded, self.items);
                        self.done.store(before + items.bytes_done(), Ordering::Relaxed);
                        self.tell();
                    }
                    self.file += 1;
                    continue;
                }
            };
            let failed = || format!("cannot read {}", path.display());
            let scanner = match &mut self.scanner {
                Some(scanner) => scanner,
                None => {
                    let (input, context) = (open(path, &self.done)?, self.reading.context.clone());
                    let new = AuditScanner::new(input, context, self.reading.limits, self.reading.now);
                    self.scanner.insert(new.with_context(failed)?)
                }
            };
            let inspection = &mut seen.inspection;
            match scanner.next(mem::take(&mut memory), &mut |event| inspection.event(event)).with_context(failed)? {
                Some(Part::Lines(block)) => return Ok(Some((self.file, block))),
                Some(Part::Read(decoded)) => {
                    seen.add(self.file, &decoded, self.items);
                    self.tell();
                }
                None => {
                    self.scanner = None;
                    self.file += 1;
                }
            }
        }
        Ok(None)
    }

    fn tell(&mut self) {
        let items = self.items;
        self.progress.at(self.done.load(Ordering::Relaxed), || format!("{} items", items.load(Ordering::Relaxed)));
    }
}

impl Inputs {
    /// Looks at everything, with the same result as [`Self::read`] and without keeping an audit event. `strict` is not
    /// looked at.
    ///
    /// Errors: when a file cannot be read.
    pub fn inspect(&self, reading: &Reading<'_>, progress: &mut Progress) -> Result<(Inspection, ReadReport)> {
        let (done, items) = (Arc::default(), AtomicU64::new(0));
        let turn = Turn { inputs: self, reading, progress, scanner: None, file: 0, done, items: &items };
        let lanes: Vec<_> = thread::scope(|scope| {
            let (mut hands, turns): (Vec<_>, Vec<_>) = (0..LANES).map(|_| sync_channel(1)).unzip();
            if let Some(first) = hands.first() {
                // Its receiver is at hand, and its room empty.
                drop(first.send(turn));
            }
            hands.rotate_left(1);
            let lanes: Vec<_> =
                turns.into_iter().zip(hands).map(|(turns, next)| scope.spawn(move || look(&turns, &next))).collect();
            lanes.into_iter().map(thread::ScopedJoinHandle::join).collect()
        });
        let lanes = lanes.into_iter().map(|lane| {
            lane.map_err(|_| anyhow!("a thread that looked at lines has panicked; please report it")).flatten()
        });
        let mut lanes = lanes.collect::<Result<Vec<Seen>>>()?.into_iter();
        let mut all = lanes.next().unwrap_or_default();
        for lane in lanes {
            all.inspection.merge(&lane.inspection);
            all.examples.extend(lane.examples);
        }
        all.examples.sort_by_key(|(file, line, _)| (*file, *line));
        all.examples.truncate(MAX_EXAMPLES);
        let named = |(file, line, what): (usize, u64, String)| {
            format!("{}:{line}: {what}", self.inputs.get(file).map(Input::name).unwrap_or_default())
        };
        let examples = all.examples.into_iter().map(named).collect();
        let report = ReadReport { account: all.inspection.account.clone(), examples };
        Ok((all.inspection, report))
    }
}

/// Takes each turn and looks at what it gives, until there is nothing more to read or the other thread has failed.
fn look<'a>(turns: &Receiver<Turn<'a>>, next: &SyncSender<Turn<'a>>) -> Result<Seen> {
    let (mut seen, mut memory) = (Seen::default(), Memory::default());
    for mut turn in turns {
        let Some((file, block)) = turn.next(mem::take(&mut memory), &mut seen)? else { break };
        turn.tell();
        let (reading, items) = (turn.reading, turn.items);
        // Nobody takes it when the other thread has panicked, which its end tells.
        drop(next.send(turn));
        let inspection = &mut seen.inspection;
        let decoded = block.read(reading.context, &reading.limits, reading.now, &mut |event| inspection.event(event));
        seen.add(file, &decoded, items);
        memory = block.into_memory();
    }
    Ok(seen)
}
