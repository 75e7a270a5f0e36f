//! `bowline sftp`: files moved by commands, from a person, a pipe or a batch: sftp(1).
//!
//! ```text
//!  line ──words──▶ commands ──session──▶ listing, transfer ──▶ ssh_client::Sftp
//! ```

mod arguments;
mod commands;
mod interrupt;
mod listing;
mod remote;
mod session;
mod transfer;
mod words;

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, stdin};
use std::pin::pin;
use std::process::ExitCode;

use self::arguments::{Arguments, Commands};
use self::commands::{Command, TransferFlags};
use self::interrupt::Interrupts;
use self::session::Session;
use self::words::Word;
use crate::client::{Plan, plan};
use crate::signals::{INTERRUPT, Signals};
use crate::terminal::{complain, harmless, print, say, stop_asking};

/// What a person is asked with.
const PROMPT: &str = "sftp> ";
/// The longest command line, in bytes.
const MAX_LINE_BYTES: usize = 64 * 1024;

pub(crate) fn main(words: Vec<OsString>) -> ExitCode {
    let arguments = match arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(problem) => {
            complain(&harmless(&problem));
            return ExitCode::FAILURE;
        }
    };
    match logged_in(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            complain(&harmless(&problem));
            // sftp(1) gives 255 for a connection that could not be made; scripts tell the two apart.
            ExitCode::from(255)
        }
    }
}

/// Does it all, until it is done or a signal ends it. Where commands are asked for one by one, `^C` ends the one that
/// runs, as in sftp(1), and not the program.
fn logged_in(arguments: Arguments) -> Result<bool, String> {
    let runtime = crate::runtime()?;
    let done = runtime.block_on(async {
        let mut signals = Signals::watch()?;
        let (teller, interrupts) = interrupt::channel();
        let mut running = pin!(run(arguments, interrupts));
        loop {
            let signal = tokio::select! {
                done = &mut running => return done,
                signal = signals.next() => signal,
            };
            if signal != INTERRUPT || !teller.tell() {
                tracing::info!("Killed by signal {}.", signal.as_raw_value());
                return Ok(false);
            }
        }
    });
    // A thread that waits for an answer or for the next line cannot be woken: it is left behind.
    stop_asking();
    runtime.shutdown_background();
    done
}

/// Whether all commands that had to succeed did.
async fn run(arguments: Arguments, interrupts: Interrupts) -> Result<bool, String> {
    let Arguments {
        common,
        destination,
        commands,
        preserve,
        recursive,
    } = arguments;
    let quiet = common.quiet;
    let plan = plan(common, &destination)?;
    let lines = Lines::open(&commands)?;
    let mut session = connect(&plan, preserve, recursive).await?;
    session.shows_progress = std::io::stdout().is_terminal() && !quiet && !plan.is_quiet();
    let is_batch = commands != Commands::Interactive;
    if !destination.path.is_empty() && !start_at(&mut session, &destination.path).await? {
        return Ok(session.close().await);
    }
    let ended_well = follow(&mut session, lines, is_batch, interrupts).await;
    Ok(session.close().await && ended_well)
}

async fn connect(plan: &Plan, preserve: bool, recursive: bool) -> Result<Session, String> {
    let client = plan.connect().await?;
    if !plan.is_quiet() && std::io::stdin().is_terminal() {
        say(&format!("Connected to {}.", plan.place()));
    }
    let always = TransferFlags {
        recursive,
        preserve,
        fsync: false,
    };
    Session::start(client, always).await
}

/// `sftp host:path`: a directory is changed to; a file is fetched, and that is all. True when commands follow.
async fn start_at(session: &mut Session, path: &str) -> Result<bool, String> {
    let word = Word {
        text: path.to_owned(),
        pattern: glob::Pattern::escape(path),
        is_pattern: false,
    };
    if session.is_directory(path).await {
        session.run(Command::ChangeDirectory(Some(word))).await?;
        return Ok(true);
    }
    session
        .run(Command::Get {
            sources: word,
            target: None,
            flags: TransferFlags::default(),
        })
        .await?;
    Ok(false)
}

/// Runs the lines. In a batch the first failure ends the run, unless its line begins with `-`.
async fn follow(session: &mut Session, mut lines: Lines, is_batch: bool, mut interrupts: Interrupts) -> bool {
    if !is_batch {
        interrupts.want();
    }
    loop {
        let line;
        (line, lines) = match next_line(session, lines, &mut interrupts).await {
            Ok(Some((line, rest))) => (line, rest),
            Ok(None) => return true,
            Err(problem) => {
                complain(&problem);
                return false;
            }
        };
        let parsed = match commands::parse(&line) {
            Ok(None) => continue,
            Ok(Some(parsed)) => parsed,
            Err(problem) => {
                complain(&harmless(&problem));
                if is_batch { return false } else { continue }
            }
        };
        if is_batch && !parsed.silent {
            say(&format!("{PROMPT}{line}"));
        }
        if parsed.command == Command::Quit {
            return true;
        }
        let done = if parsed.command.is_a_program() {
            // It hears of `^C` itself, and the terminal is its own until it ends.
            session.run(parsed.command).await
        } else {
            tokio::select! {
                biased;
                done = session.run(parsed.command) => done,
                () = interrupts.next() => Err("\rInterrupt  ".to_owned()),
            }
        };
        if let Err(problem) = done {
            complain(&harmless(&problem));
            if session.is_over() || (is_batch && !parsed.may_fail) {
                return false;
            }
        }
    }
}

/// The next line, and where the others come from. `^C` takes back what has been typed of it.
async fn next_line(
    session: &Session,
    lines: Lines,
    interrupts: &mut Interrupts,
) -> Result<Option<(String, Lines)>, String> {
    let prompts = lines.prompts;
    interrupts.forget();
    if prompts {
        print(PROMPT);
    }
    let mut reading = pin!(lines.next());
    loop {
        tokio::select! {
            biased;
            read = &mut reading => return read,
            why = session.lost() => return Err(if prompts { format!("\r{why}") } else { why }),
            // The terminal has thrown away what it held of the line; the thread goes on waiting for one.
            () = interrupts.next() => if prompts {
                print(&format!("\n{PROMPT}"));
            }
        }
    }
}

/// Where lines come from.
struct Lines {
    source: Box<dyn BufRead + Send>,
    /// A person is asked for each line.
    prompts: bool,
}

impl Lines {
    fn open(commands: &Commands) -> Result<Self, String> {
        let source: Box<dyn BufRead + Send> = match commands {
            Commands::Interactive | Commands::BatchInput => Box::new(BufReader::new(stdin())),
            Commands::BatchFile(file) => {
                let opened =
                    File::open(file).map_err(|error| format!("{}: {error}", file.to_string_lossy()))?;
                Box::new(BufReader::new(opened))
            }
        };
        Ok(Self {
            source,
            prompts: *commands == Commands::Interactive && stdin().is_terminal(),
        })
    }

    /// The next line, and where the others come from. It is read on a thread of its own: the connection goes on meanwhile,
    /// answers its peer and hears of its own end.
    async fn next(self) -> Result<Option<(String, Self)>, String> {
        let reading = tokio::task::spawn_blocking(move || {
            let mut lines = self;
            Ok(lines.read()?.map(|line| (line, lines)))
        });
        reading
            .await
            .unwrap_or_else(|error| Err(format!("reading commands: {error}")))
    }

    fn read(&mut self) -> Result<Option<String>, String> {
        let mut line = Vec::new();
        let mut limited = std::io::Read::take(
            &mut self.source,
            u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX),
        );
        let count = limited
            .read_until(b'\n', &mut line)
            .map_err(|error| format!("reading commands: {error}"))?;
        if count == 0 {
            return Ok(None);
        }
        if count >= MAX_LINE_BYTES {
            return Err("a command line is too long".to_owned());
        }
        let line = String::from_utf8(line).map_err(|_| "a command line is not UTF-8".to_owned())?;
        Ok(Some(line.trim_end_matches(['\n', '\r']).to_owned()))
    }
}
