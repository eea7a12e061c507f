//! The API as a client sees it, over a fake backend.

#![cfg(test)]

mod access;
mod document;
mod fake;
mod findings;
mod ingest;
mod jobs;
mod limits;
mod meta;
mod server;
