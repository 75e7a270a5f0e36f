//! What the forwards of one connection share: places for their connections, and turns to have one opened.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::tokio_driver::may_take;

/// Connections of all forwards of a connection at a time, unless one of them may have more than half of that.
const CONNECTIONS: usize = 2 * super::MAX_FORWARDED_CONNECTIONS;

/// Connections of all forwards that may wait at a time for the other side to open them: what a server of this project
/// lets wait ([`Limits::pending_opens`](crate::channel::Limits)).
const OPENING: usize = 1_024;

/// The places of one connection.
pub(crate) struct Shares {
    connections: Arc<Pool>,
    opening: Arc<Pool>,
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            connections: Pool::new(CONNECTIONS),
            opening: Pool::new(OPENING),
        }
    }
}

impl Shares {
    /// The share of a forward that may have `most` connections. Where that is more than half of all places, there are
    /// more of them for as long as it stands.
    pub(super) fn connections(&self, most: usize) -> Arc<Share> {
        Share::new(&self.connections, most)
    }

    /// A forward's share of what may wait to be opened.
    pub(super) fn opening(&self) -> Arc<Share> {
        Share::new(&self.opening, super::MAX_OPENING_CONNECTIONS)
    }
}

/// Places of one kind. Whoever waits for one is told of each that becomes free.
struct Pool {
    /// How many there are at least.
    least: usize,
    state: watch::Sender<State>,
}

struct State {
    taken: usize,
    /// Twice as many as any share that stands may have, and `least` at least.
    all: usize,
    /// How many each share that stands may have.
    standing: Vec<usize>,
}

impl Pool {
    fn new(least: usize) -> Arc<Self> {
        let state = State {
            taken: 0,
            all: least,
            standing: Vec::new(),
        };
        Arc::new(Self {
            least,
            state: watch::Sender::new(state),
        })
    }

    /// A share comes or goes: there are as many places as those that stand ask for.
    fn stand(&self, change: impl FnOnce(&mut Vec<usize>)) {
        self.state.send_if_modified(|state| {
            change(&mut state.standing);
            let largest = state.standing.iter().copied().max().unwrap_or_default();
            let before = std::mem::replace(&mut state.all, self.least.max(largest.saturating_mul(2)));
            before < state.all
        });
    }
}

/// What one forward has of the places of a kind.
pub(super) struct Share {
    pool: Arc<Pool>,
    own: std::sync::Mutex<usize>,
    most: usize,
    /// One of the forward's connections at a time waits for the pool, the others behind it in their order.
    turn: Mutex<()>,
}

impl Share {
    fn new(pool: &Arc<Pool>, most: usize) -> Arc<Self> {
        pool.stand(|standing| standing.push(most));
        Arc::new(Self {
            pool: Arc::clone(pool),
            own: std::sync::Mutex::default(),
            most,
            turn: Mutex::default(),
        })
    }

    fn own(&self) -> std::sync::MutexGuard<'_, usize> {
        self.own.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A place, if this forward may take one now.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut own = self.own();
        let mut taken = false;
        // Nobody waits for a place to be taken.
        self.pool.state.send_if_modified(|state| {
            let free = state.all.saturating_sub(state.taken);
            taken = *own < self.most && may_take(*own, free, state.all);
            if taken {
                state.taken = state.taken.saturating_add(1);
            }
            false
        });
        if taken {
            *own = own.saturating_add(1);
        }
        taken.then(|| Place(Arc::clone(self)))
    }

    /// Waits for a place. May be dropped at any point.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        let _turn = self.turn.lock().await;
        let mut changed = self.pool.state.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(place) = self.try_take() {
                return place;
            }
            // The pool, which this holds, is what sends.
            let _never_gone = changed.changed().await;
        }
    }
}

/// It stands until its forward has ended and its last place is free.
impl Drop for Share {
    fn drop(&mut self) {
        self.pool.stand(|standing| {
            if let Some(own) = standing.iter().position(|most| *most == self.most) {
                standing.swap_remove(own);
            }
        });
    }
}

/// A place; dropping it frees it.
pub(super) struct Place(Arc<Share>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut own = self.0.own();
        *own = own.saturating_sub(1);
        self.0
            .pool
            .state
            .send_modify(|state| state.taken = state.taken.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(share: &Arc<Share>) -> Vec<Place> {
        std::iter::from_fn(|| share.try_take()).collect()
    }

    #[tokio::test]
    async fn a_forward_that_may_have_more_takes_nothing_from_others() {
        let shares = Shares::default();
        let (usual, large) = (shares.connections(512), shares.connections(2_000));
        let many = fill(&large);
        assert_eq!(many.len(), 2_000);
        assert_eq!(fill(&usual).len(), 512);
        assert_eq!(fill(&shares.connections(3)).len(), 3);
        drop((many, usual));
        assert_eq!(shares.connections.state.borrow().taken, 0);
    }

    #[tokio::test]
    async fn what_a_forward_brought_goes_with_it() {
        let shares = Shares::default();
        let all = || shares.connections.state.borrow().all;
        let (usual, large) = (shares.connections(512), shares.connections(2_000));
        let (larger, as_large) = (shares.connections(3_000), shares.connections(2_000));
        assert_eq!(all(), 6_000);
        drop(larger);
        assert_eq!(all(), 4_000, "two forwards ask for that");
        drop(as_large);
        let mut many = fill(&large);
        drop(large);
        assert_eq!((many.len(), all()), (2_000, 4_000), "its connections go on");
        let last = many.pop();
        drop(many);
        assert_eq!(all(), 4_000);
        drop(last);
        assert_eq!(all(), 1_024);
        // As if it had never been.
        let other = shares.connections(512);
        let (full, fuller) = (fill(&usual), fill(&other));
        assert_eq!((full.len(), fuller.len()), (512, 171));
        drop((full, fuller, usual, other));
        let state = shares.connections.state.borrow();
        assert_eq!((state.taken, state.standing.len()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_a_place_is_free_at_another_forward() {
        let shares = Shares::default();
        let (one, other) = (shares.connections(512), shares.connections(512));
        let (mut full, fuller) = (fill(&one), fill(&other));
        assert_eq!((full.len(), fuller.len()), (512, 171));
        // One that gives up keeps nobody from waiting.
        tokio::select! {
            biased;
            _place = other.take() => panic!("it has more than its share"),
            () = std::future::ready(()) => {}
        }
        let waiting = tokio::spawn({
            let other = Arc::clone(&other);
            async move { (other.take().await, other.take().await) }
        });
        while other.turn.try_lock().is_ok() {
            tokio::task::yield_now().await;
        }
        full.truncate(500);
        let got = waiting.await.unwrap();
        assert_eq!(*other.own(), 173);
        drop((full, fuller, got));
        assert_eq!((*one.own(), *other.own()), (0, 0));
    }
}
