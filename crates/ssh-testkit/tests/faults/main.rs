//! The two front doors over loopback sockets with the fault proxy between them: pieces of every size, packets that are
//! lost, doubled, swapped and damaged, wires that freeze, keys that last for next to nothing; and links that lose packets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what must be true by panicking"
)]

mod broken;
mod lossy;
mod pieces;
mod rekeys;
mod script;
mod still;
