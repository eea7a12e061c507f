use std::collections::BTreeMap;
use std::time::Duration;

use leadsman_domain::{AuditEvent, FeatureMatrix, RowKey, Surprise, Timestamp, Untrusted, write_api};
use serde::{Deserialize, Serialize};

use crate::audit::Activity;
use crate::{FeatureError, audit_schema};

/// Windows of actors that are still open, each added up as its events come: memory is that of what is distinct, and
/// four bytes an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityBuffer {
    length: Duration,
    /// By start of the window and actor.
    open: BTreeMap<Timestamp, BTreeMap<Box<str>, Box<Activity>>>,
}

impl ActivityBuffer {
    /// An empty buffer for windows of `length`, at most an hour.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        Self { length, open: BTreeMap::new() }
    }

    /// End of the earliest open window; `None` when none is open.
    #[must_use]
    pub fn earliest_end(&self) -> Option<Timestamp> {
        self.open.first_key_value().map(|(start, _)| start.plus(self.length))
    }

    /// Adds the events that were scored.
    pub fn push(&mut self, events: &[AuditEvent], surprises: &[Surprise]) {
        let mut api = String::new();
        for surprise in surprises {
            let Some(event) = events.get(surprise.index) else { continue };
            let object = &event.object;
            api.clear();
            let subresource = object.subresource.as_ref().map(Untrusted::raw);
            write_api(object.group.raw(), object.resource.raw(), subresource, &mut api);
            let start = event.event_time.window(self.length).start;
            let actors = self.open.entry(start).or_default();
            let activity = match actors.get_mut(&*event.actor.name) {
                Some(activity) => activity,
                None => actors.entry((*event.actor.name).into()).or_default(),
            };
            activity.add(start, event, &api, surprise);
        }
    }

    /// Removes every window that ends at or before `watermark` and gives its features: one row per (actor, window),
    /// ordered by window, then actor; `None` when no window does.
    ///
    /// Shape: (windows × 27), ordered by [`audit_schema`]. Errors: [`FeatureError::Matrix`] never for what was pushed.
    pub fn take_closed(&mut self, watermark: Timestamp) -> Result<Option<FeatureMatrix>, FeatureError> {
        let (mut rows, mut values) = (Vec::new(), Vec::new());
        while let Some(first) = self.open.first_entry()
            && first.key().plus(self.length) <= watermark
        {
            let window = first.key().window(self.length);
            for (entity, activity) in first.remove() {
                rows.push(RowKey { entity, window, count: activity.events() as u64 });
                values.extend(activity.features());
            }
        }
        if rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(FeatureMatrix::new(audit_schema(), rows, values)?))
    }
}
