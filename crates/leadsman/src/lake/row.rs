use leadsman_domain::Timestamp;
use leadsman_features::{LogPlace, PlacedSample, ScoredEvent, StoredRow};

use super::name::Kind;

/// What a file of the lake has rows of.
pub trait LakeRow: StoredRow {
    /// Which files they are in.
    const KIND: Kind;

    /// Where it stands in its log.
    fn place(&self) -> &LogPlace;

    /// When it happened.
    fn time(&self) -> Timestamp;

    /// Tells rows apart that claim the same place: two logs may have had the same name, one after the other.
    fn identity(&self) -> u128;

    /// Its place within its log.
    fn key(&self) -> (u64, u32) {
        (self.place().offset, self.place().item)
    }
}

impl LakeRow for ScoredEvent {
    const KIND: Kind = Kind::Events;

    fn place(&self) -> &LogPlace {
        &self.place
    }

    fn time(&self) -> Timestamp {
        self.event.event_time
    }

    fn identity(&self) -> u128 {
        self.event.id.get()
    }
}

impl LakeRow for PlacedSample {
    const KIND: Kind = Kind::Samples;

    fn place(&self) -> &LogPlace {
        &self.place
    }

    fn time(&self) -> Timestamp {
        self.sample.event_time
    }

    /// A series has one sample a moment.
    fn identity(&self) -> u128 {
        let micros = self.sample.event_time.as_micros() as u64;
        u128::from(self.sample.series) << 64 | u128::from(micros)
    }
}
