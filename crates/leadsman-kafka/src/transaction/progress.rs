use std::collections::VecDeque;

use leadsman_domain::{ContentHash, OutboxItem};

/// How many transactions are remembered. One is enough where the outbox offers its oldest first; the others cover
/// findings that another process held for a while. As hexadecimal digits they stay below Kafka's usual 4,096 bytes.
const REMEMBERED: usize = 64;
/// How the metadata begins: its version.
const VERSION: &str = "1";

/// What was published: how many findings in all, and the digest of each recent batch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    published: u64,
    batches: VecDeque<u128>,
}

impl Progress {
    /// What a committed offset and its metadata say; nothing where there is none, or one of another version.
    pub(super) fn parse(offset: i64, metadata: &str) -> Self {
        let mut words = metadata.split(' ');
        if words.next() != Some(VERSION) {
            return Self::default();
        }
        let batches = words.filter_map(|word| u128::from_str_radix(word, 16).ok()).collect();
        Self { published: u64::try_from(offset).unwrap_or(0), batches }
    }

    /// The number of findings, as an offset.
    pub(super) fn offset(&self) -> i64 {
        i64::try_from(self.published).unwrap_or(i64::MAX)
    }

    pub(super) fn metadata(&self) -> String {
        let digests = self.batches.iter().map(|digest| format!(" {digest:032x}"));
        std::iter::once(VERSION.to_owned()).chain(digests).collect()
    }

    /// How many of the first items were published: those that make up remembered batches, each as a whole.
    pub(super) fn known(&self, items: &[OutboxItem]) -> usize {
        let (mut known, mut running) = (0, START);
        for (index, item) in items.iter().enumerate() {
            running = step(running, item);
            if self.batches.contains(&running) {
                known = index + 1;
                running = START;
            }
        }
        known
    }

    /// After one batch more.
    pub(super) fn with(&self, items: &[OutboxItem]) -> Self {
        let mut next = self.clone();
        next.published += items.len() as u64;
        next.batches.push_back(items.iter().fold(START, step));
        if next.batches.len() > REMEMBERED {
            next.batches.pop_front();
        }
        next
    }
}

/// The digest of nothing.
const START: u128 = 0;

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

    #[test]
    fn whole_batches_at_the_beginning_are_known_and_nothing_else() {
        let progress = Progress::default().with(&items(0..3)).with(&items(3..5));
        for (offered, known) in [(0..3, 3), (0..5, 5), (0..9, 5), (3..5, 2), (3..9, 2), (0..2, 0), (1..5, 0), (5..9, 0)]
        {
            assert_eq!(progress.known(&items(offered.clone())), known, "{offered:?}");
        }
        let mut revised = items(0..3);
        revised[1].rev = 2;
        assert_eq!(progress.known(&revised), 0, "another revision is another finding");
    }

    #[test]
    fn what_is_written_is_read_back_and_stays_small() {
        let mut progress = Progress::default();
        for n in 0..100 {
            assert_eq!(Progress::parse(progress.offset(), &progress.metadata()), progress, "{n}");
            progress = progress.with(&items(n..n + 2));
        }
        assert!(progress.metadata().len() < 4_096, "{}", progress.metadata().len());
        assert_eq!(progress.offset(), 200);
        assert_eq!((progress.known(&items(99..101)), progress.known(&items(0..2))), (2, 0));
        for other in ["", "2 00", "something else"] {
            assert_eq!(Progress::parse(7, other), Progress::default());
        }
    }
}
