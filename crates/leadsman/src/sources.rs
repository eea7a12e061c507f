//! Numbered logs outside Kafka: the receiver's inbox and tailed files.

pub mod inbox;
pub mod tail;
