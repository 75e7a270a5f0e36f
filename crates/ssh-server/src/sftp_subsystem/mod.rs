//! The subsystem `sftp`: a channel, the protocol's machine, and a file system behind it.
//!
//! ```text
//!   channel ──chunks──▶ sftp::Server ──requests──▶ Schedule ──batches──▶ threads that may block ──▶ Filesystem
//!      ▲                    │  ▲                                              │
//!      └──── blocks ────────┘  └── in the order of the requests ◀── answers ───┘
//! ```
//!
//! Nobody waits for anybody here but for a bound: requests are read while a reply waits for the channel's window, up to
//! what [`server::Limits`](crate::sftp::server::Limits) allows; replies are sent while files are read. Requests go to
//! the blocking threads in batches, because handing one over costs more than most of them do; which of them may be
//! under way at once is decided by [`schedule`]. What waits for a thread waits in the conversation and goes with it: a
//! client that breaks off leaves behind what has begun, on threads that are counted, and nothing else.

mod jobs;
mod order;
mod schedule;

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use self::jobs::{Desk, Finished};
use self::order::{InOrder, Place};
use self::schedule::{BatchId, Schedule};
use crate::aside::{EndsAside, Thread, Threads};
use crate::filesystem::Filesystem;
use crate::kex::{Quirk, Quirks};
use crate::pump;
use crate::sftp::extension::Extension;
use crate::sftp::server::{Config, Event, Response};
use crate::sftp::{self as protocol, Server};
use crate::tokio_driver::{Channel, ChannelError, ChannelReader, Parts};
use crate::wire::bytes::{Buf, Bytes};

/// Why a conversation is over before its client said so.
#[derive(Debug, thiserror::Error)]
enum Ended {
    /// The client broke the protocol.
    #[error(transparent)]
    Protocol(#[from] protocol::Error),
    /// The channel or the connection is gone.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The same, seen by a writer.
    #[error("the channel takes no more data: {0}")]
    Write(#[from] io::Error),
    /// No thread will ever be free: the server is ending.
    #[error("there is no thread for file calls: {0}")]
    Threads(#[source] io::Error),
    /// A request will never be answered, and everything behind it waits for that.
    #[error("the file system panicked")]
    Panicked,
}

/// Serves one client over `channel` until it has sent EOF and got its answers, or has gone. The caller has accepted the
/// subsystem request; it gets an exit status as from a program.
pub(crate) async fn serve(
    channel: Channel,
    filesystem: Arc<dyn Filesystem>,
    threads: Threads,
    client: Quirks,
) {
    let Parts {
        reader,
        stderr_reader,
        mut writer,
        stderr_writer: _,
        mut control,
    } = channel.split();
    let config = Config {
        extensions: EXTENSIONS.to_vec(),
        draft_symlink: client.has(Quirk::DraftSymlink),
        ..Config::default()
    };
    let mut conversation = Conversation::new(config, filesystem, threads);
    let result = tokio::select! {
        result = conversation.run(reader, &mut writer) => result,
        () = pump::discard(stderr_reader) => Ok(()),
        // No request means anything to a running subsystem: dropping one refuses it.
        () = async { while control.next_request().await.is_some() {} } => return,
    };
    let status = match &result {
        Ok(()) => 0,
        Err(error) => {
            tracing::debug!(%error, "sftp ended");
            1
        }
    };
    pump::finish(&control, crate::channel::ExitStatus { status }.into());
}

/// What is claimed beyond version 3.
const EXTENSIONS: [Extension; 6] = [
    Extension::PosixRename,
    Extension::StatVfs,
    Extension::FStatVfs,
    Extension::HardLink,
    Extension::Fsync,
    Extension::LSetStat,
];

/// One conversation: the machine, the open files, the work under way.
struct Conversation {
    server: Server,
    desk: Desk,
    schedule: Schedule<(Ticket, jobs::Work)>,
    answers: InOrder<Response>,
    filesystem: Arc<dyn Filesystem>,
    /// The connection's, for all its conversations.
    threads: Threads,
    /// Its turn to have one, while there is work and none is free.
    turn: Option<Turn>,
    done: mpsc::UnboundedReceiver<Done>,
    /// Given to every batch. The queue is bounded by the requests that may be in work.
    report: mpsc::UnboundedSender<Done>,
    /// A job has panicked.
    panicked: bool,
}

/// Files are closed on a thread, whoever is gone: where the file system does not answer, that takes for ever.
impl Drop for Conversation {
    fn drop(&mut self) {
        self.done.close();
        let mut opened = Vec::new();
        while let Ok(done) = self.done.try_recv() {
            opened.push(done);
        }
        let desk = std::mem::replace(&mut self.desk, Desk::new(0));
        let waiting = std::mem::take(&mut self.schedule);
        if !opened.is_empty() || !desk.is_empty() || !waiting.is_empty() {
            drop(EndsAside::new(&self.threads, (opened, desk, waiting)));
        }
    }
}

/// The way to the next thread.
type Turn = Pin<Box<dyn Future<Output = io::Result<Thread>> + Send>>;

/// What a blocking thread reports.
enum Done {
    /// `None`: the work was lost in a panic.
    Job(Place, Option<Finished>),
    Batch(BatchId),
}

/// A promise to report, which is kept even if the work panics: nobody would know otherwise.
struct Ticket {
    due: Option<Done>,
    report: mpsc::UnboundedSender<Done>,
}

impl Ticket {
    fn job(place: Place, report: &mpsc::UnboundedSender<Done>) -> Self {
        Self {
            due: Some(Done::Job(place, None)),
            report: report.clone(),
        }
    }

    fn batch(id: BatchId, report: &mpsc::UnboundedSender<Done>) -> Self {
        Self {
            due: Some(Done::Batch(id)),
            report: report.clone(),
        }
    }

    fn finished(mut self, finished: Finished) {
        if let Some(Done::Job(_, result)) = &mut self.due {
            *result = Some(finished);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(due) = self.due.take() {
            // Nobody listens when the client has gone; what had begun before that is still done.
            let _gone = self.report.send(due);
        }
    }
}

/// Waits until it is its turn to have a thread, if it waits for one.
async fn its_turn(turn: &mut Option<Turn>) -> io::Result<Thread> {
    match turn {
        Some(turn) => turn.await,
        None => std::future::pending().await,
    }
}

impl Conversation {
    fn new(config: Config, filesystem: Arc<dyn Filesystem>, threads: Threads) -> Self {
        let (report, done) = mpsc::unbounded_channel();
        let desk = Desk::new(config.limits.handles);
        Self {
            server: Server::new(config),
            desk,
            schedule: Schedule::default(),
            answers: InOrder::default(),
            filesystem,
            threads,
            turn: None,
            done,
            report,
            panicked: false,
        }
    }

    async fn run(
        &mut self,
        mut reader: ChannelReader,
        writer: &mut (impl AsyncWriteExt + Unpin),
    ) -> Result<(), Ended> {
        let mut input_over = false;
        // What is being sent; the rest waits in the machine's outbox.
        let mut block = Bytes::new();
        loop {
            let broken = self.work().err();
            if block.is_empty() {
                block = self.server.output().take().unwrap_or_default();
            }
            if let Some(error) = broken {
                // What is answered already still reaches the client; nothing more is done.
                self.turn = None;
                self.flush(block, writer).await?;
                return Err(error);
            }
            let idle = block.is_empty() && self.server.in_work() == 0;
            if idle {
                self.desk.rest();
            }
            if input_over && idle {
                return Ok(());
            }
            tokio::select! {
                sent = writer.write(&block), if !block.is_empty() => {
                    block.advance(sent?);
                    if block.is_empty() {
                        self.desk.give_back(std::mem::take(&mut block));
                    }
                }
                Some(done) = self.done.recv() => self.take(done),
                thread = its_turn(&mut self.turn) => {
                    self.turn = None;
                    self.begin(thread.map_err(Ended::Threads)?);
                }
                chunk = reader.next_chunk(), if !input_over && self.server.wants_input() => match chunk? {
                    Some(chunk) => self.server.receive(chunk),
                    None => input_over = true,
                },
            }
        }
    }

    /// Everything that can be done without waiting: reports in, requests out, batches started.
    fn work(&mut self) -> Result<(), Ended> {
        while let Ok(done) = self.done.try_recv() {
            self.take(done);
        }
        if self.panicked {
            return Err(Ended::Panicked);
        }
        self.admit()?;
        while self.turn.is_none() && self.schedule.may_begin() {
            match self.threads.free_thread() {
                Some(thread) => self.begin(thread),
                None => {
                    let threads = self.threads.clone();
                    self.turn = Some(Box::pin(async move { threads.thread().await }));
                }
            }
        }
        Ok(())
    }

    /// Gives a thread what may begin, if there is anything.
    fn begin(&mut self, thread: Thread) {
        let Some((id, batch)) = self.schedule.next_batch() else {
            return;
        };
        let (filesystem, ticket) = (Arc::clone(&self.filesystem), Ticket::batch(id, &self.report));
        // Its reports say what became of it.
        let _done = thread.run(move || {
            let _ticket = ticket;
            for (ticket, work) in batch {
                ticket.finished(work(&*filesystem));
            }
        });
    }

    /// Takes requests in, as many as there are.
    fn admit(&mut self) -> Result<(), protocol::Error> {
        while let Some(event) = self.server.poll()? {
            let Event::Request(incoming) = event else { continue };
            let place = self.answers.place();
            match self.desk.admit(incoming) {
                Ok(job) => {
                    let ticket = Ticket::job(place, &self.report);
                    self.schedule
                        .push(job.touch, job.weight_bytes, (ticket, job.work));
                }
                Err(response) => {
                    self.answers.fill(place, response);
                    self.answer();
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, done: Done) {
        match done {
            Done::Job(place, Some(finished)) => {
                let answer = self.desk.finish(finished);
                self.answers.fill(place, answer);
                self.answer();
            }
            Done::Job(_, None) => self.panicked = true,
            Done::Batch(id) => self.schedule.finished(id),
        }
    }

    /// Hands over the answers whose turn it is.
    fn answer(&mut self) {
        while let Some(response) = self.answers.next() {
            self.server.answer(response);
        }
    }

    async fn flush(&mut self, block: Bytes, writer: &mut (impl AsyncWriteExt + Unpin)) -> Result<(), Ended> {
        writer.write_all(&block).await?;
        while let Some(block) = self.server.output().take() {
            writer.write_all(&block).await?;
        }
        Ok(())
    }
}
