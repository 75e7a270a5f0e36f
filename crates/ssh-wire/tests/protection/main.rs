//! Packets under every registered cipher and MAC: an algorithm is tested by being registered.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod hostile;
mod pairs;
mod round_trip;
mod suites;
mod vectors;
