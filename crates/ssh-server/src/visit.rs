//! What everything that happens on one connection shares, once somebody has logged in.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::{OnceCell, Semaphore, watch};
use tokio::task::JoinSet;

use crate::agent::{self, AgentSocket};
use crate::application::{Application, Login};
use crate::aside::Threads;
use crate::channel::X11Req;
use crate::connection::Shared;
use crate::listen::Client;
use crate::places::{Kind, Place, Places};
use crate::pump::Buffers;
use crate::tokio_driver::Handle;
use crate::x11::{self, Display};

/// One connection of somebody who has logged in.
pub(crate) struct Visit<A> {
    pub(crate) shared: Arc<Shared<A>>,
    pub(crate) login: Arc<Login>,
    pub(crate) handle: Handle,
    pub(crate) places: Places,
    /// What holds its streams' bytes.
    pub(crate) buffers: Buffers,
    /// Its share of those for paths that it names.
    pub(crate) threads: Threads,
    /// The socket of the forwarded agent, once there is one.
    agent: OnceCell<Arc<AgentSocket>>,
    /// One display is made at a time.
    pub(crate) display_turn: Arc<Semaphore>,
    /// What goes on beside the channels that the client opens: listening, as a rule.
    tasks: Mutex<JoinSet<()>>,
}

impl<A: Application> Visit<A> {
    pub(crate) fn new(shared: Arc<Shared<A>>, login: Login, handle: Handle) -> Self {
        Self {
            places: Places::new(&shared.limits),
            buffers: Buffers::default(),
            threads: Threads::for_a_client(),
            shared,
            login: Arc::new(login),
            handle,
            agent: OnceCell::new(),
            display_turn: Arc::new(Semaphore::new(1)),
            tasks: Mutex::default(),
        }
    }

    /// The way to the client for what connects to the server.
    pub(crate) fn client(&self) -> Client {
        Client {
            handle: self.handle.clone(),
            places: self.places.clone(),
            timeouts: self.shared.limits.channel_timeouts.clone(),
            buffers: self.buffers.clone(),
        }
    }

    /// Lets something go on until the connection is over. It has to end by itself then.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of a connection failed");
            }
        }
        tasks.spawn(task);
    }

    async fn agent(&self) -> Option<Arc<AgentSocket>> {
        let permitted = self.login.permissions.agent_forwarding;
        if !permitted || !self.shared.application.agent_forwarding(&self.login).await {
            tracing::info!(peer = %self.login.peer, "agent forwarding refused");
            return None;
        }
        let made = self.agent.get_or_try_init(|| agent::listen(self)).await;
        match made {
            Ok(socket) => Some(Arc::clone(socket)),
            Err(error) => {
                tracing::warn!(peer = %self.login.peer, %error, "no socket for the agent");
                None
            }
        }
    }

    async fn display(&self, wanted: &X11Req, over: watch::Receiver<()>) -> Option<Display> {
        let permitted = self.login.permissions.x11_forwarding && x11::is_well_formed(wanted);
        let policy = if permitted {
            self.shared.application.x11(&self.login, wanted).await
        } else {
            None
        };
        let Some(policy) = policy else {
            tracing::info!(peer = %self.login.peer, "X11 forwarding refused");
            return None;
        };
        let Some(place) = self.places.take(Kind::Display) else {
            tracing::info!(peer = %self.login.peer, "X11 forwarding refused: too many displays");
            return None;
        };
        match x11::listen(self, wanted, policy, over, place).await {
            Ok(display) => Some(display),
            Err(error) => {
                tracing::warn!(peer = %self.login.peer, %error, "no display");
                None
            }
        }
    }
}

impl<A> Visit<A> {
    /// What goes on; dropping it stops everything.
    pub(crate) fn take_tasks(&self) -> JoinSet<()> {
        std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Option<T>> + Send + 'a>>;

/// What a session can be given besides its program, whatever the application is.
pub(crate) trait Extras: Send + Sync {
    /// A socket that leads to the client's agent.
    fn agent(&self) -> Answer<'_, Arc<AgentSocket>>;

    /// A display that leads to the client's.
    fn display<'a>(&'a self, wanted: &'a X11Req) -> Answer<'a, Display>;

    /// What holds the bytes of the connection's streams.
    fn buffers(&self) -> Buffers;

    /// The connection's threads for paths that its client names.
    fn threads(&self) -> Threads;

    /// Whether the session may have a terminal: the connection has not too many already, or this one is it.
    fn terminal(&self) -> bool;
}

/// The extras of one session.
pub(crate) struct SessionExtras<A> {
    pub(crate) visit: Arc<Visit<A>>,
    /// Says when the session is over.
    pub(crate) over: watch::Receiver<()>,
    /// The session's place among those with a terminal, kept until the session is over.
    terminal: OnceLock<Place>,
}

impl<A> SessionExtras<A> {
    pub(crate) fn new(visit: Arc<Visit<A>>, over: watch::Receiver<()>) -> Self {
        Self {
            visit,
            over,
            terminal: OnceLock::new(),
        }
    }
}

impl<A: Application> Extras for SessionExtras<A> {
    fn agent(&self) -> Answer<'_, Arc<AgentSocket>> {
        Box::pin(self.visit.agent())
    }

    fn display<'a>(&'a self, wanted: &'a X11Req) -> Answer<'a, Display> {
        Box::pin(self.visit.display(wanted, self.over.clone()))
    }

    fn buffers(&self) -> Buffers {
        self.visit.buffers.clone()
    }

    fn threads(&self) -> Threads {
        self.visit.threads.clone()
    }

    fn terminal(&self) -> bool {
        if self.terminal.get().is_some() {
            return true;
        }
        match self.visit.places.take(Kind::Terminal) {
            Some(place) => self.terminal.set(place).is_ok(),
            None => {
                tracing::info!(peer = %self.visit.login.peer, "a terminal refused: too many of them");
                false
            }
        }
    }
}
