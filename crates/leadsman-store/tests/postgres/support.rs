//! The server, shared with the end-to-end tests.

#[path = "../../../../tests/support/postgres.rs"]
pub(crate) mod postgres;
#[expect(dead_code, reason = "the end-to-end tests read the output of programs as well")]
#[path = "../../../../tests/support/process.rs"]
mod process;
#[path = "../../../../tests/support/wait.rs"]
mod wait;

pub(crate) use wait::{DEADLINE, Result, environment, free_port, tail, wait_until};
