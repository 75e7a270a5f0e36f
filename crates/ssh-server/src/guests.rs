//! What a client has opened on its connection: each channel is a task of its own, counted and seen off.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{Instrument, Span};

use crate::application::{Application, Login};
use crate::channel::{ChannelType, OpenFailureReason};
use crate::connection::{Shared, Stage, closing};
use crate::kex::DisconnectReason;
use crate::peer::Peer;
use crate::places::{Kind, Place};
use crate::session::Session;
use crate::tokio_driver::{Handle, Incoming, IncomingGlobal, IncomingOpen};
use crate::visit::{Extras, SessionExtras, Visit};
use crate::{forward, listen, timeouts};

/// The channels of one client, each with its task.
pub(crate) struct Guests<A> {
    visit: Arc<Visit<A>>,
    tasks: JoinSet<()>,
    /// Where requests about the whole connection are served, once there has been one.
    desk: Option<mpsc::Sender<IncomingGlobal>>,
}

impl<A: Application> Guests<A> {
    /// Nobody yet.
    pub(crate) fn new(shared: Arc<Shared<A>>, login: Login, handle: Handle) -> Self {
        Self {
            visit: Arc::new(Visit::new(shared, login, handle)),
            tasks: JoinSet::new(),
            desk: None,
        }
    }

    /// The user.
    pub(crate) fn user(&self) -> &str {
        &self.visit.login.user
    }

    /// Lets channels be opened until the connection is over.
    pub(crate) async fn attend(&mut self, stage: &mut watch::Receiver<Stage>) {
        let visit = Arc::clone(&self.visit);
        let mut unused = std::pin::pin!(unused(&visit));
        let mut sent_away = false;
        loop {
            tokio::select! {
                incoming = visit.handle.incoming() => match incoming {
                    Some(Incoming::Open(open)) => self.open(open),
                    Some(Incoming::Global(request)) => self.ask(request),
                    None => return,
                },
                Some(ended) = self.tasks.join_next() => if let Err(error) = ended {
                    tracing::error!(peer = %visit.login.peer, %error, "a session of the application failed");
                },
                () = closing(stage), if !sent_away => {
                    sent_away = true;
                    visit.handle.disconnect_with(DisconnectReason::ByApplication, "the server is ending").await;
                }
                () = &mut unused, if !sent_away => {
                    sent_away = true;
                    tracing::info!(peer = %visit.login.peer, "no channel was open for too long");
                    visit.handle.disconnect_with(DisconnectReason::ByApplication, UNUSED).await;
                }
            }
        }
    }

    fn open(&mut self, open: IncomingOpen) {
        let kind = match open.channel_type() {
            ChannelType::Session => Kind::Session,
            ChannelType::Tun(_) => Kind::Tunnel,
            _ => Kind::Forward,
        };
        let Some(place) = self.visit.places.take(kind) else {
            return open.refuse(
                OpenFailureReason::RESOURCE_SHORTAGE,
                "too many open channels of this kind",
            );
        };
        let visit = Arc::clone(&self.visit);
        let span = tracing::info_span!("channel", kind = open.channel_type().name());
        match open.channel_type().clone() {
            ChannelType::Session => self.open_session(open, place),
            ChannelType::DirectTcpip(wanted) => self.forward(place, span, async move {
                forward::tcpip(&visit, wanted, open).await;
            }),
            ChannelType::DirectStreamlocal(wanted) => self.forward(place, span, async move {
                forward::streamlocal(&visit, wanted, open).await;
            }),
            ChannelType::Tun(wanted) => self.forward(place, span, async move {
                forward::tun(&visit, wanted, open).await;
            }),
            // No other type may be opened (Config::channels).
            _ => open.refuse(OpenFailureReason::UNKNOWN_CHANNEL_TYPE, "not offered"),
        }
    }

    fn forward(&mut self, place: Place, span: Span, work: impl Future<Output = ()> + Send + 'static) {
        let served = async move {
            let _place = place;
            work.await;
        };
        self.tasks.spawn(served.instrument(span));
    }

    fn open_session(&mut self, open: IncomingOpen, place: Place) {
        let Ok(channel) = open.accept() else { return };
        let watch = channel.watch();
        let span = tracing::info_span!("channel", kind = "session", id = ?channel.id());
        let (running, over) = watch::channel(());
        let visit = Arc::clone(&self.visit);
        let extras = Arc::new(SessionExtras::new(Arc::clone(&visit), over));
        let extra: Arc<dyn Extras> = Arc::<SessionExtras<A>>::clone(&extras);
        let session = Session::new(channel, Arc::clone(&visit.login), extra);
        let started = session.started();
        let task = async move {
            let (_place, _running, _extras) = (place, running, extras);
            let mut served = std::pin::pin!(visit.shared.application.session(session));
            let limits = &visit.shared.limits.channel_timeouts;
            if limits.is_empty() {
                return served.await;
            }
            // In a place of its own: most servers have no such limits.
            let idle = Box::pin(timeouts::session(limits, &watch, &started));
            tokio::select! {
                () = &mut served => return,
                () = idle => watch.close(),
            }
            // The session sees that its channel is closed once the client has agreed to that, which it need not.
            if timeout(FAREWELL_TIME, served).await.is_err() {
                tracing::info!("a session that did not end with its channel is stopped");
            }
        };
        self.tasks.spawn(task.instrument(span));
    }

    /// Requests are served one by one, in their order, and nothing else waits for them.
    fn ask(&mut self, request: IncomingGlobal) {
        let desk = self.desk.get_or_insert_with(|| {
            let (desk, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
            self.visit
                .spawn(listen::attend(Arc::clone(&self.visit), requests));
            desk
        });
        // One too many is dropped, which is a refusal.
        if desk.try_send(request).is_err() {
            tracing::info!(peer = %self.visit.login.peer, "too many requests at once");
        }
    }

    /// The connection is over and the tasks have noticed: they get time to end their programs.
    pub(crate) async fn see_off(mut self, peer: &Peer) {
        self.desk = None;
        let mut others = self.visit.take_tasks();
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            while others.join_next().await.is_some() {}
        };
        if timeout(FAREWELL_TIME, all).await.is_err() {
            tracing::warn!(%peer, "sessions that did not end by themselves are stopped");
        }
    }
}

/// The tasks hold what holds them: whoever drops this value drops them too.
impl<A> Drop for Guests<A> {
    fn drop(&mut self) {
        drop(self.visit.take_tasks());
    }
}

/// Waits until the connection has had no channel for too long.
async fn unused<A: Application>(visit: &Visit<A>) {
    match visit.shared.limits.unused_connection_time {
        Some(limit) => visit.places.unused_for(limit).await,
        None => std::future::pending().await,
    }
}

/// What is left of a connection may take this long after it is over. A program that ignores HUP and TERM is killed by
/// then.
const FAREWELL_TIME: Duration = Duration::from_secs(20);
/// Requests about the whole connection that may wait for an answer.
const MAX_WAITING_REQUESTS: usize = 128;
/// What a client is told that has had no channel for too long.
const UNUSED: &str = "no channel was open for too long";
