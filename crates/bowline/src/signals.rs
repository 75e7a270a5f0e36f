//! Signals that end a program: caught, so that what it holds is given back first.
//!
//! What one program ignores, those that it starts ignore as well, and a program may be started with signals ignored
//! already: HUP by `nohup`, INT and QUIT by a script's `&`. A signal that is caught has its usual effect on them again.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What `^C` sends.
pub(crate) const INTERRUPT: SignalKind = SignalKind::interrupt();

/// The signals that end a program, all caught from now on.
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them.
    ///
    /// # Errors
    /// The system does not tell of signals.
    pub(crate) fn watch() -> Result<Self, String> {
        let listen = |kind: SignalKind| signal(kind).map_err(|error| format!("signals: {error}"));
        Ok(Self {
            hangup: listen(SignalKind::hangup())?,
            interrupt: listen(INTERRUPT)?,
            quit: listen(SignalKind::quit())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// The next one. May be dropped: none is lost.
    pub(crate) async fn next(&mut self) -> SignalKind {
        tokio::select! {
            _ = self.hangup.recv() => SignalKind::hangup(),
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.quit.recv() => SignalKind::quit(),
            _ = self.terminate.recv() => SignalKind::terminate(),
        }
    }
}

/// Waits for a signal that ends this program; its number.
///
/// # Errors
/// The system does not tell of signals.
pub(crate) async fn ended_by_signal() -> Result<i32, String> {
    Ok(Signals::watch()?.next().await.as_raw_value())
}
