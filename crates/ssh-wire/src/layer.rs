//! The door between rooms: what every protocol machine above this crate offers to whoever drives it.

use std::time::Instant;

use bytes::BytesMut;

/// A protocol machine without I/O: the same five methods in every room.
///
/// The contract (after str0m): after anything changed — bytes arrived, a deadline passed, the application called
/// a method — call [`poll`](Layer::poll) until it returns `Ok(None)`, then send what [`transmit`](Layer::transmit)
/// holds. The work of one `poll` is bounded by the bytes in the read buffer, which is capped.
///
/// When `poll` fails the machine has already sealed the right DISCONNECT where one is due: send what `transmit`
/// holds and close the stream.
pub trait Layer {
    /// What `poll` reports.
    type Event;
    /// Why the connection is over.
    type Error;

    /// Where received bytes go: append them. A driver may take the whole buffer out (`std::mem::take`), fill its
    /// spare capacity without holding any lock, and put it back before the next `poll`; nothing reads it in between.
    fn read_buffer(&mut self) -> &mut BytesMut;

    /// Works through expired deadlines and buffered packets until one of them yields an event (`Some`) or nothing
    /// is left to do (`None`).
    fn poll(&mut self, now: Instant) -> Result<Option<Self::Event>, Self::Error>;

    /// The bytes to send. Take some from the front, or swap the whole vector for an empty one, and say how many
    /// were taken with [`transmitted`](Layer::transmitted).
    fn transmit(&mut self) -> &mut Vec<u8>;

    /// `count` bytes were taken from [`transmit`](Layer::transmit).
    fn transmitted(&mut self, count: usize);

    /// When `poll` must be called again even if nothing arrives.
    fn deadline(&self) -> Option<Instant>;
}
