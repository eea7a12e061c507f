//! Event source and finding sink on Apache Kafka.
//!
//! The source reads every partition of its topics from offsets that the caller supplies: the caller's
//! checkpoint is the truth, the group offset in Kafka is only written for lag tools. One process owns all
//! partitions, so they are assigned by hand and no rebalance happens. Partitions that are added to a topic
//! are read after a restart.
//!
//! The sink publishes findings with an idempotent producer and answers when every one is acknowledged.

mod batch;
mod config;
pub mod diagnose;
mod discovery;
mod error;
mod events;
mod fault;
mod reader;
mod sink;
mod source;

pub use config::{BatchLimits, KafkaConfig, KafkaSinkConfig, source_id};
pub use discovery::StartOffset;
pub use error::KafkaError;
pub use fault::Fault;
pub use sink::KafkaSink;
pub use source::{KafkaSource, OffsetCommitter};

#[cfg(test)]
mod tests;
