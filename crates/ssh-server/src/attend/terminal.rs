//! A program at a terminal.
//!
//! ```text
//!   client's data ──▶ keys                   EOF types the character that stands for it
//!   data          ◀── what the terminal shows
//!   window-change ──▶ the terminal's size    break ──▶ what the program made of it (crate::pty)
//!   signal        ──▶ the job in the foreground, and the program itself
//!   CLOSE         ──▶ the terminal is hung up, then as without one
//! ```

use std::pin::pin;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::{Outcome, tell, waiting_request};
use crate::channel::{ChannelRequest, WindowChange};
use crate::child::{self, Process};
use crate::pty::{Keyboard, Line, Pty, Screen};
use crate::pump::{self, Stopped};
use crate::tokio_driver::{Channel, ChannelControl, ChannelReader, ChannelWriter, IncomingRequest, Parts};

pub(super) async fn attend(pty: Pty, mut process: Process, channel: Channel, patience: Duration) {
    let Parts {
        reader,
        stderr_reader,
        writer,
        stderr_writer: _,
        mut control,
    } = channel.split();
    let input = (reader, stderr_reader);
    match converse(pty, &mut process, input, writer, &mut control).await {
        Outcome::Ended(exit) => tell(&control, exit),
        // The terminal has been hung up: what runs in the foreground or leads the session hears of it from the system.
        Outcome::Left => process.hang_up(patience).await,
    }
}

async fn converse(
    pty: Pty,
    process: &mut Process,
    (mut reader, leftovers): (ChannelReader, ChannelReader),
    mut writer: ChannelWriter,
    control: &mut ChannelControl,
) -> Outcome {
    let Pty {
        mut keyboard,
        mut screen,
        line,
    } = pty;
    let mut input = pin!(type_in(&mut reader, &mut keyboard, &line));
    let mut leftovers = pin!(pump::discard(leftovers));
    let mut output = pin!(show(&mut screen, &mut writer));
    let (mut input_over, mut output_over) = (false, false);
    let (mut exit, mut last_look) = (None, Instant::now());
    loop {
        if output_over && let Some(exit) = exit {
            return Outcome::Ended(exit);
        }
        tokio::select! {
            biased;
            request = control.next_request() => match request {
                Some(request) => {
                    answer(&line, process, request);
                    // Nobody who asks and asks keeps this thread to himself.
                    consume_budget().await;
                }
                None => return Outcome::Left,
            },
            _typed = &mut input, if !input_over => input_over = true,
            () = &mut leftovers => {}
            ended = &mut output, if !output_over => {
                output_over = true;
                if let Err(Stopped::Channel) = ended {
                    while let Some(request) = waiting_request(control).await {
                        answer(&line, process, request);
                    }
                    return Outcome::Left;
                }
            }
            // With the leader of the session goes the terminal of everybody in it, and its output comes to an end.
            // Only a program that had given its terminal up may leave somebody behind who still holds it.
            ended = process.exit(), if exit.is_none() => {
                exit = Some(ended);
                last_look = Instant::now().checked_add(LAST_OUTPUT).unwrap_or(last_look);
            }
            () = sleep_until(last_look), if exit.is_some() => output_over = true,
        }
    }
}

/// Everything from the channel as keys. A keyboard has no end: instead of one, the character is typed that stands for it.
async fn type_in(reader: &mut ChannelReader, keyboard: &mut Keyboard, line: &Line) -> Result<(), Stopped> {
    let mut is_open = false;
    while let Some(keys) = reader.next_chunk().await.map_err(|_| Stopped::Channel)? {
        keyboard.write_all(&keys).await.map_err(Stopped::Local)?;
        is_open = !matches!(keys.last(), Some(b'\r' | b'\n'));
    }
    if let Some(end) = line.end_of_input() {
        // In a line that has begun, the first one ends the line and the second one the input.
        let keys: &[u8] = if is_open { &[end, end] } else { &[end] };
        keyboard.write_all(keys).await.map_err(Stopped::Local)?;
    }
    Ok(())
}

/// Everything that is shown to the channel.
async fn show(screen: &mut Screen, writer: &mut ChannelWriter) -> Result<(), Stopped> {
    while let Some(shown) = screen.next().await.map_err(Stopped::Local)? {
        writer.write_all(&shown).await.map_err(|_| Stopped::Channel)?;
    }
    Ok(())
}

/// Does what a running program with a terminal can be asked for; the rest is refused.
fn answer(line: &Line, process: &Process, request: IncomingRequest) {
    let done = match request.request() {
        ChannelRequest::WindowChange(size) => resized(line, size),
        ChannelRequest::Break(_) => line.send_break().is_ok(),
        ChannelRequest::Signal(wanted) => {
            child::signal_named(wanted.name.as_bytes()).is_some_and(|signal| signalled(line, process, signal))
        }
        _ => false,
    };
    if done {
        request.accept();
    }
}

fn resized(line: &Line, size: &WindowChange) -> bool {
    line.resize(size);
    true
}

/// An interactive shell puts each of its jobs in a group of its own, which is then in the foreground. What a key could
/// send goes there as the key's would; who asks for anything else (an end, as a rule) means the shell as well.
fn signalled(line: &Line, process: &Process, signal: Signal) -> bool {
    let job = line.foreground().filter(|group| process.group() != Some(*group));
    if let Some(job) = job {
        // It fails only if the whole group is gone, which is what a signal is for.
        let _gone = kill_process_group(job, signal);
    }
    if job.is_none() || ![Signal::INT, Signal::QUIT].contains(&signal) {
        process.signal(signal);
    }
    true
}

/// How long output is still waited for when the program is over and somebody else holds its terminal.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
