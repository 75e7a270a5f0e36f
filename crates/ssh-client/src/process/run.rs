//! Running a remote program to its end, with its streams where they belong.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::redirect::{Input, OpenInput, OpenSink, RemoteOutput, Sink, Stuck, discard, gather, pour};
use super::{Exec, Process, ProcessControl, ProcessEvent};
use crate::channel::signals;
use crate::client::Client;
use crate::error::Error;
use crate::output::{ExitStatus, Output};
use crate::tokio_driver::ChannelWriter;

/// What a program's standard streams are joined to, with all files open.
struct Streams {
    input: OpenInput,
    output: OpenSink,
    errors: OpenSink,
    merge: bool,
}

/// The same as they were asked for.
pub(super) struct Redirections {
    pub(super) stdin: Input,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
}

impl Redirections {
    pub(super) const fn none() -> Self {
        Self {
            stdin: Input::piped(),
            stdout: Sink::piped(),
            stderr: Sink::piped(),
        }
    }

    /// The first stream that does not belong to whoever starts the program.
    pub(super) const fn first(&self) -> Option<&'static str> {
        match (
            self.stdin.is_piped(),
            self.stdout.is_piped(),
            self.stderr.is_piped(),
        ) {
            (false, _, _) => Some("standard input"),
            (_, false, _) => Some("standard output"),
            (_, _, false) => Some("standard error"),
            _ => None,
        }
    }

    async fn open(self) -> Result<Streams, Error> {
        Ok(Streams {
            input: self.stdin.open().await?,
            output: self.stdout.open().await?,
            merge: self.stderr.is_merge(),
            errors: self.stderr.open().await?,
        })
    }
}

impl Exec {
    /// Runs the program to its end: standard input is written while both outputs are read. What is redirected is not in
    /// the [`Output`].
    ///
    /// When the time is over, when something fails here, and when the future is dropped, the program is sent `TERM` and
    /// its channel is closed.
    ///
    /// # Errors
    /// A program that fails is no error unless [`check`](Self::check) was asked for: see [`Output::status`].
    pub async fn output(mut self) -> Result<Output, Error> {
        let redirections = std::mem::replace(&mut self.redirections, Redirections::none());
        let streams = redirections.open().await?;
        let (client, check) = (self.client.clone(), self.check);
        let (timeout, limit) = (self.timeout, self.output_limit);
        let mut output = Output::default();
        let run = async {
            let process = self.spawn().await?;
            run(process, streams, &mut output, limit).await
        };
        let finished = match timeout {
            None => Some(run.await),
            Some(limit) => tokio::time::timeout(limit, run).await.ok(),
        };
        match finished {
            Some(Ok(())) if check && !output.status.success() => Err(failed(&client, output)),
            Some(result) => result.map(|()| output),
            None => Err(Error::RunTimeout {
                address: client.address().clone(),
                limit: timeout.unwrap_or(Duration::MAX),
                partial: Box::new(output),
            }),
        }
    }

    /// Starts the program with its redirections at work: tokio tasks move the redirected streams, the others are the
    /// caller's. Limits of time and of output are for [`output`](Self::output) and mean nothing here.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn), and [`Error::Local`] if a file cannot be opened; then nothing is started.
    pub async fn start(mut self) -> Result<Job, Error> {
        let redirections = std::mem::replace(&mut self.redirections, Redirections::none());
        let streams = redirections.open().await?;
        let check = self.check;
        let process = self.spawn().await?;
        Ok(Job::new(process, streams, check))
    }
}

fn failed(client: &Client, output: Output) -> Error {
    Error::CommandFailed {
        address: client.address().clone(),
        output: Box::new(output),
    }
}

/// A running program that is told to end, and whose channel is closed, if nobody waits for it any more.
struct Leash {
    control: ProcessControl,
    has_ended: bool,
}

impl Drop for Leash {
    fn drop(&mut self) {
        if !self.has_ended {
            self.control.end();
        }
    }
}

impl ProcessControl {
    /// Tells the program to end, and closes its channel whether it does or not.
    fn end(&self) {
        if let Err(error) = self.signal(signals::TERM) {
            tracing::debug!(%error, "the program could not be told to end");
        }
        self.close();
    }
}

/// Feeds the program, reads both its outputs and waits for its end, all at the same time.
async fn run(process: Process, streams: Streams, output: &mut Output, limit: usize) -> Result<(), Error> {
    let client = process.control.client.clone();
    let mut leash = Leash {
        control: process.control,
        has_ended: false,
    };
    let (stdout, stderr) = outputs(process.stdout, process.stderr, streams.merge);
    let (unread, nobody_reads) = oneshot::channel();
    let feeding = async {
        let fed = feed(streams.input, process.stdin, nobody_reads).await;
        fed.map_err(|source| input_failed(&client, source))?;
        std::future::pending().await
    };
    let status = &mut output.status;
    let waiting = async {
        let mut unread = Some(unread);
        while let Some(event) = leash.control.next_event().await {
            if let (ProcessEvent::InputUnread, Some(unread)) = (event, unread.take()) {
                let _over_already = unread.send(());
            }
        }
        *status = leash.control.wait().await?;
        leash.has_ended = true;
        Ok(())
    };
    let running = async {
        tokio::try_join!(
            collect(
                &client,
                "write standard output",
                stdout,
                streams.output,
                &mut output.stdout,
                limit
            ),
            async {
                match stderr {
                    Some(stderr) => {
                        let (sink, into) = (streams.errors, &mut output.stderr);
                        collect(&client, "write standard error", stderr, sink, into, limit).await
                    }
                    None => Ok(()),
                }
            },
            waiting,
        )
    };
    tokio::select! {
        // An input that never ends is not waited for once the program has.
        ended = running => ended.map(|_| ()),
        never = feeding => never,
    }
}

/// One remote stream for each sink.
fn outputs(
    stdout: crate::tokio_driver::ChannelReader,
    stderr: crate::tokio_driver::ChannelReader,
    merge: bool,
) -> (RemoteOutput, Option<RemoteOutput>) {
    if merge {
        (RemoteOutput::new(stdout, Some(stderr)), None)
    } else {
        (
            RemoteOutput::new(stdout, None),
            Some(RemoteOutput::new(stderr, None)),
        )
    }
}

/// Writes the input, until it ends or nobody reads it.
async fn feed(input: OpenInput, stdin: ChannelWriter, nobody_reads: oneshot::Receiver<()>) -> io::Result<()> {
    tokio::select! {
        fed = input.feed(stdin) => fed,
        Ok(()) = nobody_reads => Ok(()),
    }
}

async fn collect(
    client: &Client,
    step: &'static str,
    from: RemoteOutput,
    sink: OpenSink,
    into: &mut Vec<u8>,
    limit: usize,
) -> Result<(), Error> {
    let moved = match sink {
        OpenSink::Piped => gather(from, into, limit).await,
        OpenSink::Null => discard(from).await,
        OpenSink::Writer(writer) => pour(from, writer).await,
    };
    moved.map_err(|stuck| output_failed(client, step, stuck, limit))
}

fn input_failed(client: &Client, source: io::Error) -> Error {
    Error::Io {
        address: client.address().clone(),
        step: "read standard input",
        source,
    }
}

fn output_failed(client: &Client, step: &'static str, stuck: Stuck, limit: usize) -> Error {
    let address = client.address().clone();
    match stuck {
        Stuck::Remote(source) => client.channel_error("read the output", source),
        Stuck::Sink(source) => Error::Io {
            address,
            step,
            source,
        },
        Stuck::TooLong => Error::OutputTooLong { address, limit },
    }
}

/// A remote program that runs with streams redirected. Those that are not are here. When it is dropped nothing is moved
/// any more and its channel is closed; most servers then end the program.
pub struct Job {
    /// Its standard input, if nothing else writes there. `shutdown` ends it.
    pub stdin: Option<ChannelWriter>,
    /// Its standard output, if it goes nowhere else; with standard error in it, if that was asked for.
    pub stdout: Option<RemoteOutput>,
    /// Its standard error, if it goes nowhere else.
    pub stderr: Option<RemoteOutput>,
    /// Signals to it, and what the server says about it.
    pub control: ProcessControl,
    feeding: JoinSet<Result<(), Error>>,
    moving: JoinSet<Result<(), Error>>,
    check: bool,
}

impl Job {
    fn new(process: Process, streams: Streams, check: bool) -> Self {
        let (stdout, stderr) = outputs(process.stdout, process.stderr, streams.merge);
        let mut job = Self {
            stdin: None,
            stdout: None,
            stderr: None,
            control: process.control,
            feeding: JoinSet::new(),
            moving: JoinSet::new(),
            check,
        };
        let client = job.control.client.clone();
        match streams.input {
            OpenInput::Piped => job.stdin = Some(process.stdin),
            input => drop(job.feeding.spawn(async move {
                let fed = input.feed(process.stdin).await;
                fed.map_err(|source| input_failed(&client, source))
            })),
        }
        job.stdout = job.redirect("write standard output", stdout, streams.output);
        job.stderr = stderr.and_then(|stderr| job.redirect("write standard error", stderr, streams.errors));
        job
    }

    /// Starts to move a stream; gives it back if it is the caller's.
    fn redirect(&mut self, step: &'static str, from: RemoteOutput, sink: OpenSink) -> Option<RemoteOutput> {
        if matches!(sink, OpenSink::Piped) {
            return Some(from);
        }
        let client = self.control.client.clone();
        self.moving.spawn(async move {
            let mut none = Vec::new();
            collect(&client, step, from, sink, &mut none, 0).await
        });
        None
    }

    /// Waits until the program has ended and everything it said is where it belongs, and says how it ended. Streams that
    /// are the caller's are to be read meanwhile. May be dropped and asked again.
    ///
    /// # Errors
    /// The first failure of a redirection: the program is sent `TERM` and its channel is closed. If the connection ended
    /// first. And [`Error::CommandFailed`] if [`Exec::check`] was asked for.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        let moved = self.until_moved().await;
        if moved.is_err() {
            self.control.end();
        }
        moved?;
        let status = self.control.wait().await?;
        if self.check && !status.success() {
            let output = Output {
                status,
                ..Output::default()
            };
            return Err(failed(&self.control.client, output));
        }
        Ok(status)
    }

    /// Until the channel is closed and all output is moved.
    async fn until_moved(&mut self) -> Result<(), Error> {
        let mut is_open = true;
        while is_open || !self.moving.is_empty() {
            tokio::select! {
                event = self.control.next_event(), if is_open => match event {
                    Some(ProcessEvent::InputUnread) => self.feeding.abort_all(),
                    Some(_) => {}
                    None => is_open = false,
                },
                Some(fed) = self.feeding.join_next() => finished(fed)?,
                Some(moved) = self.moving.join_next() => finished(moved)?,
            }
        }
        Ok(())
    }
}

/// What a task has to say. One that was ended here has nothing to say; a panic goes on.
fn finished(task: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    match task {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_ended_here) => Ok(()),
        },
    }
}
