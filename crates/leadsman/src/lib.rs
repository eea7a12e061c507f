//! Leadsman.
