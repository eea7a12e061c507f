//! Isolation forest behind linfa's traits: seeded, serialisable, explained.
