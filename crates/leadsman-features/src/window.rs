use std::time::Duration;

use leadsman_domain::{Timestamp, Window};
use polars::prelude::*;

use crate::FeatureError;

/// Rows of windows that are still open, as one polars frame with the columns `entity` and `window`.
///
/// `window` holds the start of the row's window in microseconds since the epoch.
#[derive(Debug, Clone)]
pub struct WindowBuffer {
    length: Duration,
    open: Option<DataFrame>,
    earliest: Option<Timestamp>,
}

impl WindowBuffer {
    /// An empty buffer for windows of `length`.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, open: None, earliest: None }
    }

    /// End of the earliest open window; `None` when none is open.
    #[must_use]
    pub fn earliest_end(&self) -> Option<Timestamp> {
        self.earliest.map(|start| start.plus(self.length))
    }

    /// The window that `time` falls into.
    #[must_use]
    pub fn window_of(&self, time: Timestamp) -> Window {
        time.window(self.length)
    }

    /// The open rows.
    #[must_use]
    pub fn open(&self) -> Option<&DataFrame> {
        self.open.as_ref()
    }

    /// The open rows in one piece: reading cell by cell is slow over the pieces of many micro-batches.
    pub fn contiguous(&mut self) -> Option<&DataFrame> {
        if let Some(open) = &mut self.open {
            open.rechunk_mut();
        }
        self.open.as_ref()
    }

    /// Adds the rows of a micro-batch.
    ///
    /// Errors: [`FeatureError::Frame`] when the frame has other columns than the ones before.
    pub fn push(&mut self, frame: DataFrame) -> Result<(), FeatureError> {
        if frame.height() == 0 {
            return Ok(());
        }
        if let Some(first) = frame.column("window")?.i64()?.min() {
            let first = Timestamp::from_micros(first);
            self.earliest = Some(self.earliest.map_or(first, |e| e.min(first)));
        }
        match &mut self.open {
            Some(open) => {
                open.vstack_mut(&frame)?;
            }
            None => self.open = Some(frame),
        }
        Ok(())
    }

    /// Removes and returns the rows of every window that ends at or before `watermark`.
    ///
    /// Errors: [`FeatureError::Frame`] when the buffer is inconsistent.
    pub fn take_closed(&mut self, watermark: Timestamp) -> Result<Option<DataFrame>, FeatureError> {
        if self.earliest_end().is_none_or(|end| end > watermark) {
            return Ok(None);
        }
        let Some(mut open) = self.open.take() else { return Ok(None) };
        open.rechunk_mut();
        let last_closed = watermark.minus(self.length).as_micros();
        let starts = open.column("window")?.i64()?;
        let closed = starts.lt_eq(last_closed);
        let still_open = open.filter(&!&closed)?;
        let done = open.filter(&closed)?;
        self.earliest = still_open.column("window")?.i64()?.min().map(Timestamp::from_micros);
        self.open = (still_open.height() > 0).then_some(still_open);
        Ok((done.height() > 0).then_some(done))
    }
}

/// Entity, window start and row indices of one group.
type Group = (Box<str>, Timestamp, Vec<IdxSize>);

/// The rows of each (entity, window), ordered by window, then entity.
pub(crate) fn groups(frame: &DataFrame) -> Result<Vec<Group>, FeatureError> {
    let entity = frame.column("entity")?.str()?.clone();
    let window = frame.column("window")?.i64()?.clone();
    let mut out = Vec::new();
    for indices in frame.group_by(["entity", "window"])?.into_groups().iter() {
        let indices: Vec<IdxSize> = match indices {
            polars::frame::group_by::GroupsIndicator::Idx((_, all)) => all.to_vec(),
            polars::frame::group_by::GroupsIndicator::Slice([first, len]) => (first..first + len).collect(),
        };
        let Some(&first) = indices.first() else { continue };
        if let (Some(e), Some(w)) = (entity.get(first as usize), window.get(first as usize)) {
            out.push((Box::from(e), Timestamp::from_micros(w), indices));
        }
    }
    out.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    Ok(out)
}
