//! One module a command.

pub mod backtest;
pub mod datasets;
pub mod demo;
pub mod doctor;
pub mod explain;
mod forest;
pub mod lake;
pub mod models;
pub mod replay;
pub mod score;
pub mod serve;
pub mod train;
