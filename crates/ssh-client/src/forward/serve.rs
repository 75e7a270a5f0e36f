//! The task of one forward: takes connections, asks about them, joins them to their target, and ends in order.
//!
//! ```text
//!  Listening ──close, close_all, handle dropped, connection over──▶ Closed ──last connection ended──▶ Finished
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::Plan;
use super::handle::{Counters, Order, Progress};
use super::listen::{Arrived, Source};
use super::shares::{Place, Share};
use super::socks::{self, Asked};
use super::target::{Arrival, ForwardedStream, Target};
use crate::address::Address;
use crate::channel::{ChannelType, OpenFailureReason};
use crate::client::Client;
use crate::connect::{self, LocalEnd};
use crate::error::Error;
use crate::tokio_driver::{Accepting, Channel, IncomingOpen, relay};

/// What the task of a forward has.
pub(super) struct Serving {
    pub(super) client: Client,
    pub(super) plan: Arc<Plan>,
    pub(super) counters: Arc<Counters>,
    pub(super) orders: watch::Receiver<Order>,
    pub(super) progress: watch::Sender<Progress>,
}

/// How a forward ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// What is open goes on.
    Listening,
    Everything,
    /// The whole connection is over.
    Lost,
}

impl Serving {
    pub(super) async fn run(mut self, mut source: Source) {
        let mut connections = JoinSet::new();
        let end = self.listen(&mut source, &mut connections).await;
        if end != End::Listening {
            connections.shutdown().await;
        }
        let agreed = match end {
            End::Lost => {
                drop(source);
                true
            }
            End::Listening | End::Everything => source.close(&self.client).await,
        };
        let refused = !agreed;
        self.progress.send_replace(Progress::Closed { refused });
        self.drain(&mut connections).await;
        self.progress.send_replace(Progress::Finished { refused });
    }

    /// Takes connections until something ends that.
    async fn listen(&mut self, source: &mut Source, connections: &mut JoinSet<()>) -> End {
        let client = self.client.clone();
        let mut lost = std::pin::pin!(client.closed());
        let places = client.shares().connections(self.plan.most);
        let opening = client.shares().opening();
        let mut accepting = Accepting::new("a forward's");
        loop {
            tokio::select! {
                end = ordered(&mut self.orders) => return end,
                _why = &mut lost => return End::Lost,
                Some(_done) = connections.join_next() => {}
                arrived = next(source, &mut accepting, &places) => match arrived {
                    Some((Some(place), arrived)) => {
                        let connection = Connection {
                            client: client.clone(),
                            plan: Arc::clone(&self.plan),
                            counted: Counted::new(&self.counters),
                            opening: Arc::clone(&opening),
                            _place: place,
                        };
                        connections.spawn(connection.serve(arrived));
                    }
                    Some((None, arrived)) => {
                        Counted::new(&self.counters).refused();
                        refuse(arrived, Refusal::too_many());
                    }
                    None => return End::Everything,
                },
            }
        }
    }

    /// Waits for the last connection.
    async fn drain(&mut self, connections: &mut JoinSet<()>) {
        let client = self.client.clone();
        let mut lost = std::pin::pin!(client.closed());
        while !connections.is_empty() {
            tokio::select! {
                Some(_done) = connections.join_next() => {}
                _why = &mut lost => connections.shutdown().await,
                end = ordered(&mut self.orders) => if end == End::Everything {
                    connections.shutdown().await;
                },
            }
        }
    }
}

/// The next order that ends something.
async fn ordered(orders: &mut watch::Receiver<Order>) -> End {
    loop {
        let gone = orders.changed().await.is_err();
        let order = *orders.borrow_and_update();
        match order {
            Order::CloseAll => return End::Everything,
            Order::Alone if gone => std::future::pending().await,
            _ if gone => return End::Everything,
            Order::Close => return End::Listening,
            Order::Serve | Order::Alone => {}
        }
    }
}

/// The next connection and its place. A listener is not asked before there is one; what the server opens cannot wait.
async fn next(
    source: &mut Source,
    accepting: &mut Accepting,
    places: &Arc<Share>,
) -> Option<(Option<Place>, Arrived)> {
    if source.can_wait() {
        let place = places.take().await;
        return Some((Some(place), source.next(accepting).await?));
    }
    let arrived = source.next(accepting).await?;
    Some((places.try_take(), arrived))
}

fn refuse(arrived: Arrived, Refusal(reason, why): Refusal) {
    match arrived {
        Arrived::Channel(open) => open.refuse(reason, &why),
        Arrived::Tcp(..) | Arrived::Unix(_) => {}
    }
}

/// Counts one connection for as long as it lives.
struct Counted(Arc<Counters>);

impl Counted {
    fn new(counters: &Arc<Counters>) -> Self {
        let add = |counter: &AtomicU64| counter.fetch_add(1, Ordering::Relaxed);
        add(&counters.open);
        add(&counters.total);
        Self(Arc::clone(counters))
    }

    fn refused(&self) {
        self.0.refused.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection of a forward.
struct Connection {
    client: Client,
    plan: Arc<Plan>,
    counted: Counted,
    /// The forward's share of what may wait to be opened: its place there lasts until the answer.
    opening: Arc<Share>,
    _place: Place,
}

/// Why a connection was not forwarded, and what the other side is told.
struct Refusal(OpenFailureReason, String);

impl Refusal {
    fn not_accepted() -> Self {
        Self(
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
            "not accepted".to_owned(),
        )
    }

    fn too_many() -> Self {
        Self(
            OpenFailureReason::RESOURCE_SHORTAGE,
            "too many connections".to_owned(),
        )
    }

    fn unreachable(error: impl std::fmt::Display) -> Self {
        Self(OpenFailureReason::CONNECT_FAILED, error.to_string())
    }
}

impl Refusal {
    /// The same, told to whoever asked in the words of SOCKS.
    async fn told(self, asked: &Asked, stream: &mut (impl AsyncWrite + Unpin)) -> Self {
        let told = async {
            asked.answer(stream, socks::Answer::from(self.0)).await?;
            stream.shutdown().await
        };
        if let Err(error) = told.await {
            tracing::debug!(%error, "nobody hears that a connection was refused");
        }
        self
    }
}

async fn granted(asked: &Asked, stream: &mut (impl AsyncWrite + Unpin)) -> Result<(), Refusal> {
    let told = asked.answer(stream, socks::Answer::Granted).await;
    told.map_err(Refusal::unreachable)
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match &error {
            Error::Open {
                source: crate::tokio_driver::OpenError::Refused(failure),
                ..
            } => Self(failure.reason, error.to_string()),
            _ => Self::unreachable(error),
        }
    }
}

impl Connection {
    async fn serve(self, arrived: Arrived) {
        let result = match arrived {
            Arrived::Tcp(stream, from) => {
                let from = (from.ip().to_string(), u32::from(from.port()));
                self.serve_from_here(stream, Some(from)).await
            }
            Arrived::Unix(stream) => self.serve_from_here(stream, None).await,
            Arrived::Channel(open) => self.serve_from_server(open).await,
        };
        if let Err(Refusal(_, why)) = result {
            self.counted.refused();
            tracing::warn!(%why, "a connection was not forwarded");
        }
    }

    /// Asks about a connection; about one that speaks SOCKS when it has said where to.
    async fn accepted(&self, arrival: &Arrival) -> Result<(), Refusal> {
        if arrival.destination.is_none() && matches!(self.plan.target, Target::Socks) {
            return Ok(());
        }
        match &self.plan.decision {
            Some(decision) if !decision.accepts(arrival.clone()).await => Err(Refusal::not_accepted()),
            _ => Ok(()),
        }
    }

    fn arrival(&self, originator: Option<(String, u32)>) -> Arrival {
        let destination = match &self.plan.target {
            Target::Port(address) => Some(address.clone()),
            Target::Socket(_) | Target::Socks | Target::Serve(_) => None,
        };
        Arrival {
            originator,
            destination,
        }
    }

    /// A connection that came to this side goes on from the server.
    async fn serve_from_here<S>(
        &self,
        mut stream: S,
        originator: Option<(String, u32)>,
    ) -> Result<(), Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let arrival = self.arrival(originator);
        self.accepted(&arrival).await?;
        let channel = match &self.plan.target {
            Target::Port(to) => self.channel_to(to, &arrival).await?,
            Target::Socket(path) => {
                let _turn = self.opening.take().await;
                self.client.direct_streamlocal(path).await?
            }
            Target::Socks => {
                let (asked, arrival) = self.asked(&mut stream, arrival).await?;
                let channel = match self.channel_to(asked.to(), &arrival).await {
                    Ok(channel) => channel,
                    Err(refusal) => return Err(refusal.told(&asked, &mut stream).await),
                };
                granted(&asked, &mut stream).await?;
                channel
            }
            Target::Serve(handler) => {
                handler.serve(ForwardedStream::new(arrival, stream)).await;
                return Ok(());
            }
        };
        joined(channel, stream).await;
        Ok(())
    }

    /// Reads a SOCKS request, which says where to, and decides about it.
    async fn asked<S>(&self, stream: &mut S, mut arrival: Arrival) -> Result<(Asked, Arrival), Refusal>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let asked = Asked::read(stream).await.map_err(Refusal::unreachable)?;
        arrival.destination = Some(asked.to().clone());
        match self.accepted(&arrival).await {
            Ok(()) => Ok((asked, arrival)),
            Err(refusal) => Err(refusal.told(&asked, stream).await),
        }
    }

    async fn channel_to(&self, to: &Address, arrival: &Arrival) -> Result<Channel, Refusal> {
        let nobody = || ("127.0.0.1".to_owned(), 0);
        let from = arrival.originator.clone().unwrap_or_else(nobody);
        let _turn = self.opening.take().await;
        Ok(self.client.direct_tcpip_from(&to.host, to.port, from).await?)
    }

    /// A connection that came to the server goes on from here. Nothing is connected to before it is accepted, and the
    /// channel is opened only when what it leads to stands.
    async fn serve_from_server(&self, open: IncomingOpen) -> Result<(), Refusal> {
        let (channel, prepared) = match self.prepared(&open).await {
            Ok(prepared) => (open.accept().map_err(Refusal::unreachable)?, prepared),
            Err(Refusal(reason, why)) => {
                open.refuse(reason, &why);
                return Err(Refusal(reason, why));
            }
        };
        match prepared {
            Prepared::Tcp(stream) => joined(channel, stream).await,
            Prepared::Unix(stream) => joined(channel, stream).await,
            Prepared::Socks(arrival) => return self.proxy(channel, arrival).await,
            Prepared::Serve(arrival, handler) => {
                handler.serve(ForwardedStream::new(arrival, channel)).await;
            }
        }
        Ok(())
    }

    /// What the channel is to be joined to. The server's opens cannot wait for their turn: what waits is what is scarce.
    async fn prepared(&self, open: &IncomingOpen) -> Result<Prepared<'_>, Refusal> {
        let Some(_turn) = self.opening.try_take() else {
            return Err(Refusal::too_many());
        };
        let originator = match open.channel_type() {
            ChannelType::ForwardedTcpip(from) => Some((from.originator.clone(), from.originator_port)),
            _ => None,
        };
        let arrival = self.arrival(originator);
        self.accepted(&arrival).await?;
        Ok(match &self.plan.target {
            Target::Port(to) => Prepared::Tcp(
                connect::tcp(to, self.client.connect_limit(), LocalEnd::default())
                    .await
                    .map_err(unreached)?,
            ),
            Target::Socket(path) => {
                Prepared::Unix(UnixStream::connect(path).await.map_err(Refusal::unreachable)?)
            }
            Target::Socks => Prepared::Socks(arrival),
            Target::Serve(handler) => Prepared::Serve(arrival, handler),
        })
    }

    /// Connects from here to where a connection at the server says.
    async fn proxy(&self, mut channel: Channel, arrival: Arrival) -> Result<(), Refusal> {
        let (asked, _) = self.asked(&mut channel, arrival).await?;
        let stream = match connect::tcp(asked.to(), self.client.connect_limit(), LocalEnd::default()).await {
            Ok(stream) => stream,
            Err(error) => return Err(unreached(error).told(&asked, &mut channel).await),
        };
        granted(&asked, &mut channel).await?;
        joined(channel, stream).await;
        Ok(())
    }
}

/// Of a target on this side the server is told that it was not reached, and no more: names and addresses behind this
/// client are not its business.
fn unreached(error: Error) -> Refusal {
    tracing::debug!(%error, "the target of a forward was not reached");
    Refusal::unreachable("the target was not reached")
}

/// What a connection from the server is joined to.
enum Prepared<'a> {
    Tcp(tokio::net::TcpStream),
    Unix(UnixStream),
    Socks(Arrival),
    Serve(Arrival, &'a super::target::Handler),
}

async fn joined(channel: Channel, stream: impl AsyncRead + AsyncWrite) {
    if let Err(error) = relay(channel, stream).await {
        tracing::debug!(%error, "a forwarded connection broke");
    }
}
