//! The threads of `bowline sshd`: one for each processor, with an event loop of its own.
//!
//! ```text
//!  listeners ──shared by all──▶ thread ── event loop ── its connections, each from beginning to end
//!                               thread ── event loop ── …
//! ```
//!
//! A connection and the program that serves it never change threads: what is opened is taken by its reader while it is
//! in that processor's cache, and nothing waits for another thread to be woken (docs/decisions/0007). The limits on
//! connections are the server's, so they hold for all threads together.

use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use ssh_server::{Application, Listening, Server};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long calls to a file system may still take when nobody is served any more.
const LAST_CALLS: Duration = Duration::from_secs(1);

/// The threads that serve, until they are told to end.
pub(super) struct Threads {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Begins to serve what comes to `listeners`.
    ///
    /// # Errors
    /// The system gives no more descriptors or threads.
    pub(super) fn start<A: Application>(
        server: &Server<A>,
        listeners: &[TcpListener],
        farewell: Duration,
    ) -> Result<Self, String> {
        let (stop, _) = watch::channel(false);
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let runtime = crate::runtime()?;
            let listening = listen(server, listeners, &runtime)?;
            let stopped = stop.subscribe();
            let thread = std::thread::Builder::new()
                .name(format!("connections-{number}"))
                .spawn(move || {
                    runtime.block_on(serve(listening, stopped, farewell));
                    // A call to a file system that does not answer may never come back.
                    runtime.shutdown_timeout(LAST_CALLS);
                });
            threads.push(thread.map_err(|error| format!("no thread: {error}"))?);
        }
        Ok(Self { stop, threads })
    }

    /// Takes no more connections, lets those there are end for as long as [`start`](Self::start) was told, and waits.
    pub(super) fn end(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that served connections had panicked");
            }
        }
    }
}

/// The same listeners, taken from by the tasks of `runtime`.
fn listen<A: Application>(
    server: &Server<A>,
    listeners: &[TcpListener],
    runtime: &Runtime,
) -> Result<Vec<Listening>, String> {
    let _inside = runtime.enter();
    let shared = |listener: &TcpListener| {
        let copy = listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        let copy = copy.map_err(|error| format!("sharing a listener between threads: {error}"))?;
        server.listen_on(copy).map_err(|error| error.to_string())
    };
    listeners.iter().map(shared).collect()
}

async fn serve(listening: Vec<Listening>, mut stopped: watch::Receiver<bool>, farewell: Duration) {
    // An error says that nobody is left to stop this thread, which is as good a reason.
    let _ = stopped.wait_for(|stop| *stop).await;
    let farewells: Vec<_> = listening
        .into_iter()
        .map(|one| tokio::spawn(one.drain(farewell)))
        .collect();
    for done in farewells {
        let _ = done.await;
    }
}
