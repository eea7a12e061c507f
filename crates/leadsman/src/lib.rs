//! Leadsman: the command line, the configuration, and the wiring of everything else.

pub mod account;
pub mod allocator;
pub mod cli;
pub mod clock;
pub mod command;
pub mod config;
pub mod disk;
pub mod exit;
pub mod input;
pub mod inspection;
pub mod labels;
pub mod lake;
pub mod model;
pub mod offline;
pub mod output;
pub mod pipeline;
pub mod progress;
pub mod service;
pub mod sources;
