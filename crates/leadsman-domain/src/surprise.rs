use serde::{Deserialize, Serialize};

/// How surprising one event was to the novelty detector, judged before anything was learned from it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// Index of the event in the slice that was observed.
    pub index: usize,
    /// Surprise over all key families, in nats; at least 0, higher is stranger.
    pub total: f64,
    /// How many key families saw a value this actor never showed before.
    pub first_seen: u32,
}
