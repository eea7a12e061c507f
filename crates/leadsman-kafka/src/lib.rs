//! Event source and finding sink on Apache Kafka.
//!
//! The source is a member of a consumer group: the group says which partitions it reads, the caller's checkpoint
//! where each of them starts. The group's offset in Kafka is only written, for lag tools. Rebalances are
//! cooperative: what stays with a member is read on while the rest moves.
//!
//! The sink publishes findings with an idempotent producer and answers when every one is acknowledged.
//! [`ExactlyOnceSink`] does so in transactions, and recognises what an earlier process had published already.

mod batch;
mod budget;
mod certificate;
mod config;
pub mod diagnose;
mod discovery;
mod error;
mod events;
mod fault;
mod group;
mod member;
mod page;
mod producer;
mod range;
mod reader;
mod sink;
mod source;
mod transaction;

pub use budget::Room;
pub use certificate::{CertificateError, ends as certificate_ends};
pub use config::{BatchLimits, KafkaConfig, KafkaSinkConfig, source_id};
pub use discovery::{StartOffset, recreated};
pub use error::KafkaError;
pub use fault::Fault;
pub use group::{Assigned, GroupBatch, GroupEvent, Revoked};
pub use producer::{KafkaProducer, Outgoing};
pub use range::{Bounds, Range, RangeReader, RangeStart, Ranged};
pub use sink::KafkaSink;
pub use source::{KafkaMonitor, KafkaSource};
pub use transaction::ExactlyOnceSink;

#[cfg(test)]
mod tests;
