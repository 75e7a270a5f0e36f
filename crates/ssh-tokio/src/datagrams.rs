//! Channels whose messages of data are datagrams (OpenSSH `PROTOCOL` §2.3).

use std::future::poll_fn;
use std::task::{Context, Poll};

use crate::channel::{ChannelId, Datagram, Stream};
use crate::channel_handle::ChannelWriter;
use crate::error::ChannelError;
use crate::shared::{State, sleep};

impl ChannelWriter {
    /// Sends `data` as one message, or finds that it does not fit: then it is lost, as in a network. Waits for nothing
    /// but this side's own outbox; never says [`Datagram::Later`].
    ///
    /// For channels whose type [has datagrams](crate::channel::ChannelType::has_datagrams). What arrives on them comes
    /// out of [`ChannelReader::next_chunk`](crate::ChannelReader::next_chunk) as it was sent, one datagram at a time.
    ///
    /// # Errors
    /// The channel is closed, or the connection is over.
    pub async fn send_datagram(&mut self, data: &[u8]) -> Result<Datagram, ChannelError> {
        let link = &self.link;
        poll_fn(|cx| link.with(|state| state.poll_send_datagram(link.id, data, cx))).await
    }
}

impl State {
    fn poll_send_datagram(
        &mut self,
        id: ChannelId,
        data: &[u8],
        cx: &Context<'_>,
    ) -> Poll<Result<Datagram, ChannelError>> {
        self.usable(id)?;
        let done = self.connection.send_datagram(id, data)?;
        if let Some(slot) = self.slots.get_mut(&id) {
            match done {
                Datagram::Later => {
                    sleep(slot.wakers.writer(Stream::Data), cx);
                    return Poll::Pending;
                }
                Datagram::Sent => slot.count(data.len()),
                Datagram::TooLong | Datagram::NoCredit => {}
            }
        }
        Poll::Ready(Ok(done))
    }
}
