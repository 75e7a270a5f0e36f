//! Signals that end a program: caught, so that what it holds is given back first.
//!
//! What one program ignores, those that it starts ignore as well, and a program may be started with signals ignored
//! already: HUP by `nohup`, INT and QUIT by a script's `&`. A client leaves those ignored, as OpenSSH's does: it was
//! started so in order to go on. A server catches them: then they have their usual effect on what it starts.

use std::future::poll_fn;
use std::task::Poll;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What `^C` sends.
pub(crate) const INTERRUPT: SignalKind = SignalKind::interrupt();

/// The signals that end a program.
const ENDING: [SignalKind; 4] = [
    SignalKind::hangup(),
    INTERRUPT,
    SignalKind::quit(),
    SignalKind::terminate(),
];

/// Those of them that are caught from now on.
pub(crate) struct Signals(Vec<(SignalKind, Signal)>);

impl Signals {
    /// Catches those that this program was not started to ignore. Where the system does not tell which those are
    /// (only Linux does), all of them.
    ///
    /// # Errors
    /// The system does not tell of signals.
    pub(crate) fn watch() -> Result<Self, String> {
        let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |status| ignored(&status));
        Self::catch(|kind| !is_in(ignored, kind))
    }

    /// Catches all of them.
    ///
    /// # Errors
    /// The system does not tell of signals.
    pub(crate) fn watch_ignored_too() -> Result<Self, String> {
        Self::catch(|_| true)
    }

    fn catch(wanted: impl Fn(SignalKind) -> bool) -> Result<Self, String> {
        let kinds = ENDING.into_iter().filter(|kind| wanted(*kind));
        let caught: std::io::Result<_> = kinds.map(|kind| Ok((kind, signal(kind)?))).collect();
        Ok(Self(caught.map_err(|error| format!("signals: {error}"))?))
    }

    /// The next one. May be dropped: none is lost.
    pub(crate) async fn next(&mut self) -> SignalKind {
        poll_fn(|cx| {
            for (kind, signal) in &mut self.0 {
                if signal.poll_recv(cx).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// The mask of ignored signals in a process's status: proc(5).
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Whether a mask has a signal: the lowest bit is signal 1.
fn is_in(mask: u64, kind: SignalKind) -> bool {
    let bit = u32::try_from(kind.as_raw_value())
        .ok()
        .and_then(|number| number.checked_sub(1));
    bit.and_then(|bit| mask.checked_shr(bit))
        .is_some_and(|rest| rest & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_is_read_as_proc_5_has_it() {
        let mask = ignored("Name:\tsh\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000004005\n");
        assert_eq!(ENDING.map(|kind| is_in(mask, kind)), [true, false, true, true]);
        for none in ["", "SigIgn:\n", "SigIgn:\tzz\n"] {
            assert_eq!(ignored(none), 0, "{none:?}");
        }
    }
}
