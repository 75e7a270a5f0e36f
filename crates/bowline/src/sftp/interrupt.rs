//! `^C`, told to whoever follows commands, once somebody wants to hear of it instead of being ended by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Where the signal is heard.
pub(super) struct Teller {
    told: watch::Sender<()>,
    is_wanted: Arc<AtomicBool>,
}

/// Where commands are followed.
pub(super) struct Interrupts {
    told: watch::Receiver<()>,
    is_wanted: Arc<AtomicBool>,
}

/// Both ends. Nobody wants to hear of it yet.
pub(super) fn channel() -> (Teller, Interrupts) {
    let (told, heard) = watch::channel(());
    let is_wanted = Arc::new(AtomicBool::new(false));
    let teller = Teller {
        told,
        is_wanted: Arc::clone(&is_wanted),
    };
    (
        teller,
        Interrupts {
            told: heard,
            is_wanted,
        },
    )
}

impl Teller {
    /// Tells of it; false if nobody wants to hear.
    pub(super) fn tell(&self) -> bool {
        let is_wanted = self.is_wanted.load(Ordering::Relaxed);
        if is_wanted {
            self.told.send_replace(());
        }
        is_wanted
    }
}

impl Interrupts {
    /// From now on it is told here and ends nothing else.
    pub(super) fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// What was told until now concerned somebody else.
    pub(super) fn forget(&mut self) {
        self.told.mark_unchanged();
    }

    /// Waits for the next one. May be dropped.
    pub(super) async fn next(&mut self) {
        if self.told.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_told_to_who_wants_it_and_old_ones_are_forgotten() {
        let (teller, mut interrupts) = channel();
        assert!(!teller.tell());
        interrupts.want();
        assert!(teller.tell() && teller.tell());
        interrupts.next().await;
        assert!(teller.tell());
        interrupts.forget();
        tokio::select! {
            biased;
            () = interrupts.next() => panic!("an old one"),
            () = std::future::ready(()) => {}
        }
    }
}
