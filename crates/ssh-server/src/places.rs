//! How many channels of a kind a connection may have at once, how many displays and terminals beside them, and for how
//! long it has had no channel.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::limits::Limits;
use crate::tokio_driver::may_take;

/// The places of one connection. Clones are the same places.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    taken: Arc<watch::Sender<Taken>>,
    most: Taken,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    sessions: usize,
    forwards: usize,
    displays: usize,
    terminals: usize,
    tunnels: usize,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A session.
    Session,
    /// A connection passed on, in either direction: TCP, Unix sockets, agent, X11.
    Forward,
    /// A display, which is a port and a file.
    Display,
    /// A terminal, which is one of the system's.
    Terminal,
    /// A tunnel, which is a network device.
    Tunnel,
}

impl Taken {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Session => &mut self.sessions,
            Kind::Forward => &mut self.forwards,
            Kind::Display => &mut self.displays,
            Kind::Terminal => &mut self.terminals,
            Kind::Tunnel => &mut self.tunnels,
        }
    }

    /// Whether no channel is open. Displays and terminals go with their sessions.
    fn none(&self) -> bool {
        self.sessions == 0 && self.forwards == 0 && self.tunnels == 0
    }
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            taken: Arc::new(watch::Sender::new(Taken::default())),
            most: Taken {
                sessions: limits.max_sessions,
                forwards: limits.max_forwards,
                displays: limits.max_displays,
                terminals: limits.max_terminals,
                tunnels: limits.max_tunnels,
            },
        }
    }

    /// A place, if there is one left.
    pub(crate) fn take(&self, kind: Kind) -> Option<Place> {
        self.take_if(kind, |free, _most| free > 0)
    }

    /// A place for what came to a listener that has led `own` to the client already, if the others leave it one: whoever
    /// fills some ports leaves room at the others, and for what the client opens.
    pub(crate) fn take_for_listener(&self, own: usize) -> Option<Place> {
        self.take_if(Kind::Forward, |free, most| may_take(own, free, most))
    }

    fn take_if(&self, kind: Kind, may: impl FnOnce(usize, usize) -> bool) -> Option<Place> {
        let mut most = self.most;
        let most = *most.of(kind);
        let taken = self.taken.send_if_modified(|taken| {
            let taken = taken.of(kind);
            let may = may(most.saturating_sub(*taken), most);
            if may {
                *taken = taken.saturating_add(1);
            }
            may
        });
        taken.then(|| Place {
            taken: Arc::clone(&self.taken),
            kind,
        })
    }

    /// Waits until no place has been taken for as long as `limit`.
    pub(crate) async fn unused_for(&self, limit: Duration) {
        let mut taken = self.taken.subscribe();
        loop {
            // This value holds the sender: it cannot be gone.
            let _never_gone = taken.wait_for(Taken::none).await.map(drop);
            let used = async { taken.wait_for(|taken| !taken.none()).await.map(drop) };
            tokio::select! {
                biased;
                _never_gone = used => {}
                () = sleep(limit) => return,
            }
        }
    }
}

/// A place; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Place {
    taken: Arc<watch::Sender<Taken>>,
    kind: Kind,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.send_modify(|taken| {
            let taken = taken.of(self.kind);
            *taken = taken.saturating_sub(1);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn places(max_sessions: usize, max_forwards: usize) -> Places {
        Places::new(&Limits {
            max_sessions,
            max_forwards,
            ..Limits::default()
        })
    }

    #[test]
    fn a_place_is_free_again_when_it_is_dropped() {
        let places = places(1, 2);
        let session = places.take(Kind::Session);
        assert!(session.is_some() && places.take(Kind::Session).is_none());
        let forwards = [places.take(Kind::Forward), places.take(Kind::Forward)];
        assert!(forwards.iter().all(Option::is_some) && places.take(Kind::Forward).is_none());
        drop(session);
        assert!(places.take(Kind::Session).is_some());
        drop(forwards);
        assert!(places.take(Kind::Forward).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_without_a_place_begins_anew_with_each() {
        let (places, limit) = (places(1, 1), Duration::from_secs(10));
        let begin = Instant::now();
        places.unused_for(limit).await;
        assert_eq!(begin.elapsed(), limit);

        let other = places.clone();
        let busy = tokio::spawn(async move {
            for kind in [Kind::Session, Kind::Forward] {
                sleep(Duration::from_secs(9)).await;
                let place = other.take(kind);
                sleep(Duration::from_secs(100)).await;
                drop(place);
            }
        });
        let begin = Instant::now();
        places.unused_for(limit).await;
        assert_eq!(begin.elapsed(), Duration::from_secs(9 + 100 + 9 + 100 + 10));
        busy.await.unwrap();
    }
}
