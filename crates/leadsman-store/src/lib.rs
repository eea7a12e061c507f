//! Findings, checkpoints and outbox in SQLite; the model registry directory.
