//! A program with three pipes.
//!
//! EOF from the client closes the program's standard input; a program that closes it itself is told of by
//! `eow@openssh.com`. The same message from the client closes the program's standard output: its next write there fails,
//! and what follows in its command goes on. A signal goes to the program's process group.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::coop::consume_budget;

use super::{Outcome, tell, waiting_request};
use crate::channel::ChannelRequest;
use crate::child::{self, Pipes, Process};
use crate::pump::{self, Buffers, Stopped};
use crate::tokio_driver::{Channel, ChannelControl, ChannelReader, ChannelWriter, IncomingRequest, Parts};

pub(super) async fn attend(
    ends: Pipes,
    mut process: Process,
    channel: Channel,
    buffers: &Buffers,
    patience: Duration,
) {
    let Parts {
        reader,
        stderr_reader,
        writer,
        stderr_writer,
        mut control,
    } = channel.split();
    let (input, output) = ((reader, stderr_reader), (writer, stderr_writer, buffers));
    match converse(ends, &mut process, input, output, &mut control).await {
        Outcome::Ended(exit) => tell(&control, exit),
        Outcome::Left => process.hang_up(patience).await,
    }
}

async fn converse(
    ends: Pipes,
    process: &mut Process,
    (mut reader, leftovers): (ChannelReader, ChannelReader),
    (mut writer, mut stderr_writer, buffers): (ChannelWriter, ChannelWriter, &Buffers),
    control: &mut ChannelControl,
) -> Outcome {
    let Pipes {
        mut stdin,
        stdout,
        stderr,
    } = ends;
    let mut input = pin!(async {
        let fed = pump::from_channel(&mut reader, &mut stdin).await;
        (fed, reader, stdin)
    });
    let mut leftovers = pin!(pump::discard(leftovers));
    let output_unread = Notify::new();
    let told = async {
        // Dropped with this block: the program then has a broken pipe.
        let stdout = stdout;
        tokio::select! {
            told = pump::to_channel(&stdout, &mut writer, buffers) => told,
            () = output_unread.notified() => Ok(()),
        }
    };
    let mut output =
        pin!(async { tokio::join!(told, pump::to_channel(&stderr, &mut stderr_writer, buffers)) });
    let mut unread: Option<ChannelReader> = None;
    let (mut input_over, mut output_over) = (false, false);
    loop {
        tokio::select! {
            biased;
            request = control.next_request() => match request {
                Some(request) => {
                    follow(process, &output_unread, request);
                    // Nobody who asks and asks keeps this thread to himself.
                    consume_budget().await;
                }
                None => return Outcome::Left,
            },
            (fed, reader, stdin) = &mut input, if !input_over => {
                input_over = true;
                follow_all(process, &output_unread, control).await;
                drop(stdin);
                if let Err(Stopped::Local(error)) = fed {
                    // The program wants no more: the client may stop sending, and what still comes is dropped.
                    tracing::debug!(%error, "program closed its standard input");
                    let _gone = control.send_request(&ChannelRequest::Eow);
                    unread = Some(reader);
                }
            }
            () = drop_input(&mut unread), if unread.is_some() => unread = None,
            () = &mut leftovers => {}
            ended = &mut output, if !output_over => {
                output_over = true;
                if let (Err(Stopped::Channel), _) | (_, Err(Stopped::Channel)) = ended {
                    follow_all(process, &output_unread, control).await;
                    return Outcome::Left;
                }
            }
            // Only when all output is out is the program waited for: until then it keeps its number, so that
            // signalling its group is safe, and its status comes after everything it wrote.
            exit = process.exit(), if output_over => return Outcome::Ended(exit),
        }
    }
}

/// Does what has been asked for and waits.
async fn follow_all(process: &Process, output_unread: &Notify, control: &mut ChannelControl) {
    while let Some(request) = waiting_request(control).await {
        follow(process, output_unread, request);
        consume_budget().await;
    }
}

/// Takes what the program does not want, until the client has no more.
async fn drop_input(reader: &mut Option<ChannelReader>) {
    if let Some(reader) = reader {
        while let Ok(Some(_)) = reader.next_chunk().await {}
    }
}

/// Passes a signal on, or that nobody reads the output; anything else means nothing to a running program without a
/// terminal and is refused.
fn follow(process: &Process, output_unread: &Notify, request: IncomingRequest) {
    match request.request() {
        ChannelRequest::Signal(wanted) => {
            if let Some(signal) = child::signal_named(wanted.name.as_bytes()) {
                process.signal(signal);
                request.accept();
            }
        }
        ChannelRequest::Eow => {
            output_unread.notify_one();
            request.accept();
        }
        _ => {}
    }
}
