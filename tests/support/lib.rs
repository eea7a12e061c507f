//! Test support: broker, Prometheus, the binary under test.
