//! Keys out of the bytes a terminal sends (ECMA-48 §5.4, and xterm's names for its keys), however they are cut.
//!
//! ```text
//!            ┌───────── a byte that begins nothing ──────────┐
//!            ▼                                               │
//!  Ground ── ESC ──▶ Escape ── [ ──▶ Csi ── [ ──▶ Console ───┤
//!    │ CR              ├ O ──▶ Ss3 ──────────────────────────┤
//!    ├──▶ AfterReturn  ├ ] P _ ^ X ──▶ Ignored ── BEL, ESC ──┤
//!    └ 0x80… ─▶ Text   └ any other: Alt and that key ────────┘
//! ```

/// A key, or what a terminal sends for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Key {
    /// A character that can be shown. Bytes that are no UTF-8 come as U+FFFD.
    Char(char),
    /// Control and one of `@`, `A` to `Z`, `[`, `\`, `]`, `^`, `_`; those with a name of their own come by that.
    Control(char),
    /// Alt and a character of ASCII; `\u{7f}` is Backspace.
    Alt(char),
    /// Return: CR, LF, or both.
    Enter,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// Backspace, which is also what Control-H sends.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// The arrow up.
    Up,
    /// The arrow down.
    Down,
    /// The arrow to the left.
    Left,
    /// The arrow to the right.
    Right,
    /// The arrow to the left with Alt or Control.
    WordLeft,
    /// The arrow to the right with Alt or Control.
    WordRight,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, from 1.
    Function(u8),
}

/// Where in a sequence the bytes so far end. Nothing of a sequence is kept but two numbers: its length costs nothing.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Ground,
    AfterReturn,
    Escape,
    Csi(Csi),
    Ss3,
    Console,
    Ignored,
    Text(Text),
}

/// The parameters of a control sequence, as far as keys have any.
#[derive(Clone, Copy, Debug, Default)]
struct Csi {
    number: u16,
    modifier: u16,
    separators: u8,
    is_foreign: bool,
}

/// The beginning of a character.
#[derive(Clone, Copy, Debug)]
struct Text {
    bytes: [u8; 4],
    length: usize,
}

/// What one byte does.
struct Step {
    key: Option<Key>,
    next: State,
    /// The byte was none of this state's, and is looked at again in the next, which is `Ground`.
    again: bool,
}

impl Step {
    const fn to(next: State) -> Self {
        Self {
            key: None,
            next,
            again: false,
        }
    }

    const fn key(key: Option<Key>) -> Self {
        Self {
            key,
            next: State::Ground,
            again: false,
        }
    }

    const fn again(key: Option<Key>) -> Self {
        Self {
            key,
            next: State::Ground,
            again: true,
        }
    }
}

impl Decoder {
    /// The next key, and `input` without its bytes; `None` once all of it is used up.
    pub(crate) fn next(&mut self, input: &mut &[u8]) -> Option<Key> {
        while let Some((&byte, rest)) = input.split_first() {
            let step = match self.state {
                State::Ground => ground(byte),
                State::AfterReturn => match byte {
                    b'\n' | 0 => Step::key(None),
                    _ => Step::again(None),
                },
                State::Escape => escape(byte),
                State::Csi(csi) => csi.step(byte),
                State::Ss3 => ss3(byte),
                State::Console => console(byte),
                State::Ignored => match byte {
                    0x07 | 0x18 | 0x1a => Step::key(None),
                    // The end is ESC \. Any other control character is a person who has typed on.
                    0..=0x1f => Step::again(None),
                    _ => Step::to(State::Ignored),
                },
                State::Text(text) => text.step(byte),
            };
            self.state = step.next;
            if !step.again {
                *input = rest;
            }
            if step.key.is_some() {
                return step.key;
            }
        }
        None
    }
}

fn ground(byte: u8) -> Step {
    match byte {
        0x1b => Step::to(State::Escape),
        b'\r' => Step {
            key: Some(Key::Enter),
            next: State::AfterReturn,
            again: false,
        },
        0x80.. => Text {
            bytes: [0; 4],
            length: 0,
        }
        .step(byte),
        _ => Step::key(Some(simple(byte))),
    }
}

/// The key of a byte of ASCII that begins nothing.
fn simple(byte: u8) -> Key {
    match byte {
        b'\r' | b'\n' => Key::Enter,
        b'\t' => Key::Tab,
        0x08 | 0x7f => Key::Backspace,
        0..=0x1f => Key::Control(char::from(byte | 0x40)),
        _ => Key::Char(char::from(byte)),
    }
}

fn escape(byte: u8) -> Step {
    match byte {
        b'[' => Step::to(State::Csi(Csi::default())),
        b'O' => Step::to(State::Ss3),
        b']' | b'P' | b'_' | b'^' | b'X' => Step::to(State::Ignored),
        0x1b => Step::to(State::Escape),
        // The end of a string that nobody listened to.
        b'\\' => Step::key(None),
        0x20..=0x7f => Step::key(Some(Key::Alt(char::from(byte)))),
        0x08 => Step::key(Some(Key::Alt('\u{7f}'))),
        _ => Step::again(None),
    }
}

impl Csi {
    fn step(mut self, byte: u8) -> Step {
        match byte {
            b'0'..=b'9' => {
                let digit = u16::from(byte.wrapping_sub(b'0'));
                let number = match self.separators {
                    0 => &mut self.number,
                    _ => &mut self.modifier,
                };
                *number = number.saturating_mul(10).saturating_add(digit);
            }
            b';' => self.separators = self.separators.saturating_add(1),
            0x20..=0x3f => self.is_foreign = true,
            b'[' => return Step::to(State::Console),
            0x40..=0x7e => return Step::key(self.key(byte)),
            _ => return Step::again(None),
        }
        Step::to(State::Csi(self))
    }

    fn key(self, last: u8) -> Option<Key> {
        if self.is_foreign || self.separators > 1 {
            return None;
        }
        // Shift is 1, Alt 2, Control 4, one more than their sum is sent.
        let by_word = self.modifier.saturating_sub(1) & 6 != 0;
        match last {
            b'~' => tilde(self.number),
            b'C' if by_word => Some(Key::WordRight),
            b'D' if by_word => Some(Key::WordLeft),
            b'Z' => Some(Key::BackTab),
            _ => letter(last),
        }
    }
}

/// The keys that end in a letter, after `ESC [` and `ESC O`.
fn letter(last: u8) -> Option<Key> {
    Some(match last {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        b'P' => Key::Function(1),
        b'Q' => Key::Function(2),
        b'R' => Key::Function(3),
        b'S' => Key::Function(4),
        _ => return None,
    })
}

/// The keys that are numbers.
fn tilde(number: u16) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        2 => Key::Insert,
        3 => Key::Delete,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        11..=15 => function(number, 10),
        17..=21 => function(number, 11),
        23 | 24 => function(number, 12),
        _ => return None,
    })
}

fn function(number: u16, offset: u16) -> Key {
    Key::Function(u8::try_from(number.saturating_sub(offset)).unwrap_or(u8::MAX))
}

fn ss3(byte: u8) -> Step {
    match byte {
        0x40..=0x7e => Step::key(letter(byte)),
        // Some terminals put modifiers here.
        b'0'..=b'9' | b';' => Step::to(State::Ss3),
        _ => Step::again(None),
    }
}

/// The first five function keys of the Linux console: `ESC [ [ A`.
fn console(byte: u8) -> Step {
    match byte {
        b'A'..=b'E' => Step::key(Some(function(u16::from(byte), 64))),
        0x20..=0x7e => Step::key(None),
        _ => Step::again(None),
    }
}

impl Text {
    fn step(mut self, byte: u8) -> Step {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        let before = self.length;
        self.length = before.saturating_add(1);
        let so_far = self.bytes.get(..self.length).unwrap_or(&self.bytes);
        match std::str::from_utf8(so_far) {
            // The control characters of ISO 6429 above ASCII are no text.
            Ok(text) => Step::key(text.chars().next().filter(|c| !c.is_control()).map(Key::Char)),
            Err(error) if error.error_len().is_none() && self.length < 4 => Step::to(State::Text(self)),
            // The byte may begin something of its own, unless it is itself what is wrong.
            Err(_) if before > 0 => Step::again(Some(Key::Char(char::REPLACEMENT_CHARACTER))),
            Err(_) => Step::key(Some(Key::Char(char::REPLACEMENT_CHARACTER))),
        }
    }
}
