use std::collections::VecDeque;

use leadsman_domain::{ContentHash, OutboxItem};

/// How many transactions are remembered. One is enough where the outbox offers its oldest first; the others cover
/// findings that another process held for a while. As hexadecimal digits they stay below Kafka's usual 4,096 bytes.
const REMEMBERED: usize = 64;
/// How the metadata begins: its version.
const VERSION: &str = "2";

/// What was published: how many findings in all, and each recent batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    published: u64,
    batches: VecDeque<Batch>,
}

/// A batch that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    /// From the digest of its first item: so only where one may begin is more than one item looked at.
    first: u64,
    /// The digest of all.
    all: u128,
}

impl Batch {
    fn of<'a>(items: impl IntoIterator<Item = &'a OutboxItem>) -> Self {
        let (first, all) = items.into_iter().fold((None, START), |(first, running), item| {
            let next = step(running, item);
            (first.or(Some(head(next))), next)
        });
        Self { first: first.unwrap_or_default(), all }
    }

    fn parse(word: &str) -> Option<Self> {
        let (first, all) = word.split_at_checked(16)?;
        Some(Self { first: u64::from_str_radix(first, 16).ok()?, all: u128::from_str_radix(all, 16).ok()? })
    }
}

impl Progress {
    /// What a committed offset and its metadata say; nothing where there is none, or one of another version.
    pub(super) fn parse(offset: i64, metadata: &str) -> Self {
        let mut words = metadata.split(' ');
        if words.next() != Some(VERSION) {
            return Self::default();
        }
        let batches = words.filter_map(Batch::parse).collect();
        Self { published: u64::try_from(offset).unwrap_or(0), batches }
    }

    /// The number of findings, as an offset.
    pub(super) fn offset(&self) -> i64 {
        i64::try_from(self.published).unwrap_or(i64::MAX)
    }

    pub(super) fn metadata(&self) -> String {
        let digests = self.batches.iter().map(|Batch { first, all }| format!(" {first:016x}{all:032x}"));
        std::iter::once(VERSION.to_owned()).chain(digests).collect()
    }

    /// The items that were not published: those outside of remembered batches, which are found as a whole only.
    pub(super) fn unpublished<'a>(&self, items: &'a [OutboxItem]) -> Vec<&'a OutboxItem> {
        let mut fresh = Vec::new();
        let mut rest = items;
        while let Some(item) = rest.first() {
            let known = self.known(rest);
            if known == 0 {
                fresh.push(item);
            }
            rest = rest.get(known.max(1)..).unwrap_or_default();
        }
        fresh
    }

    /// The length of the remembered batch that these items begin with; 0 when there is none.
    fn known(&self, items: &[OutboxItem]) -> usize {
        let Some(first) = items.first().map(|item| head(step(START, item))) else { return 0 };
        let begin_so: Vec<u128> = self.batches.iter().filter(|batch| batch.first == first).map(|b| b.all).collect();
        if begin_so.is_empty() {
            return 0;
        }
        let digests = items.iter().scan(START, |running, item| {
            *running = step(*running, item);
            Some(*running)
        });
        digests.zip(1..).find(|(digest, _)| begin_so.contains(digest)).map_or(0, |(_, length)| length)
    }

    /// After one batch more.
    pub(super) fn with(&self, items: &[&OutboxItem]) -> Self {
        let mut next = self.clone();
        next.published += items.len() as u64;
        next.batches.push_back(Batch::of(items.iter().copied()));
        if next.batches.len() > REMEMBERED {
            next.batches.pop_front();
        }
        next
    }
}

/// The digest of nothing.
const START: u128 = 0;

fn head(digest: u128) -> u64 {
    (digest >> 64) as u64
}

fn step(before: u128, item: &OutboxItem) -> u128 {
    ContentHash::new("leadsman published batch")
        .field(before.to_le_bytes())
        .field(item.id.to_string())
        .field(item.rev.to_le_bytes())
        .finish()
}

#[cfg(test)]
mod tests {
    use leadsman_domain::FindingId;

    use super::*;

    fn items(ids: std::ops::Range<u128>) -> Vec<OutboxItem> {
        let item = |id| OutboxItem { id: FindingId::new(id), rev: 1, sink: "s".into(), key: "k".into(), body: vec![] };
        ids.map(item).collect()
    }

    fn with(progress: &Progress, ids: std::ops::Range<u128>) -> Progress {
        progress.with(&items(ids).iter().collect::<Vec<_>>())
    }

    fn fresh(progress: &Progress, offered: &[OutboxItem]) -> Vec<u128> {
        progress.unpublished(offered).iter().map(|item| item.id.get()).collect()
    }

    #[test]
    fn whole_batches_are_known_wherever_they_stand_and_nothing_else() {
        let progress = with(&with(&Progress::default(), 0..3), 3..5);
        for (offered, new) in [
            (0..3, 0..0),
            (0..5, 0..0),
            (0..9, 5..9),
            (3..5, 0..0),
            (3..9, 5..9),
            (0..2, 0..2),
            (1..5, 1..3),
            (5..9, 5..9),
        ] {
            assert_eq!(fresh(&progress, &items(offered.clone())), new.collect::<Vec<_>>(), "{offered:?}");
        }
        let mut revised = items(0..5);
        revised[1].rev = 2;
        assert_eq!(fresh(&progress, &revised), [0, 1, 2], "another revision is another finding");
        let only_later = with(&Progress::default(), 3..5);
        assert_eq!(fresh(&only_later, &items(0..7)), [0, 1, 2, 5, 6], "held by another process for a while");
    }

    #[test]
    fn what_is_written_is_read_back_and_stays_small() {
        let mut progress = Progress::default();
        for n in 0..100 {
            assert_eq!(Progress::parse(progress.offset(), &progress.metadata()), progress, "{n}");
            progress = with(&progress, n..n + 2);
        }
        assert!(progress.metadata().len() < 4_096, "{}", progress.metadata().len());
        assert_eq!(progress.offset(), 200);
        assert!(fresh(&progress, &items(99..101)).is_empty());
        assert_eq!(fresh(&progress, &items(0..2)), [0, 1]);
        for other in ["", "1 00", "3 00", "something else"] {
            assert_eq!(Progress::parse(7, other), Progress::default());
        }
    }
}
