//! `-W`: standard input and output lead to a host and port, or a Unix socket, behind the server.

use std::io::{stdin, stdout};

use ssh_client::config_file::ForwardListen;
use ssh_client::{Channel, Client};

use crate::stdio::{Out, drain, end, pump_in};
use crate::terminal::harmless;

/// Opens the way.
pub(super) async fn open(client: &Client, target: &ForwardListen) -> Result<Channel, String> {
    let opened = match target {
        ForwardListen::Tcp { host, port } => {
            let host = host.as_deref().unwrap_or_default();
            client.direct_tcpip(host, *port).await
        }
        ForwardListen::Path(path) => client.direct_streamlocal(path).await,
    };
    opened.map_err(|error| format!("{}\nstdio forwarding failed", harmless(&error.to_string())))
}

/// Standard output, taken before anything may put another file in its place.
pub(super) fn output() -> Result<Out, String> {
    Out::start(stdout()).map_err(|error| format!("stdout: {error}"))
}

/// Moves bytes both ways until the other side has ended. That ours has is passed on.
pub(super) async fn relay(channel: Channel, out: Out, null_input: bool) -> Result<(), String> {
    let parts = channel.split();
    let writer = parts.writer;
    let input = tokio::spawn(async move {
        if null_input {
            return end(writer).await;
        }
        pump_in(stdin(), writer).await
    });
    let written = drain(parts.reader, out).await;
    input.abort();
    written.map_err(|error| format!("writing to standard output: {error}"))
}
