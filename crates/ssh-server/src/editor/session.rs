//! The editor in a session: lines and keys in, text of anybody out.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use zeroize::Zeroizing;

use super::core::{Editor, Event, Line, Settings, visible};
use super::key::Key;
use super::plain::{PlainLines, TooLong};
use crate::channel::WindowChange;
use crate::served_process::{Invocation, Process, ProcessEvent, ProcessEvents, Streams};
use crate::tokio_driver::{ChannelReader, ChannelWriter};

/// The most that is handed to the channel at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A session whose input is read line by line: edited if the client asked for a terminal, as it comes otherwise. Made by
/// [`Process::line_editor`].
///
/// ```no_run
/// # async fn serve(process: ssh_server::Process) -> Result<(), Box<dyn std::error::Error>> {
/// use ssh_server::editor::Settings;
///
/// let mut person = process.line_editor(Settings::default());
/// let screen = person.writer();
/// while let Some(line) = person.read_line("> ").await? {
///     screen.print(format!("You said {}.", &*line)).await?;
/// }
/// person.exit(0).await?;
/// # Ok(()) }
/// ```
pub struct LineEditor {
    stdin: ChannelReader,
    events: ProcessEvents,
    invocation: Invocation,
    shared: Arc<Shared>,
    plain: PlainLines,
    handlers: BTreeMap<Key, Handler>,
    /// What the client sent and nobody has looked at yet: a piece of a channel's data at most.
    input: Zeroizing<Vec<u8>>,
    is_input_over: bool,
    is_client_gone: bool,
    /// What has come of the input, until everything before it is on the screen.
    ready: Option<Result<Option<Input>, ReadError>>,
    max_line_chars: usize,
    /// What the application wants, whatever a dropped `read_secret` has left.
    echo: bool,
}

type Handler = Box<dyn FnMut(&mut Editor) + Send>;

/// What a person has done, or what has happened to their terminal.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Input {
    /// A line.
    Line(Line),
    /// A key, while line mode is off.
    Key(Key),
    /// Control-C: the line was given up.
    Interrupt,
    /// Something beside the input. The editor has already followed a new size.
    Event(ProcessEvent),
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// A client without a terminal sent a longer line than the limit. It is left out; the next can be read.
    #[error("the client sent a line of more than {max_chars} characters")]
    TooLong {
        /// The limit.
        max_chars: usize,
    },
    /// The client is gone.
    #[error("the client is gone: {0}")]
    Gone(#[from] io::Error),
}

/// Writes to the screen of a [`LineEditor`], from any task, above the line that is being edited.
#[derive(Clone)]
pub struct ScreenWriter {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Whoever holds it writes what is pending. Only bytes that the channel has taken leave `pending`: a future may be
    /// dropped at any point, and no sequence is cut.
    stdout: tokio::sync::Mutex<ChannelWriter>,
}

struct State {
    /// None without a terminal.
    editor: Option<Editor>,
    pending: Vec<u8>,
}

impl Process {
    /// Reads the input line by line from now on: with an editor if the client asked for a terminal.
    pub fn line_editor(self, settings: Settings) -> LineEditor {
        let invocation = self.invocation().clone();
        let Streams {
            stdin,
            stdout,
            events,
            ..
        } = self.split();
        let max_line_chars = settings.max_line_chars;
        let terminal = invocation.terminal.as_ref();
        let editor = terminal.map(|it| Editor::new(settings, it.size.columns, it.size.rows));
        let state = State {
            editor,
            pending: Vec::new(),
        };
        LineEditor {
            stdin,
            events,
            shared: Arc::new(Shared {
                state: Mutex::new(state),
                stdout: tokio::sync::Mutex::new(stdout),
            }),
            plain: PlainLines::new(max_line_chars),
            handlers: BTreeMap::new(),
            input: Zeroizing::default(),
            is_input_over: false,
            is_client_gone: false,
            ready: None,
            invocation,
            max_line_chars,
            echo: true,
        }
    }
}

impl LineEditor {
    /// What was asked for, by whom, and what came before it.
    pub const fn invocation(&self) -> &Invocation {
        &self.invocation
    }

    /// Whether there is a terminal: without one there is no prompt, no echo, no history and no key.
    pub const fn has_terminal(&self) -> bool {
        self.invocation.terminal.is_some()
    }

    /// A writer to this screen, for any task.
    pub fn writer(&self) -> ScreenWriter {
        ScreenWriter {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Shows `prompt` and reads a line; `None` at the end of the input. Lines given up, keys and events are passed over.
    /// Cancel safe: what is typed so far stays, and the next call goes on with it.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_line(&mut self, prompt: &str) -> Result<Option<Line>, ReadError> {
        self.edit_echo(self.echo);
        self.line(prompt).await
    }

    /// Reads a line without showing it: for passwords. Cancel safe: called again it
    /// goes on with what is typed so far, which any other call that reads gives up.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read_secret(&mut self, prompt: &str) -> Result<Option<Line>, ReadError> {
        self.edit_echo(false);
        let line = self.line(prompt).await;
        self.edit_echo(self.echo);
        Ok(line?.map(Line::hidden))
    }

    /// Shows `prompt` and waits for what happens next; `None` at the end of the input. Cancel safe.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn next(&mut self, prompt: &str) -> Result<Option<Input>, ReadError> {
        self.edit_echo(self.echo);
        self.step(prompt).await
    }

    async fn line(&mut self, prompt: &str) -> Result<Option<Line>, ReadError> {
        loop {
            match self.step(prompt).await? {
                Some(Input::Line(line)) => return Ok(Some(line)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    async fn step(&mut self, prompt: &str) -> Result<Option<Input>, ReadError> {
        self.shared.flush().await?;
        if self.ready.is_none() {
            self.shared.change(|editor, screen| editor.begin(prompt, screen));
        }
        loop {
            self.shared.flush().await?;
            if let Some(ready) = self.ready.take() {
                return ready;
            }
            if self.advance() {
                continue;
            }
            if self.is_input_over {
                self.ready = Some(self.plain.end().map_or(Ok(None), |line| self.plain_line(line)));
                continue;
            }
            tokio::select! {
                event = self.events.next(), if !self.is_client_gone => match event {
                    Some(event) => self.happened(event),
                    None => self.is_client_gone = true,
                },
                piece = self.stdin.next_chunk() => match piece.map_err(io::Error::from)? {
                    Some(piece) => self.input.extend_from_slice(&piece),
                    None => self.is_input_over = true,
                },
            }
        }
    }

    /// Calls `handler` at each press of `key`, instead of what it does. The handler may change the line; what it changes
    /// is then shown.
    pub fn register_key(&mut self, key: Key, handler: impl FnMut(&mut Editor) + Send + 'static) {
        self.handlers.insert(key, Box::new(handler));
        self.edit(|editor| editor.register_key(key));
    }

    /// Gives `key` back what it does.
    pub fn unregister_key(&mut self, key: Key) {
        self.handlers.remove(&key);
        self.edit(|editor| editor.unregister_key(key));
    }

    /// Shows what is typed, or does not ([`Editor::set_echo`]).
    pub fn set_echo(&mut self, on: bool) {
        self.echo = on;
        self.edit_echo(on);
    }

    fn edit_echo(&mut self, on: bool) {
        self.edit(|editor| editor.set_echo(on));
    }

    /// Reads lines, or gives every key to [`next`](Self::next).
    pub fn set_line_mode(&mut self, on: bool) {
        self.edit(|editor| editor.set_line_mode(on));
    }

    /// Replaces what stands in the line ([`Editor::set_text`]).
    pub fn set_text(&mut self, text: &str, cursor: usize) {
        self.edit(|editor| editor.set_text(text, cursor));
    }

    /// Empties the line.
    pub fn clear_text(&mut self) {
        self.edit(Editor::clear_text);
    }

    /// Does what else an editor can; `None` without a terminal. What it changes is shown with the next call that reads.
    pub fn edit<R>(&mut self, how: impl FnOnce(&mut Editor) -> R) -> Option<R> {
        self.shared.with(|state| state.editor.as_mut().map(how))
    }

    /// Ends the session as a program ends that returns `status`, below the line: everything written so far still arrives.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn exit(self, status: u32) -> io::Result<()> {
        self.shared.change(Editor::end);
        self.shared.flush().await?;
        self.events.exit(status);
        Ok(())
    }

    /// Takes the next step with what the client has sent; whether there was one, which may have changed the screen.
    fn advance(&mut self) -> bool {
        let mut rest: &[u8] = &self.input;
        let plain = &mut self.plain;
        let event = self.shared.with(|state| match &mut state.editor {
            Some(editor) => editor.feed(&mut rest, &mut state.pending).map(Ok),
            None => plain.feed(&mut rest).map(Err),
        });
        let used = self.input.len().saturating_sub(rest.len());
        self.input.drain(..used);
        let Some(event) = event else { return used > 0 };
        match event {
            Ok(Event::Key(key)) if self.handlers.contains_key(&key) => self.handle(key),
            Ok(Event::Key(key)) => self.ready = Some(Ok(Some(Input::Key(key)))),
            Ok(Event::Line(line)) => self.ready = Some(Ok(Some(Input::Line(line)))),
            Ok(Event::Interrupt) => self.ready = Some(Ok(Some(Input::Interrupt))),
            Ok(Event::Eof) => self.ready = Some(Ok(None)),
            Err(line) => self.ready = Some(self.plain_line(line)),
        }
        true
    }

    fn handle(&mut self, key: Key) {
        let Some(handler) = self.handlers.get_mut(&key) else {
            return;
        };
        self.shared.change(|editor, screen| {
            handler(editor);
            editor.redraw(screen);
        });
    }

    fn happened(&mut self, event: ProcessEvent) {
        if let ProcessEvent::Resized(WindowChange { columns, rows, .. }) = event {
            self.shared
                .change(|editor, screen| editor.resize(columns, rows, screen));
        }
        if let (ProcessEvent::Resized(size), Some(terminal)) = (&event, &mut self.invocation.terminal) {
            terminal.size = size.clone();
        }
        self.ready = Some(Ok(Some(Input::Event(event))));
    }

    fn plain_line(&self, line: Result<Zeroizing<String>, TooLong>) -> Result<Option<Input>, ReadError> {
        match line {
            Ok(line) => Ok(Some(Input::Line(Line::new(line, false)))),
            Err(TooLong) => Err(ReadError::TooLong {
                max_chars: self.max_line_chars,
            }),
        }
    }
}

impl ScreenWriter {
    /// Shows text in rows of its own, above the line that is being edited if there is one. Control characters but line
    /// feed and tab are made visible ([`Editor::print`]). Returns once the channel has taken it: a slow client makes its
    /// writers wait. A future dropped before may or may not have had its text shown, never a part of it.
    ///
    /// # Errors
    /// The client is gone.
    pub async fn print(&self, text: impl AsRef<str>) -> io::Result<()> {
        self.write(visible(text.as_ref()).as_bytes()).await
    }

    /// Shows bytes as they are ([`Editor::print_raw`]).
    ///
    /// # Errors
    /// The client is gone.
    pub async fn print_raw(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write(bytes.as_ref()).await
    }

    async fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = self.shared.stdout.lock().await;
        // Only one text at a time is added to what is pending, however many wait for their turn.
        self.shared.drain(&mut stdout).await?;
        self.shared.with(|state| match &mut state.editor {
            Some(editor) => editor.print_raw(bytes, &mut state.pending),
            None => {
                state.pending.extend_from_slice(bytes);
                if !bytes.ends_with(b"\n") {
                    state.pending.push(b'\n');
                }
            }
        });
        self.shared.drain(&mut stdout).await
    }
}

impl Shared {
    fn with<R>(&self, what: impl FnOnce(&mut State) -> R) -> R {
        // Nothing in here is left half done by a handler that panics but a line, which is then as it is.
        what(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, how: impl FnOnce(&mut Editor, &mut Vec<u8>)) {
        self.with(|state| {
            if let Some(editor) = &mut state.editor {
                how(editor, &mut state.pending);
            }
        });
    }

    async fn flush(&self) -> io::Result<()> {
        if self.with(|state| state.pending.is_empty()) {
            return Ok(());
        }
        let mut stdout = self.stdout.lock().await;
        self.drain(&mut stdout).await
    }

    async fn drain(&self, stdout: &mut ChannelWriter) -> io::Result<()> {
        loop {
            let piece: Vec<u8> = self.with(|state| state.pending.iter().take(PIECE_BYTES).copied().collect());
            if piece.is_empty() {
                return Ok(());
            }
            let written = stdout.write(&piece).await?;
            self.with(|state| drop(state.pending.drain(..written.min(state.pending.len()))));
        }
    }
}
