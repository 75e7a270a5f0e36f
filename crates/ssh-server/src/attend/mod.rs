//! A running program and the channel of its session, until both are over.
//!
//! ```text
//!   client's data ──▶ input      the end of it too
//!   data          ◀── output     at its end, and the program too ──▶ exit-status or exit-signal, EOF, CLOSE
//!   signal        ──▶ the program
//!   CLOSE, connection gone ──▶ HUP, TERM, KILL (crate::child)
//! ```
//!
//! Requests come first: what the client has asked for before it closed the channel is done before anything ends.

mod pipes;
mod terminal;

use std::time::Duration;

use crate::channel::{ChannelRequest, ExitSignal, ExitStatus};
use crate::child::{self, Child, Ends, Exit};
use crate::pump;
use crate::session::Session;
use crate::tokio_driver::{ChannelControl, IncomingRequest};

/// Serves a running program. `patience` is what [`Process::hang_up`](crate::child::Process::hang_up) has with it once
/// the client has gone.
pub(crate) async fn attend(child: Child, session: Session, patience: Duration) {
    let buffers = session.buffers();
    let channel = session.into_channel();
    match child.ends {
        Ends::Pipes(ends) => pipes::attend(ends, child.process, channel, &buffers, patience).await,
        Ends::Terminal(pty) => terminal::attend(pty, child.process, channel, patience).await,
    }
}

/// What a served program has come to.
enum Outcome {
    /// It is over and has been reaped.
    Ended(std::io::Result<Exit>),
    /// The client has closed the channel, or the connection is gone.
    Left,
}

/// The next request, if one has come.
async fn waiting_request(control: &mut ChannelControl) -> Option<IncomingRequest> {
    tokio::select! {
        biased;
        request = control.next_request() => request,
        () = std::future::ready(()) => None,
    }
}

/// Tells the client how its program ended.
fn tell(control: &ChannelControl, exit: std::io::Result<Exit>) {
    match exit {
        Ok(exit) => pump::finish(control, told(exit)),
        Err(error) => tracing::warn!(%error, "the program's end could not be waited for"),
    }
}

fn told(exit: Exit) -> ChannelRequest {
    match exit {
        Exit::Code(status) => ExitStatus { status }.into(),
        Exit::Signal { number, core_dumped } => ExitSignal {
            core_dumped,
            ..ExitSignal::new(child::signal_name(number))
        }
        .into(),
    }
}
