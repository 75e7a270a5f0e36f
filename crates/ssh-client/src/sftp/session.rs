//! The task behind an [`Sftp`](super::Sftp): it owns the machine and its channel; everybody else sends it requests.
//!
//! ```text
//!  File, get, put, … ──Command { send, done }──▶ queue ──▶ machine ──▶ channel
//!         ▲                                                   │
//!         └────────────────── done(reply) ◀───────────────────┘
//! ```
//!
//! Requests are sent and replies read at the same time: a server stops reading requests while its replies are not read.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::sync::{mpsc, oneshot, watch};

use super::deadline::Deadline;
use super::error::{SessionEnd, SftpFault};
use crate::process::Process;
use crate::sftp_protocol::client::transfer::MAX_REQUESTS;
use crate::sftp_protocol::client::{Client as Machine, Event, Limits, RequestId};
use crate::sftp_protocol::{Extensions, Misuse, Reply, Request};
use crate::tokio_driver::{ChannelReader, ChannelWriter};
use crate::wire::usize_from;

/// Most requests that wait for their replies at a time; more wait in the queue. One file has its fill with that, and
/// several share it. OpenSSH's server is happy with any number, others are not.
const MAX_WAITING: u32 = MAX_REQUESTS;

/// While more than this is to be sent, no more requests are taken from the queue, in bytes.
const OUTPUT_BYTES: usize = 1024 * 1024;

/// A request on its way to the machine.
struct Command {
    request: Box<dyn Ask>,
    done: Done,
}

/// A request of any type.
trait Ask: Send {
    fn ask(&self, machine: &mut Machine) -> Result<RequestId, Misuse>;
}

impl<R: Request> Ask for R {
    fn ask(&self, machine: &mut Machine) -> Result<RequestId, Misuse> {
        machine.request(self)
    }
}

/// What becomes of a reply.
struct Done(Box<dyn FnOnce(Result<Reply, SftpFault>) + Send>);

/// The way to the session's task. When the last one is dropped the session ends, as soon as every reply has come.
#[derive(Clone)]
pub(super) struct Session {
    queue: mpsc::UnboundedSender<Command>,
    about: Arc<About>,
}

/// What the task tells everybody.
struct About {
    extensions: Extensions,
    limits: watch::Receiver<Limits>,
    end: OnceLock<Arc<SessionEnd>>,
}

impl Session {
    /// Introduces itself to the server and starts the task.
    pub(super) async fn start(process: Process, limit: Duration) -> Result<Self, SessionEnd> {
        let mut task = Task {
            machine: Machine::new(),
            stdin: process.stdin,
            stdout: process.stdout,
            stderr: process.stderr,
            stderr_ended: false,
            waiting: HashMap::new(),
            deadline: Deadline::new(limit),
        };
        let extensions = poll_fn(|cx| task.poll_ready(cx)).await?;
        let (queue, commands) = mpsc::unbounded_channel();
        let (limits, limits_seen) = watch::channel(task.machine.limits());
        let about = Arc::new(About {
            extensions,
            limits: limits_seen,
            end: OnceLock::new(),
        });
        tokio::spawn(task.run(commands, limits, Arc::clone(&about)));
        Ok(Self { queue, about })
    }

    /// What the server announced.
    pub(super) fn extensions(&self) -> &Extensions {
        &self.about.extensions
    }

    /// How large requests may be. Right from the reply to the first request on.
    pub(super) fn limits(&self) -> Limits {
        *self.about.limits.borrow()
    }

    /// Why it is over, if it is.
    pub(super) fn why_ended(&self) -> Option<Arc<SessionEnd>> {
        self.about.end.get().cloned()
    }

    /// Sends a request; `done` hears of the reply, on the session's task.
    pub(super) fn send<R: Request>(
        &self,
        request: R,
        done: impl FnOnce(Result<R::Answer, SftpFault>) + Send + 'static,
    ) {
        let command = Command {
            request: Box::new(request),
            done: Done(Box::new(move |reply| {
                done(reply.and_then(|reply| reply.answer::<R>().map_err(SftpFault::Refused)));
            })),
        };
        if let Err(mpsc::error::SendError(command)) = self.queue.send(command) {
            (command.done.0)(Err(SftpFault::Ended(self.about.why())));
        }
    }

    /// Sends a request and waits for its answer. Dropping the future forgets the answer.
    pub(super) async fn call<R: Request>(&self, request: R) -> Result<R::Answer, SftpFault> {
        let (sender, receiver) = oneshot::channel();
        self.send(request, move |answer| {
            // Nobody waits: the caller was dropped.
            let _unheard = sender.send(answer);
        });
        match receiver.await {
            Ok(answer) => answer,
            Err(_gone) => Err(SftpFault::Ended(self.about.why())),
        }
    }
}

impl About {
    fn why(&self) -> Arc<SessionEnd> {
        match self.end.get() {
            Some(end) => Arc::clone(end),
            None => Arc::new(SessionEnd::Closed),
        }
    }
}

/// The machine, its channel, and whose requests are under way.
struct Task {
    machine: Machine,
    stdin: ChannelWriter,
    stdout: ChannelReader,
    stderr: ChannelReader,
    stderr_ended: bool,
    waiting: HashMap<RequestId, Done>,
    /// For the oldest of them.
    deadline: Deadline<RequestId>,
}

impl Task {
    async fn run(
        mut self,
        mut commands: mpsc::UnboundedReceiver<Command>,
        limits: watch::Sender<Limits>,
        about: Arc<About>,
    ) {
        let end = Arc::new(poll_fn(|cx| self.poll(&mut commands, &limits, cx)).await);
        let _first = about.end.set(Arc::clone(&end));
        commands.close();
        for (_, done) in self.waiting.drain() {
            (done.0)(Err(SftpFault::Ended(Arc::clone(&end))));
        }
        while let Ok(command) = commands.try_recv() {
            (command.done.0)(Err(SftpFault::Ended(Arc::clone(&end))));
        }
    }

    /// Until the server has introduced itself.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<Extensions, SessionEnd>> {
        loop {
            let wrote = self.poll_write(cx)?;
            let read = self.poll_read(cx)?;
            while let Some(event) = self.machine.poll()? {
                if let Event::Ready { extensions, .. } = event {
                    return Poll::Ready(Ok(extensions));
                }
            }
            if !wrote && !read {
                return Poll::Pending;
            }
        }
    }

    /// Moves everything that can be moved; ready when the session is over.
    fn poll(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        limits: &watch::Sender<Limits>,
        cx: &mut Context<'_>,
    ) -> Poll<SessionEnd> {
        loop {
            match self.round(commands, limits, cx) {
                Ok(true) => {}
                Ok(false) => break,
                Err(end) => return Poll::Ready(end),
            }
        }
        self.deadline.poll(cx).map(|limit| SessionEnd::Timeout { limit })
    }

    /// True if anything moved.
    fn round(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        limits: &watch::Sender<Limits>,
        cx: &mut Context<'_>,
    ) -> Result<bool, SessionEnd> {
        let took = self.take_commands(commands, cx)?;
        let wrote = self.poll_write(cx)?;
        let read = self.poll_read(cx)?;
        while let Some(event) = self.machine.poll()? {
            let Event::Reply { id, reply } = event else {
                continue;
            };
            let known = self.machine.limits();
            limits.send_if_modified(|limits| std::mem::replace(limits, known) != known);
            self.deadline.answered(id);
            if let Some(done) = self.waiting.remove(&id) {
                (done.0)(Ok(reply));
            }
        }
        Ok(took || wrote || read)
    }

    fn take_commands(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        cx: &mut Context<'_>,
    ) -> Result<bool, SessionEnd> {
        let mut any = false;
        while self.waiting.len() < usize_from(MAX_WAITING) && self.machine.output().len() < OUTPUT_BYTES {
            match commands.poll_recv(cx) {
                Poll::Ready(Some(Command { request, done })) => match request.ask(&mut self.machine) {
                    Ok(id) => {
                        self.waiting.insert(id, done);
                        self.deadline.asked(id);
                    }
                    Err(misuse) => (done.0)(Err(SftpFault::Misuse(misuse))),
                },
                // Nobody is left to ask for anything.
                Poll::Ready(None) if self.waiting.is_empty() && self.machine.output().is_empty() => {
                    return Err(SessionEnd::Closed);
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
            any = true;
        }
        Ok(any)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        let mut any = false;
        while let Some(front) = self.machine.output().front() {
            match Pin::new(&mut self.stdin).poll_write(cx, front) {
                Poll::Ready(count) => self.machine.output().sent(count?),
                Poll::Pending => break,
            }
            any = true;
        }
        Ok(any)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, SessionEnd> {
        let stderr = self.drain_stderr(cx);
        match self.stdout.poll_next_chunk(cx) {
            Poll::Ready(Ok(Some(chunk))) => {
                self.machine.receive(chunk);
                Ok(true)
            }
            Poll::Ready(Ok(None)) => Err(SessionEnd::ClosedByServer),
            Poll::Ready(Err(error)) => Err(error.into()),
            Poll::Pending => Ok(stderr),
        }
    }

    /// What the server complains about: it shares the window with the replies, so somebody has to take it.
    fn drain_stderr(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while !self.stderr_ended {
            match self.stderr.poll_next_chunk(cx) {
                Poll::Ready(Ok(Some(chunk))) => {
                    tracing::debug!(text = %chunk.escape_ascii(), "the SFTP server says");
                    any = true;
                }
                Poll::Ready(_) => self.stderr_ended = true,
                Poll::Pending => break,
            }
        }
        any
    }
}
