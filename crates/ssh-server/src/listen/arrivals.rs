//! What connects to a socket of the server becomes a channel that the server opens to the client.

use tokio::task::JoinSet;

use super::bind::{Arrival, Listener};
use crate::channel::ChannelType;
use crate::forward::Stream;
use crate::places::{Place, Places};
use crate::pump::Buffers;
use crate::timeouts::ChannelTimeouts;
use crate::tokio_driver::{Accepting, Handle};

/// The way to the client, and how much may go along it.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) handle: Handle,
    pub(crate) places: Places,
    pub(crate) timeouts: ChannelTimeouts,
    pub(crate) buffers: Buffers,
}

/// What connections are for.
pub(crate) struct Purpose {
    /// The channel that one becomes.
    pub(crate) channel: Box<dyn Fn(&Arrival) -> ChannelType + Send + Sync>,
    /// What its inactivity is called ([`ChannelTimeouts`]).
    pub(crate) timeout: &'static str,
    /// Whether one connection is all there will be.
    pub(crate) single: bool,
    /// Whether only programs of the user this process runs as, and root's, may connect.
    pub(crate) own_user_only: bool,
}

/// Leads what arrives to the client until `over` is, and what has arrived until its own end. Nothing is left when the
/// connection has ended.
pub(crate) async fn lead(
    listener: Listener,
    purpose: Purpose,
    client: Client,
    over: impl Future<Output = ()>,
) {
    let mut tasks = JoinSet::new();
    let mut accepting = Accepting::new("a client's");
    let mut over = std::pin::pin!(over);
    loop {
        tokio::select! {
            arrival = accepting.next(|cx| listener.poll_accept(cx)) => {
                while tasks.try_join_next().is_some() {}
                // More than may be: whoever connected finds the door closed.
                let Some(place) = client.places.take_for_listener(tasks.len()) else { continue };
                if purpose.own_user_only && !is_own(&arrival.stream) {
                    tracing::warn!("another user's program connected to a user's socket, and was turned away");
                    continue;
                }
                let channel = (purpose.channel)(&arrival);
                tasks.spawn(pass_on(arrival, channel, purpose.timeout, place, client.clone()));
                if purpose.single {
                    break;
                }
            },
            Some(_ended) = tasks.join_next() => {}
            () = &mut over => break,
            _why = client.handle.closed() => break,
        }
    }
    listener.end().await;
    while tasks.join_next().await.is_some() {}
}

async fn pass_on(arrival: Arrival, kind: ChannelType, timeout: &str, _place: Place, client: Client) {
    match client.handle.open(kind).await {
        Ok(channel) => {
            let (limit, watch) = (client.timeouts.of(timeout), channel.watch());
            crate::timeouts::within(limit, watch, arrival.stream.join(channel, &client.buffers)).await;
        }
        Err(error) => tracing::info!(%error, "the client does not take a connection"),
    }
}

/// Whether the program at the other end runs as the user this process runs as, or as root.
fn is_own(stream: &Stream) -> bool {
    match stream {
        Stream::Unix(stream) => stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == rustix::process::geteuid().as_raw()),
        // Whose a TCP connection is, nobody can tell.
        Stream::Tcp(_) => false,
    }
}
