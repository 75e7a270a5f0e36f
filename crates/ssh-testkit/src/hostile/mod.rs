//! The hostile peer: it speaks raw SSH and drives any server or client into whatever a test wants to see refused.
//!
//! ```text
//!   Peer ── identification, packets, its own half of every exchange, and lies at each step ──▶ Target
//!    ▲                                                                                          │ Victim: ours, in memory
//!    └──────────────────────────── what it answers, how it ends ────────────────────────────────┘ Tcp: any program
//! ```
//!
//! A [`Peer`] frames, hashes and derives by itself, so that it can do what no honest peer does, at any moment and with
//! right keys. A [`Victim`] is one of our machines with everything above it, up to the room of channels; it counts what
//! reaches its application and measures nothing but what it is told of time. [`packet`] makes packets whose length,
//! padding and content are whatever one likes, in the clear and under any [`Suite`] of cipher and MAC.
//!
//! The tests are in `tests/hostile/`, one for each row of the list of attacks, named by the row.

pub mod channels;
pub mod login;
pub mod packet;
mod peer;
mod suite;
mod target;
mod victim;

pub use peer::{Peer, Position, Traits};
pub use suite::{Construction, Suite};
pub use target::{Target, Tcp};
pub use victim::{Answers, Told, Victim};
