//! The editor itself: keys change a line, and the screen follows.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

use zeroize::Zeroizing;

use super::history::History;
use super::key::{Decoder, Key};
use super::line::{Text, is_not_blank, is_of_word, width};
use super::screen::Screen;
use super::{DEFAULT_HISTORY_LINES, DEFAULT_MAX_LINE_CHARS};

/// The bounds of an editor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many lines the history keeps; 0 is none. With the other limit this bounds what a client can make a server
    /// remember, at four bytes for each character.
    pub history_lines: usize,
    /// How many characters a line may have. A terminal's bell rings at more.
    pub max_line_chars: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            history_lines: DEFAULT_HISTORY_LINES,
            max_line_chars: DEFAULT_MAX_LINE_CHARS,
        }
    }
}

/// What a person has done.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A line was entered.
    Line(Line),
    /// A key that was registered, or any key while line mode is off.
    Key(Key),
    /// Control-C: the line was given up.
    Interrupt,
    /// Control-D in an empty line.
    Eof,
}

/// A line as it was entered. Wiped from memory when it goes; if it was not shown, `Debug` does not show it either.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    text: Zeroizing<String>,
    is_secret: bool,
}

impl Line {
    pub(super) fn new(text: Zeroizing<String>, is_secret: bool) -> Self {
        Self { text, is_secret }
    }

    pub(super) fn hidden(self) -> Self {
        Self {
            is_secret: true,
            ..self
        }
    }
}

impl Deref for Line {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_secret {
            true => f.write_str("Line(not shown)"),
            false => f.debug_tuple("Line").field(&self.text.as_str()).finish(),
        }
    }
}

/// A line editor without input and output: the bytes of a terminal go in, lines come out, and the bytes that the terminal
/// has to show are added to the vector that each call is given.
///
/// ```
/// use ssh_server::editor::{Editor, Event, Settings};
///
/// let (mut editor, mut screen) = (Editor::new(Settings::default(), 80, 24), Vec::new());
/// editor.begin("name? ", &mut screen);
/// let mut typed: &[u8] = b"Bb\x08o\r";
/// let Some(Event::Line(line)) = editor.feed(&mut typed, &mut screen) else { panic!() };
/// assert_eq!(&*line, "Bo");
/// ```
#[derive(Debug)]
pub struct Editor {
    decoder: Decoder,
    text: Text,
    history: History,
    /// What was deleted last, and whether the last key did that.
    deleted: Zeroizing<Vec<char>>,
    is_deleting: bool,
    prompt: Vec<char>,
    screen: Screen,
    registered: BTreeSet<Key>,
    echo: bool,
    line_mode: bool,
    is_reading: bool,
    rings: bool,
}

impl Editor {
    /// An editor for a terminal of this size; 0 is unknown.
    pub fn new(settings: Settings, columns: u32, rows: u32) -> Self {
        Self {
            decoder: Decoder::default(),
            text: Text::new(settings.max_line_chars),
            history: History::new(settings.history_lines),
            deleted: Zeroizing::default(),
            is_deleting: false,
            prompt: Vec::new(),
            screen: Screen::new(columns, rows),
            registered: BTreeSet::new(),
            echo: true,
            line_mode: true,
            is_reading: false,
            rings: false,
        }
    }

    /// Shows `prompt` and reads a line behind it from now on, until one is entered or given up. Control characters of the
    /// prompt are left out. Called again before that it changes the prompt.
    pub fn begin(&mut self, prompt: &str, screen: &mut Vec<u8>) {
        let shown = prompt.chars().filter(|character| !character.is_control());
        self.prompt = shown.skip_while(|first| width(*first) == 0).collect();
        self.is_reading = true;
        self.redraw(screen);
    }

    /// Whether a line is being read.
    pub const fn is_reading(&self) -> bool {
        self.is_reading
    }

    /// Takes keys from `input` until one of them means something to the application, or all are taken. The screen is drawn
    /// once for all of them: whatever a client sends makes no more than one line of output for each event.
    ///
    /// In line mode nothing is taken while no line is being read.
    pub fn feed(&mut self, input: &mut &[u8], screen: &mut Vec<u8>) -> Option<Event> {
        let mut event = None;
        while event.is_none() && (self.is_reading || !self.line_mode) {
            let Some(key) = self.decoder.next(input) else {
                break;
            };
            event = match !self.line_mode || self.registered.contains(&key) {
                true => Some(Event::Key(key)),
                false => self.press(key, screen),
            };
        }
        self.redraw(screen);
        event
    }

    /// Draws what has changed since the last call that was given the screen.
    pub fn redraw(&mut self, screen: &mut Vec<u8>) {
        if self.is_reading {
            let mut line = self.prompt.clone();
            let mut cursor = line.len();
            if self.echo {
                cursor = cursor.saturating_add(self.text.cursor());
                line.extend_from_slice(self.text.characters());
            }
            self.screen.draw(&line, cursor, screen);
        }
        if std::mem::take(&mut self.rings) {
            screen.push(0x07);
        }
    }

    /// Shows text above the line being read, in rows of its own. Its control characters but line feed and tab are shown,
    /// not sent (`^[` for Escape): it may come from other people.
    pub fn print(&mut self, text: &str, screen: &mut Vec<u8>) {
        self.print_raw(visible(text).as_bytes(), screen);
    }

    /// Shows bytes above the line being read as they are, colours and all, but for line feeds, which begin a row. The
    /// application answers for them: what they do to the terminal, and that they leave the cursor where they end.
    pub fn print_raw(&mut self, bytes: &[u8], screen: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        self.screen.erase(screen);
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for row in whole.split(|byte| *byte == b'\n') {
            screen.extend_from_slice(row.strip_suffix(b"\r").unwrap_or(row));
            screen.extend_from_slice(b"\r\n");
        }
        self.redraw(screen);
    }

    /// The terminal has another size: what does not fit its width goes on in the next row.
    pub fn resize(&mut self, columns: u32, rows: u32, screen: &mut Vec<u8>) {
        self.screen.resize(columns, rows, screen);
        self.redraw(screen);
    }

    /// Shows what is typed, or does not: for passwords. What is typed without being shown is in no history and cannot be
    /// brought back. A change empties the line.
    pub fn set_echo(&mut self, on: bool) {
        if self.echo != on {
            self.clear_text();
            self.echo = on;
        }
        if !on {
            self.text.reserve();
        }
    }

    /// Reads lines, or makes every key an event.
    pub fn set_line_mode(&mut self, on: bool) {
        self.line_mode = on;
    }

    /// Makes a key an event instead of what it does.
    pub fn register_key(&mut self, key: Key) {
        self.registered.insert(key);
    }

    /// Gives a key back what it does.
    pub fn unregister_key(&mut self, key: Key) {
        self.registered.remove(&key);
    }

    /// What stands in the line.
    pub fn text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.text.len().saturating_mul(4)));
        text.extend(self.text.characters());
        text
    }

    /// Where the cursor is: so many characters before it.
    pub const fn cursor(&self) -> usize {
        self.text.cursor()
    }

    /// Replaces what stands in the line; without what cannot be shown and what is beyond its limit. The cursor is put
    /// before the nearest character that stands by itself.
    pub fn set_text(&mut self, text: &str, cursor: usize) {
        self.is_deleting = false;
        self.text.set(text, cursor);
    }

    /// Empties the line.
    pub fn clear_text(&mut self) {
        self.is_deleting = false;
        self.text.clear();
        self.history.leave();
    }

    /// Rings the terminal's bell with the next output.
    pub const fn ring(&mut self) {
        self.rings = true;
    }

    /// The lines entered so far, the oldest first.
    pub fn history(&self) -> impl Iterator<Item = &str> {
        self.history.lines()
    }

    /// Adds to the history what was entered another time, say.
    pub fn add_history(&mut self, line: &str) {
        let mut text = Text::new(self.text.limit());
        text.set(line, 0);
        self.history.add(&text.characters().iter().collect::<String>());
    }

    fn press(&mut self, key: Key, screen: &mut Vec<u8>) -> Option<Event> {
        let was_deleting = std::mem::take(&mut self.is_deleting);
        let is_done = match key {
            Key::Enter => return Some(self.enter(screen)),
            Key::Control('C') => return Some(self.give_up(screen)),
            Key::Control('D') if self.text.is_empty() => {
                self.stop(screen);
                return Some(Event::Eof);
            }
            Key::Char(character) => self.text.insert([character]),
            Key::Control('L') => {
                self.screen.clear(screen);
                true
            }
            Key::Control('T') => self.text.transpose(),
            Key::Control('Y') => !self.deleted.is_empty() && self.text.insert(self.deleted.iter().copied()),
            Key::Up | Key::Control('P') => self.recall(true),
            Key::Down | Key::Control('N') => self.recall(false),
            _ => self.move_or_delete(key, was_deleting),
        };
        self.rings |= !is_done;
        None
    }

    /// The keys that are a way to another place in the line; whether there was one.
    fn move_or_delete(&mut self, key: Key, was_deleting: bool) -> bool {
        let text = &self.text;
        let to = match key {
            Key::Left | Key::Control('B') | Key::Backspace => text.left(),
            Key::Right | Key::Control('F' | 'D') | Key::Delete => text.right(),
            Key::Home | Key::Control('A' | 'U') => 0,
            Key::End | Key::Control('E' | 'K') => text.len(),
            Key::Control('W') => text.word_left(is_not_blank),
            Key::WordLeft | Key::Alt('b' | 'B' | '\u{7f}') => text.word_left(is_of_word),
            Key::WordRight | Key::Alt('f' | 'F' | 'd' | 'D') => text.word_right(),
            _ => return false,
        };
        match key {
            Key::Backspace | Key::Delete | Key::Control('D') => !self.text.cut(to).is_empty(),
            Key::Control('U' | 'K' | 'W') | Key::Alt('d' | 'D' | '\u{7f}') => self.kill(to, was_deleting),
            _ => self.text.go(to),
        }
    }

    /// Deletes what can be brought back. Several such keys in a row are one piece.
    fn kill(&mut self, to: usize, was_deleting: bool) -> bool {
        let is_forward = to > self.text.cursor();
        let piece = self.text.cut(to);
        if piece.is_empty() {
            self.is_deleting = was_deleting;
            return false;
        }
        if !self.echo {
            return true;
        }
        let before = match was_deleting {
            true => std::mem::take(&mut self.deleted),
            false => Zeroizing::default(),
        };
        let (first, second) = match is_forward {
            true => (&before, &piece),
            false => (&piece, &before),
        };
        self.deleted = Zeroizing::new(first.iter().chain(second.iter()).copied().collect());
        self.is_deleting = true;
        true
    }

    fn recall(&mut self, older: bool) -> bool {
        if !self.echo {
            return false;
        }
        let found = match older {
            true => self.history.older(self.text.characters().iter().collect()),
            false => self.history.newer(),
        };
        let Some(line) = found else { return false };
        self.text.set(line, usize::MAX);
        true
    }

    fn enter(&mut self, screen: &mut Vec<u8>) -> Event {
        let text = self.text();
        if self.echo {
            self.history.add(&text);
        }
        self.stop(screen);
        Event::Line(Line::new(text, !self.echo))
    }

    fn give_up(&mut self, screen: &mut Vec<u8>) -> Event {
        if self.echo {
            let end = self.text.len();
            self.text.go(end);
            let mut line = self.prompt.clone();
            line.extend_from_slice(self.text.characters());
            line.extend(['^', 'C']);
            self.screen.draw(&line, line.len(), screen);
            self.screen.leave(screen);
            self.is_reading = false;
        }
        self.stop(screen);
        Event::Interrupt
    }

    /// Leaves the line as it is and the cursor below it: nothing is being read any more.
    pub fn end(&mut self, screen: &mut Vec<u8>) {
        if self.is_reading {
            self.stop(screen);
        }
    }

    /// Ends the line: it stays on the screen as it is.
    fn stop(&mut self, screen: &mut Vec<u8>) {
        if self.is_reading {
            self.redraw(screen);
            self.screen.leave(screen);
        }
        self.is_reading = false;
        self.clear_text();
    }
}

/// A text that can be shown to anybody: its control characters but line feed and tab are made visible.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' => shown.push(character),
            '\r' => {}
            '\0'..='\u{1f}' | '\u{7f}' => {
                shown.push('^');
                shown.extend(u8::try_from(character).map(|it| char::from(it ^ 0x40)));
            }
            _ if character.is_control() => shown.push(char::REPLACEMENT_CHARACTER),
            _ => shown.push(character),
        }
    }
    shown
}
