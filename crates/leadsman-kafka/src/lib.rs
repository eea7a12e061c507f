//! Event source and finding sink on Apache Kafka.
