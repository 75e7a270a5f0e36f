//! The two front doors over loopback sockets with the fault proxy between them: pieces of every size, packets that are
//! lost, doubled, swapped and damaged, wires that freeze.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

mod broken;
mod pieces;
mod script;
mod still;
