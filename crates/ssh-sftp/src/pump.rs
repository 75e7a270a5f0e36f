//! Moves bytes between a machine and its channel, for drivers that hold the whole [`Connection`].
//!
//! ```text
//!   Connection::read ──▶ receive … and the peer gets credit for it       (while the machine wants input)
//!   output ──▶ Connection::write … as far as the peer's window goes      (the rest waits for Event::Writable)
//! ```

use crate::channel::{ChannelId, Connection, Misuse, Stream};
use crate::wire::bytes::Bytes;
use crate::{Client, Outbox, Server};

impl Client {
    /// Moves what can be moved between this machine and its channel, both ways; how many bytes that was. Call it when
    /// the channel is readable or writable and after requests were made, then [`poll`](Self::poll) until there is
    /// nothing; what the server writes to its standard error is thrown away.
    pub fn pump(&mut self, connection: &mut Connection, id: ChannelId) -> Result<usize, Misuse> {
        let mut moved = discard_stderr(connection, id);
        while let Some(bytes) = take(connection, id) {
            moved = moved.saturating_add(bytes.len());
            self.receive(bytes);
        }
        send(self.output(), connection, id).map(|sent| moved.saturating_add(sent))
    }
}

impl Server {
    /// Moves what can be moved between this machine and its channel, both ways; how many bytes that was. Call it when
    /// the channel is readable or writable and after answers were given, then [`poll`](Self::poll) until there is
    /// nothing, and again while either did anything: input is left in the channel, where the window bounds it, as
    /// long as the machine [wants none](Self::wants_input).
    pub fn pump(&mut self, connection: &mut Connection, id: ChannelId) -> Result<usize, Misuse> {
        let mut moved = discard_stderr(connection, id);
        while self.wants_input()
            && let Some(bytes) = take(connection, id)
        {
            moved = moved.saturating_add(bytes.len());
            self.receive(bytes);
        }
        send(self.output(), connection, id).map(|sent| moved.saturating_add(sent))
    }
}

fn take(connection: &mut Connection, id: ChannelId) -> Option<Bytes> {
    read(connection, id, Stream::Data)
}

/// One piece of what has arrived, paid for with credit.
fn read(connection: &mut Connection, id: ChannelId, stream: Stream) -> Option<Bytes> {
    let bytes = connection.read(id, stream, crate::MAX_MESSAGE_BYTES)?;
    connection.consumed(id, bytes.len());
    Some(bytes).filter(|bytes| !bytes.is_empty())
}

fn discard_stderr(connection: &mut Connection, id: ChannelId) -> usize {
    let pieces = std::iter::from_fn(|| read(connection, id, Stream::Stderr));
    pieces.fold(0, |sum, bytes| sum.saturating_add(bytes.len()))
}

fn send(output: &mut Outbox, connection: &mut Connection, id: ChannelId) -> Result<usize, Misuse> {
    let mut sent = 0usize;
    while let Some(bytes) = output.front() {
        let taken = connection.write(id, Stream::Data, bytes)?;
        if taken == 0 {
            break;
        }
        output.sent(taken);
        sent = sent.saturating_add(taken);
    }
    Ok(sent)
}
