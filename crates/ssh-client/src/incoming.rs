//! What the server opens: channels somebody here has asked for go to whoever did, all others are refused.
//!
//! ```text
//!  CHANNEL_OPEN ──allow_opens──▶ Handle::incoming ──▶ Dispatcher ──the registry──▶ Guest (a forward, agents, X11)
//!                │ type never asked for            │ nobody expects it             │ its queue is full
//!                └────────▶ refused                └────────▶ refused              └──▶ refused
//! ```
//!
//! Two gates: the connection lets only types through that somebody expects, and the registry only channels that belong
//! to a request. No local socket is touched before both. The dispatcher runs only while something is expected.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::channel::{AUTH_AGENT, ChannelType, ForwardedTcpip, OpenFailureReason};
use crate::client::Client;
use crate::error::Error;
use crate::tokio_driver::{Handle, Incoming, IncomingOpen};

/// How many opens of the server may wait for the dispatcher.
const MAX_WAITING_OPENS: usize = 256;

/// How many may wait for each of those who expect them.
const MAX_WAITING_FOR_ONE: usize = 128;

/// How many may wait because the answer to a request to listen, which stood before them on the wire, has not reached
/// the one who asked.
const MAX_EARLY_OPENS: usize = 128;

/// What somebody expects the server to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A request to listen on TCP is under way: what exactly is known with its answer.
    SomeTcpip,
    /// The same for a Unix socket.
    SomeStreamlocal,
    /// Connections to a port that was asked for.
    Tcpip(Address),
    /// Connections to a socket that was asked for.
    Streamlocal(Vec<u8>),
    /// A session's programs ask for the agent.
    Agent,
    /// A session's programs ask for the display.
    X11,
}

impl Expected {
    /// The name of its channel type.
    const fn channel_type(&self) -> &'static str {
        match self {
            Self::SomeTcpip | Self::Tcpip(_) => "forwarded-tcpip",
            Self::SomeStreamlocal | Self::Streamlocal(_) => "forwarded-streamlocal@openssh.com",
            Self::Agent => AUTH_AGENT,
            Self::X11 => "x11",
        }
    }

    /// Whether it is not known yet what is expected.
    const fn is_open(&self) -> bool {
        matches!(self, Self::SomeTcpip | Self::SomeStreamlocal)
    }

    fn fits(&self, opened: &ChannelType) -> bool {
        match (self, opened) {
            (Self::Tcpip(wanted), ChannelType::ForwardedTcpip(opened)) => fits(wanted, opened),
            (Self::Streamlocal(wanted), ChannelType::ForwardedStreamlocal(opened)) => *wanted == opened.path,
            (Self::Agent, ChannelType::AuthAgent) | (Self::X11, ChannelType::X11(_)) => true,
            _ => false,
        }
    }
}

/// The port must be the one that was asked for, and so must the address, as it was spelled (RFC 4254 §7.2). Who asked
/// for every address may be told the one that was connected to.
fn fits(wanted: &Address, opened: &ForwardedTcpip) -> bool {
    let everywhere = matches!(wanted.host.as_str(), "" | "*" | "0.0.0.0" | "::");
    wanted.port == opened.port && (everywhere || wanted.host == opened.address)
}

/// Who expects what, on one connection.
#[derive(Default)]
pub(crate) struct Registry {
    guests: Mutex<Guests>,
    /// Told of every change.
    changed: Notify,
}

#[derive(Default)]
struct Guests {
    expected: BTreeMap<u64, (Expected, mpsc::Sender<IncomingOpen>)>,
    next: u64,
    /// Dropping it ends the dispatcher.
    running: Option<oneshot::Sender<()>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where `opened` goes, or, if nobody expects it, the newest request that may turn out to.
    fn find(&self, opened: &ChannelType) -> Result<mpsc::Sender<IncomingOpen>, Option<u64>> {
        let guests = self.lock();
        for (expected, sender) in guests.expected.values() {
            if expected.fits(opened) {
                return Ok(sender.clone());
            }
        }
        let undecided = |(_, (expected, _)): &(&u64, &(Expected, _))| {
            expected.is_open() && expected.channel_type() == opened.name()
        };
        Err(guests.expected.iter().rfind(undecided).map(|(id, _)| *id))
    }

    /// Hands an open to whoever expects it, after the requests that stood before it have been settled.
    async fn hand_over(self: Arc<Self>, open: IncomingOpen, newest: u64) {
        loop {
            let changed = self.changed.notified();
            // Asked first: what is decided after that is found, or heard of.
            let has_undecided = self.has_undecided(newest);
            match self.find(open.channel_type()) {
                Ok(guest) => return give(&guest, open),
                // Requests that were made later cannot be what it answers.
                Err(_) if has_undecided => changed.await,
                Err(_) => return refuse_unexpected(open),
            }
        }
    }

    fn has_undecided(&self, newest: u64) -> bool {
        let guests = self.lock();
        guests
            .expected
            .range(..=newest)
            .any(|(_, (each, _))| each.is_open())
    }
}

fn give(guest: &mpsc::Sender<IncomingOpen>, open: IncomingOpen) {
    match guest.try_send(open) {
        Ok(()) => {}
        Err(mpsc::error::TrySendError::Full(open)) => {
            open.refuse(OpenFailureReason::RESOURCE_SHORTAGE, "too many connections wait");
        }
        Err(mpsc::error::TrySendError::Closed(open)) => refuse_unexpected(open),
    }
}

fn refuse_unexpected(open: IncomingOpen) {
    tracing::warn!(
        channel_type = open.channel_type().name(),
        "the server opens what nobody asked for"
    );
    open.refuse(
        OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
        "nobody asked for this",
    );
}

/// Somebody who expects channels. Nothing is expected any more when it is dropped.
pub(crate) struct Guest {
    id: u64,
    registry: Arc<Registry>,
    handle: Handle,
    opens: mpsc::Receiver<IncomingOpen>,
}

impl Guest {
    /// The next channel that was expected; `None` when the connection is over.
    pub(crate) async fn next(&mut self) -> Option<IncomingOpen> {
        self.opens.recv().await
    }

    /// Whether nobody else expects the same.
    pub(crate) fn is_alone(&self) -> bool {
        let guests = self.registry.lock();
        let Some((own, _)) = guests.expected.get(&self.id) else {
            return false;
        };
        let same = guests.expected.values().filter(|(other, _)| other == own);
        same.count() == 1
    }

    /// Says what exactly is expected; `false` if somebody else expects that already.
    pub(crate) fn expects(&self, exactly: Expected) -> bool {
        let mut guests = self.registry.lock();
        let taken = guests.expected.values().any(|(other, _)| *other == exactly);
        if !taken && let Some((expected, _)) = guests.expected.get_mut(&self.id) {
            *expected = exactly;
        }
        drop(guests);
        self.registry.changed.notify_waiters();
        !taken
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut guests = self.registry.lock();
        let gone = guests.expected.remove(&self.id);
        if let Some((expected, _)) = gone {
            let name = expected.channel_type();
            if !guests
                .expected
                .values()
                .any(|(each, _)| each.channel_type() == name)
            {
                self.handle.forbid_opens(name);
            }
        }
        if guests.expected.is_empty() {
            self.handle.limit_incoming(0);
            guests.running = None;
        }
        drop(guests);
        self.registry.changed.notify_waiters();
    }
}

impl Client {
    /// Lets the server open what is expected, from now on.
    pub(crate) fn expect(&self, expected: Expected) -> Result<Guest, Error> {
        if self.application_hears_opens() {
            return Err(Error::IncomingTaken {
                address: self.address().clone(),
            });
        }
        let registry = self.registry();
        let handle = self.handle().clone();
        let (sender, opens) = mpsc::channel(MAX_WAITING_FOR_ONE);
        let mut guests = registry.lock();
        let id = guests.next;
        guests.next = id.saturating_add(1);
        handle.allow_opens(expected.channel_type());
        handle.limit_incoming(MAX_WAITING_OPENS);
        guests.expected.insert(id, (expected, sender));
        if guests.running.is_none() {
            let (running, stop) = oneshot::channel();
            guests.running = Some(running);
            tokio::spawn(dispatch(handle.clone(), Arc::clone(registry), stop));
        }
        drop(guests);
        Ok(Guest {
            id,
            registry: Arc::clone(registry),
            handle,
            opens,
        })
    }
}

/// Brings what the server opens to those who expect it, until nobody does. Never waits for anybody but the server.
async fn dispatch(handle: Handle, registry: Arc<Registry>, mut stop: oneshot::Receiver<()>) {
    let mut early = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            _stopped = &mut stop => return,
            Some(_done) = early.join_next() => continue,
            incoming = handle.incoming() => incoming,
        };
        let open = match incoming {
            Some(Incoming::Open(open)) => open,
            Some(Incoming::Global(request)) => {
                tracing::debug!(?request, "the server asks what nobody answers");
                request.refuse();
                continue;
            }
            None => return,
        };
        match registry.find(open.channel_type()) {
            Ok(guest) => give(&guest, open),
            Err(Some(newest)) if early.len() < MAX_EARLY_OPENS => {
                early.spawn(Arc::clone(&registry).hand_over(open, newest));
            }
            Err(Some(_)) => open.refuse(
                OpenFailureReason::RESOURCE_SHORTAGE,
                "too many requests are waiting",
            ),
            Err(None) => refuse_unexpected(open),
        }
    }
}
