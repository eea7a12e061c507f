//! Bytes to domain events for every wire format; pure.
