//! The grip on a forward: where it listens, what goes through it, how it ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use super::Plan;
use super::listen::{Listening, Source};
use super::serve::Serving;
use crate::address::Address;
use crate::client::Client;
use crate::error::Error;

/// A forward that listens. It keeps its connection alive. Dropping it ends it and the connections made through it, and
/// tells the server where that is the one that listens.
///
/// `A` is where it listens: a [`SocketAddr`] or [`PathBuf`] of this side, an [`Address`] or [`PathBuf`] of the
/// server's, or [`Listening`], which is any of them.
#[must_use = "dropping it ends the forward"]
pub struct Forward<A = Listening> {
    address: A,
    client: Client,
    order: watch::Sender<Order>,
    progress: watch::Receiver<Progress>,
    counters: Arc<Counters>,
}

/// What the handle wants of the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on; when the handle goes, end.
    Serve,
    /// Go on, and do not heed the handle any more.
    Alone,
    /// Stop listening; what is open goes on.
    Close,
    /// Stop listening and end what is open.
    CloseAll,
}

/// How far the task is with its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Listening,
    /// No longer listening.
    Closed {
        /// The server did not agree to stop.
        refused: bool,
    },
    /// No longer listening, and the last connection has ended.
    Finished {
        /// The server did not agree to stop.
        refused: bool,
    },
}

/// How many connections came to a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Connections {
    /// How many there are now, those included that are still being joined to their target.
    pub open: u64,
    /// How many have come, all in all.
    pub total: u64,
    /// How many of those were not forwarded: not accepted, one too many, or their target could not be reached.
    pub refused: u64,
}

/// The numbers behind [`Connections`].
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) open: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl<A> Forward<A> {
    pub(super) fn begin(client: Client, source: Source, address: A, plan: Plan) -> Self {
        let (order, orders) = watch::channel(Order::Serve);
        let (told, progress) = watch::channel(Progress::Listening);
        let counters = Arc::new(Counters::default());
        let serving = Serving {
            client: client.clone(),
            plan: Arc::new(plan),
            counters: Arc::clone(&counters),
            orders,
            progress: told,
        };
        tokio::spawn(serving.run(source));
        Self {
            address,
            client,
            order,
            progress,
            counters,
        }
    }

    /// The same forward with its place under another name.
    pub(super) fn map<B>(self, change: impl FnOnce(A) -> B) -> Forward<B> {
        Forward {
            address: change(self.address),
            client: self.client,
            order: self.order,
            progress: self.progress,
            counters: self.counters,
        }
    }

    /// Where it listens, with the port that was bound.
    pub const fn address(&self) -> &A {
        &self.address
    }

    /// What came to it so far.
    pub fn connections(&self) -> Connections {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Connections {
            open: read(&self.counters.open),
            total: read(&self.counters.total),
            refused: read(&self.counters.refused),
        }
    }

    /// Stops listening, at the server's side too, and waits until that is done. The connections that are open go on
    /// for as long as the handle lives.
    ///
    /// # Errors
    /// [`Error::RequestRefused`]: the server does not agree to stop. What comes from there is refused all the same.
    pub async fn close(&self) -> Result<(), Error> {
        self.order.send_if_modified(|order| {
            let serves = matches!(order, Order::Serve | Order::Alone);
            if serves {
                *order = Order::Close;
            }
            serves
        });
        self.outcome(|progress| *progress != Progress::Listening).await
    }

    /// Stops listening and ends the connections made through it.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn close_all(self) -> Result<(), Error> {
        self.order.send_replace(Order::CloseAll);
        self.outcome(|progress| matches!(progress, Progress::Finished { .. }))
            .await
    }

    /// Waits until it listens no longer and its last connection has ended: after [`close`](Self::close), or because
    /// the whole connection is over.
    pub async fn finished(&self) {
        let mut progress = self.progress.clone();
        // The task is gone when this fails, and everything of it.
        let _seen = progress
            .wait_for(|progress| matches!(progress, Progress::Finished { .. }))
            .await;
    }

    /// Lets it live as long as its connection, without a handle.
    pub fn detach(self) {
        self.order.send_replace(Order::Alone);
    }

    async fn outcome(&self, reached: impl FnMut(&Progress) -> bool) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        let refused = match progress.wait_for(reached).await.as_deref() {
            Ok(Progress::Closed { refused } | Progress::Finished { refused }) => *refused,
            // Without the task nothing listens.
            Ok(Progress::Listening) | Err(_) => false,
        };
        if refused {
            return Err(Error::RequestRefused {
                address: self.client.address().clone(),
                request: "to stop listening".to_owned(),
            });
        }
        Ok(())
    }
}

impl Forward<SocketAddr> {
    /// Where it listens on this side.
    pub const fn local_addr(&self) -> SocketAddr {
        self.address
    }
}

impl Forward<Address> {
    /// The port the server listens on.
    pub const fn port(&self) -> u16 {
        self.address.port
    }
}

impl Forward<PathBuf> {
    /// The socket it listens on.
    pub fn path(&self) -> &Path {
        &self.address
    }
}

impl<A: std::fmt::Debug> std::fmt::Debug for Forward<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("address", &self.address)
            .field("connections", &self.connections())
            .finish_non_exhaustive()
    }
}
