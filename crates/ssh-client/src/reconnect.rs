//! A connection that is made again when it is lost, and forwards that come back with it.
//!
//! ```text
//!            ┌──────────── lost ─────────────┐
//!            ▼                               │
//!  Connecting ──connected──▶ Connected ──────┘
//!      │  ▲
//!      │  └── a pause, twice as long each time ── failed
//!      └── an error that no pause mends ──▶ GivenUp
//! ```

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::address::ToAddress;
use crate::client::Client;
use crate::config::Config;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::forward::{Forwarding, ListenOn, Listening};
use crate::host_keys::HostKeys;
use crate::tokio_driver::system_rng;

/// How long is waited between attempts to connect: by chance between half and all of a pause, and never less than
/// [`Backoff::SHORTEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause; each further one is twice as long as the one before.
    pub first: Duration,
    /// The longest pause. A connection that has lived so long starts anew with the first.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        }
    }
}

impl Backoff {
    /// The shortest pause, whatever is asked for: a server that refuses at once is not asked in an endless hurry.
    pub const SHORTEST: Duration = Duration::from_millis(100);

    /// The pause after the one of `last`: between half of it and the whole, by chance, so that many clients that lost
    /// one server do not come back at the same moment.
    fn next(&self, last: Option<Duration>) -> (Duration, Duration) {
        let whole = last
            .map_or(self.first, |last| last.saturating_mul(2))
            .min(self.longest)
            .max(Self::SHORTEST);
        let mut byte = [u8::MAX];
        if let Ok(mut rng) = system_rng() {
            rng.fill_bytes(&mut byte);
        }
        let half = whole / 2;
        let wait = half.saturating_add(half.saturating_mul(u32::from(byte[0])) / 255);
        (whole, wait.max(Self::SHORTEST))
    }
}

/// How it stands with a [`Reconnecting`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Standing {
    /// There is no connection yet, or no longer; why the last attempt failed, if it did.
    Connecting {
        /// What went wrong last.
        last: Option<Arc<Error>>,
    },
    /// There is one.
    Connected(Client),
    /// An error came that trying again does not mend: a wrong host key, a login that is refused. Nothing is tried any
    /// more.
    GivenUp(Arc<Error>),
    /// It was closed by this side.
    Closed,
}

type Connecting = Pin<Box<dyn Future<Output = Result<Client, Error>> + Send>>;
type Connect = Box<dyn Fn() -> Connecting + Send + Sync>;

/// A connection that is made again when it is lost. Dropping it ends that, its forwards, and the connection, too, unless
/// somebody else has a [`Client`] of it.
#[derive(Debug)]
pub struct Reconnecting {
    standing: watch::Receiver<Standing>,
    backoff: Backoff,
    /// Dropping it ends the task.
    _stop: oneshot::Sender<()>,
}

impl Reconnecting {
    /// Connects as [`Client::connect_with`] does, again and again. Begins at once.
    ///
    /// # Errors
    /// [`Error::BadAddress`].
    pub fn connect(
        config: Config,
        address: impl ToAddress,
        user: &str,
        host_keys: HostKeys,
        credentials: Credentials,
        backoff: Backoff,
    ) -> Result<Self, Error> {
        let (address, user) = (address.to_address()?, user.to_owned());
        Ok(Self::with(backoff, move || {
            let (config, address, user) = (config.clone(), address.clone(), user.clone());
            let (host_keys, credentials) = (host_keys.clone(), credentials.clone());
            async move { Client::connect_with(&config, address, &user, host_keys, credentials).await }
        }))
    }

    /// The same with a way of connecting of your own.
    pub fn with<F, C>(backoff: Backoff, connect: F) -> Self
    where
        F: Fn() -> C + Send + Sync + 'static,
        C: Future<Output = Result<Client, Error>> + Send + 'static,
    {
        let connect: Connect = Box::new(move || Box::pin(connect()));
        let (told, standing) = watch::channel(Standing::Connecting { last: None });
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(async move {
            tokio::select! {
                () = keep(&connect, backoff, &told) => {}
                _dropped = stopped => {
                    told.send_replace(Standing::Closed);
                }
            }
        });
        Self {
            standing,
            backoff,
            _stop: stop,
        }
    }

    /// How it stands now.
    pub fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Waits until it stands otherwise than when this was last asked, and says how.
    pub async fn changed(&mut self) -> Standing {
        // Without the task nothing changes any more.
        let _gone = self.standing.changed().await;
        self.standing.borrow_and_update().clone()
    }

    /// The connection, as soon as there is one. It is lost when the connection is: ask again then.
    ///
    /// # Errors
    /// What made it give up.
    pub async fn client(&self) -> Result<Client, Arc<Error>> {
        connected(&mut self.standing.clone()).await
    }

    /// A forward that is put back whenever the connection is made again, at the port it had before where that was the
    /// system's or the server's choice. Waits for the first time it stands, or fails.
    ///
    /// # Errors
    /// As [`Client::forward`], and what made the connection be given up.
    pub async fn forward(&self, forwarding: Forwarding) -> Result<KeptForward, Arc<Error>> {
        let (told, listening) = watch::channel(None);
        let (stop, stopped) = oneshot::channel();
        let (first, outcome) = oneshot::channel();
        let (standing, backoff) = (self.standing.clone(), self.backoff);
        tokio::spawn(async move {
            tokio::select! {
                () = put_back(standing, backoff, forwarding, first, &told) => {}
                _dropped = stopped => {}
            }
        });
        match outcome.await {
            Ok(Ok(())) => Ok(KeptForward {
                listening,
                _stop: stop,
            }),
            Ok(Err(error)) => Err(error),
            Err(_gone) => match self.standing() {
                Standing::GivenUp(error) => Err(error),
                _ => std::future::pending().await,
            },
        }
    }
}

/// A forward of a [`Reconnecting`]. Dropping it ends it.
#[derive(Debug)]
#[must_use = "dropping it ends the forward"]
pub struct KeptForward {
    listening: watch::Receiver<Option<Listening>>,
    _stop: oneshot::Sender<()>,
}

impl KeptForward {
    /// Where it listens; `None` while it does not, for want of a connection or because the server does not let it yet.
    pub fn listening(&self) -> Option<Listening> {
        self.listening.borrow().clone()
    }

    /// Waits until that changes, and says to what.
    pub async fn changed(&mut self) -> Option<Listening> {
        // Without the task nothing changes any more.
        let _gone = self.listening.changed().await;
        self.listening.borrow_and_update().clone()
    }
}

/// Connects, and connects again, until that makes no sense any more.
async fn keep(connect: &Connect, backoff: Backoff, told: &watch::Sender<Standing>) {
    let mut pause = None;
    loop {
        let last = match connect().await {
            Ok(client) => {
                let begin = Instant::now();
                told.send_replace(Standing::Connected(client.clone()));
                let source = client.closed().await;
                if begin.elapsed() >= backoff.longest {
                    pause = None;
                }
                let address = client.address().clone();
                Error::ConnectionLost { address, source }
            }
            Err(error) if is_final(&error) => {
                told.send_replace(Standing::GivenUp(Arc::new(error)));
                return;
            }
            Err(error) => error,
        };
        tracing::debug!(error = %last, "connecting again");
        let last = Some(Arc::new(last));
        told.send_replace(Standing::Connecting { last });
        let (whole, wait) = backoff.next(pause);
        pause = Some(whole);
        tokio::time::sleep(wait).await;
    }
}

/// Whether trying again does not mend it.
fn is_final(error: &Error) -> bool {
    match error {
        Error::Hop { source, .. } => is_final(source),
        error => matches!(
            error,
            Error::BadAddress { .. }
                | Error::BadUser { .. }
                | Error::NoHome
                | Error::HostKey { .. }
                | Error::Credential(_)
                | Error::LoginRefused { .. }
        ),
    }
}

/// The next connection there is.
async fn connected(standing: &mut watch::Receiver<Standing>) -> Result<Client, Arc<Error>> {
    let lost = |client: &Client| client.handle().why_closed().is_some();
    let found = standing
        .wait_for(|standing| match standing {
            Standing::Connecting { .. } => false,
            Standing::Connected(client) => !lost(client),
            Standing::GivenUp(_) | Standing::Closed => true,
        })
        .await;
    match found.as_deref() {
        Ok(Standing::Connected(client)) => Ok(client.clone()),
        Ok(Standing::GivenUp(error)) => Err(Arc::clone(error)),
        _ => Err(Arc::new(Error::ReconnectingClosed)),
    }
}

/// Puts a forward back on each connection. What fails after the first time is tried again: the server may still hold the
/// port for the connection that was lost.
async fn put_back(
    mut standing: watch::Receiver<Standing>,
    backoff: Backoff,
    mut forwarding: Forwarding,
    first: oneshot::Sender<Result<(), Arc<Error>>>,
    told: &watch::Sender<Option<Listening>>,
) {
    let mut first = Some(first);
    let mut pause = None;
    loop {
        let client = match connected(&mut standing).await {
            Ok(client) => client,
            Err(error) => {
                if let Some(first) = first {
                    let _unheard = first.send(Err(error));
                }
                return;
            }
        };
        match client.forward(&forwarding).await {
            Ok(forward) => {
                forwarding.listen = again(&forwarding.listen, forward.address());
                told.send_replace(Some(forward.address().clone()));
                if let Some(first) = first.take() {
                    let _unheard = first.send(Ok(()));
                }
                pause = None;
                let ended = |standing: &Standing| matches!(standing, Standing::GivenUp(_) | Standing::Closed);
                tokio::select! {
                    _why = client.closed() => {}
                    _ended = standing.wait_for(ended) => {}
                }
                told.send_replace(None);
            }
            Err(error) if client.handle().why_closed().is_some() => {
                tracing::debug!(%error, "the connection was lost while a forward was put back");
            }
            Err(error) => {
                if let Some(first) = first {
                    let _unheard = first.send(Err(Arc::new(error)));
                    return;
                }
                tracing::warn!(%error, "a forward is not back yet");
                let (whole, wait) = backoff.next(pause);
                pause = Some(whole);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Where a forward is to listen the next time: where it did.
fn again(wanted: &ListenOn, listening: &Listening) -> ListenOn {
    let mut again = wanted.clone();
    match (&mut again, listening) {
        (ListenOn::Here(wanted), Listening::Here(bound)) => wanted.port = bound.port(),
        (ListenOn::Server(wanted), Listening::Server(bound)) => wanted.port = bound.port,
        _ => {}
    }
    again
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_pause_is_shorter_than_the_shortest() {
        let second = Duration::from_secs(1);
        for (first, longest) in [
            (Duration::ZERO, Duration::ZERO),
            (Duration::ZERO, second),
            (second, Duration::ZERO),
            (Duration::from_nanos(1), second),
        ] {
            let backoff = Backoff { first, longest };
            let mut last = None;
            for _ in 0..20 {
                let (whole, wait) = backoff.next(last);
                assert!(
                    wait >= Backoff::SHORTEST && wait <= whole,
                    "{backoff:?}: {wait:?}"
                );
                assert!(whole <= longest.max(Backoff::SHORTEST), "{backoff:?}: {whole:?}");
                last = Some(whole);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_backoff_of_zero_does_not_spin() {
        let backoff = Backoff {
            first: Duration::ZERO,
            longest: Duration::ZERO,
        };
        let (tried, mut tries) = tokio::sync::mpsc::unbounded_channel();
        let begin = Instant::now();
        let kept = Reconnecting::with(backoff, move || {
            let _heard = tried.send(begin.elapsed());
            async { Err(Error::ReconnectingClosed) }
        });
        for count in 0..20 {
            let at = tries.recv().await.unwrap();
            assert!(at >= Backoff::SHORTEST * count, "attempt {count} after {at:?}");
        }
        drop(kept);
    }
}
