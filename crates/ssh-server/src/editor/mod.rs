//! A line editor for applications that talk with a person at a terminal: what OpenSSH's client sends is single keys,
//! and nothing is shown but what the application sends back.
//!
//! ```text
//!   bytes of the terminal ──▶ keys ──▶ Editor: text, cursor, history ──▶ events: a line, a key, an end
//!                                         └──▶ bytes for the terminal: only what has changed
//! ```
//!
//! [`Editor`] does no input and no output; [`Process::line_editor`](crate::Process::line_editor) makes a session of it, in
//! which an application reads lines and others write above them.
//!
//! | keys | what they do |
//! |---|---|
//! | ← → Home End, `^B` `^F` `^A` `^E` | move |
//! | Alt-b, Alt-f, Control with ← → | move by words |
//! | Backspace `^H`, Delete `^D` | delete before, at the cursor; `^D` in an empty line ends the input |
//! | `^K` `^U` `^W` Alt-d | delete to the end, to the beginning, the word before, the word behind |
//! | `^Y` | bring back what these have deleted |
//! | `^T` | exchange two characters |
//! | ↑ ↓, `^P` `^N` | older and newer lines |
//! | `^L` | draw the screen anew |
//! | `^C` | give the line up |
//!
//! A client's bytes are shown only as the characters they stand for: control characters are keys or nothing. Characters
//! take the columns that Unicode's tables give each (`wcwidth`), as in terminals. Not done: completion, search, undo, and
//! the time that tells a lone Escape from the beginning of a sequence.

mod core;
mod history;
mod key;
mod line;
mod plain;
mod screen;
mod session;

pub use self::core::{Editor, Event, Line, Settings};
pub use self::key::Key;
pub use self::session::{Input, LineEditor, ReadError, ScreenWriter};

/// How many lines a history keeps unless told otherwise.
pub const DEFAULT_HISTORY_LINES: usize = 1000;
/// How long a line may be unless told otherwise, in characters.
pub const DEFAULT_MAX_LINE_CHARS: usize = 1024;
