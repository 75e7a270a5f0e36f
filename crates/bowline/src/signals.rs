//! Signals that end a client: caught, so that what it holds is given back first.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for a signal that ends this program; its number.
///
/// # Errors
/// The system does not tell of signals.
pub(crate) async fn ended_by_signal() -> Result<i32, String> {
    let listen = |kind: SignalKind| signal(kind).map_err(|error| format!("signals: {error}"));
    let (mut hangup, mut interrupt) = (listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?);
    let (mut quit, mut terminate) = (listen(SignalKind::quit())?, listen(SignalKind::terminate())?);
    let kind = tokio::select! {
        _ = hangup.recv() => SignalKind::hangup(),
        _ = interrupt.recv() => SignalKind::interrupt(),
        _ = quit.recv() => SignalKind::quit(),
        _ = terminate.recv() => SignalKind::terminate(),
    };
    Ok(kind.as_raw_value())
}
