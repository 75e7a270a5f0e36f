//! What a client has opened on its connection: each channel is a task of its own, counted and seen off.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument;

use crate::application::{Application, Login};
use crate::channel::{ChannelType, OpenFailureReason};
use crate::connection::{Shared, Stage, closing};
use crate::forward;
use crate::kex::DisconnectReason;
use crate::peer::Peer;
use crate::session::Session;
use crate::tokio_driver::{Handle, Incoming, IncomingOpen};

/// The channels of one client, each with its task.
pub(crate) struct Guests<A> {
    shared: Arc<Shared<A>>,
    login: Arc<Login>,
    tasks: JoinSet<Guest>,
    /// How many of the tasks are forwards.
    forwards: usize,
}

/// What a task was.
enum Guest {
    Session,
    Forward,
}

impl<A: Application> Guests<A> {
    /// Nobody yet.
    pub(crate) fn new(shared: Arc<Shared<A>>, login: Login) -> Self {
        Self {
            shared,
            login: Arc::new(login),
            tasks: JoinSet::new(),
            forwards: 0,
        }
    }

    /// Lets channels be opened until the connection is over.
    pub(crate) async fn attend(&mut self, handle: &Handle, stage: &mut watch::Receiver<Stage>) {
        let mut sent_away = false;
        loop {
            tokio::select! {
                incoming = handle.incoming() => match incoming {
                    Some(Incoming::Open(open)) => self.open(open),
                    // Nothing can be asked of the whole connection yet: dropped is refused.
                    Some(Incoming::Global(request)) => {
                        tracing::debug!(peer = %self.login.peer, request = request.request().name(), "refused");
                    }
                    None => return,
                },
                Some(ended) = self.tasks.join_next() => self.ended(ended),
                () = closing(stage), if !sent_away => {
                    sent_away = true;
                    handle.disconnect_with(DisconnectReason::ByApplication, "the server is ending").await;
                }
            }
        }
    }

    fn open(&mut self, open: IncomingOpen) {
        let sessions = self.tasks.len().saturating_sub(self.forwards);
        match open.channel_type().clone() {
            ChannelType::Session if sessions >= self.shared.limits.max_sessions => too_many(open),
            ChannelType::Session => {
                let Ok(channel) = open.accept() else { return };
                let span = tracing::info_span!("channel", kind = "session", id = ?channel.id());
                let session = Session::new(channel, Arc::clone(&self.login));
                let shared = Arc::clone(&self.shared);
                let served = async move {
                    shared.application.session(session).await;
                    Guest::Session
                };
                self.tasks.spawn(served.instrument(span));
            }
            ChannelType::DirectTcpip(_) if self.forwards >= self.shared.limits.max_forwards => too_many(open),
            ChannelType::DirectTcpip(wanted) => {
                self.forwards = self.forwards.saturating_add(1);
                let (shared, login) = (Arc::clone(&self.shared), Arc::clone(&self.login));
                let span = tracing::info_span!("channel", kind = "direct-tcpip");
                let served = async move {
                    forward::serve(&*shared.application, &login, &shared.limits, wanted, open).await;
                    Guest::Forward
                };
                self.tasks.spawn(served.instrument(span));
            }
            // No other type may be opened (Config::channels).
            _ => open.refuse(OpenFailureReason::UNKNOWN_CHANNEL_TYPE, "not offered"),
        }
    }

    fn ended(&mut self, ended: Result<Guest, tokio::task::JoinError>) {
        match ended {
            Ok(Guest::Session) => {}
            Ok(Guest::Forward) => self.forwards = self.forwards.saturating_sub(1),
            Err(error) => {
                tracing::error!(peer = %self.login.peer, %error, "a session of the application failed")
            }
        }
    }

    /// The connection is over and the tasks have noticed: they get time to end their programs.
    pub(crate) async fn see_off(mut self, peer: &Peer) {
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(FAREWELL_TIME, all).await.is_err() {
            tracing::warn!(%peer, "sessions that did not end by themselves are stopped");
        }
    }
}

fn too_many(open: IncomingOpen) {
    open.refuse(
        OpenFailureReason::RESOURCE_SHORTAGE,
        "too many open channels of this kind",
    );
}

/// What is left of a connection may take this long after it is over. A program that ignores HUP and TERM is killed by
/// then.
const FAREWELL_TIME: Duration = Duration::from_secs(20);
