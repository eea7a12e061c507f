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

/// The rows of one (entity, window), in the order of the frame.
pub(crate) struct Group<'f> {
    pub(crate) entity: &'f str,
    pub(crate) start: Timestamp,
    pub(crate) rows: Vec<usize>,
}

/// The rows of each (entity, window), ordered by window, then entity.
///
/// Windows hold tens to thousands of rows: sorting them costs a fraction of what setting up a hashed grouping does.
pub(crate) fn groups(frame: &DataFrame) -> Result<Vec<Group<'_>>, FeatureError> {
    let (entity, window) = (frame.column("entity")?.str()?, frame.column("window")?.i64()?);
    let keys = window.iter().zip(entity.iter()).enumerate();
    let mut order: Vec<(i64, &str, usize)> = keys.filter_map(|(i, (w, e))| Some((w?, e?, i))).collect();
    order.sort_unstable();
    let groups = order.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1));
    Ok(groups
        .filter_map(|group| {
            let (start, entity, _) = *group.first()?;
            let rows = group.iter().map(|(_, _, i)| *i).collect();
            Some(Group { entity, start: Timestamp::from_micros(start), rows })
        })
        .collect())
}
