//! The terminal a client asks for, as an application sees it (RFC 4254 §6.2).

use crate::channel::{PtyReq, TerminalModes, WindowChange};

/// A client's terminal: what `pty-req` said of it, checked, and what `window-change` has said since.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Terminal {
    /// The value for `TERM`: printable US-ASCII without space and slash. Empty where the client gave none.
    pub name: String,
    /// Its size. The client chose it: any value may stand here, and 0 is unknown.
    pub size: WindowChange,
    /// Its modes, as the client sent them.
    pub modes: TerminalModes,
}

impl Terminal {
    /// The terminal of a request; `None` for a name that no terminal has: longer than [`MAX_TERMINAL_NAME_BYTES`], or
    /// with anything in it that could be more than a name to a program that looks it up in a directory or prints it.
    pub fn of(request: &PtyReq) -> Option<Self> {
        let name = &request.terminal;
        let is_name = name.len() <= MAX_TERMINAL_NAME_BYTES
            && name.bytes().all(|each| each.is_ascii_graphic() && each != b'/');
        is_name.then(|| Self {
            name: name.clone(),
            size: WindowChange {
                columns: request.columns,
                rows: request.rows,
                width_pixels: request.width_pixels,
                height_pixels: request.height_pixels,
            },
            modes: request.modes.clone(),
        })
    }
}

/// The longest name of a terminal: several times what any has (`screen.xterm-256color` is a long one).
pub const MAX_TERMINAL_NAME_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Option<Terminal> {
        Terminal::of(&PtyReq {
            terminal: name.to_owned(),
            columns: u32::MAX,
            rows: 0,
            width_pixels: 1,
            height_pixels: 2,
            modes: TerminalModes::default(),
        })
    }

    #[test]
    fn a_terminal_has_a_name_and_any_size() {
        for name in ["xterm-256color", "screen.xterm+256color", ""] {
            let terminal = named(name).unwrap();
            assert_eq!(terminal.name, name);
            assert_eq!((terminal.size.columns, terminal.size.rows), (u32::MAX, 0));
        }
        for name in ["../x", "a b", "a\n", "\0", "\u{1b}[0m", "ü"] {
            assert_eq!(named(name), None, "{name:?}");
        }
        assert!(named(&"x".repeat(MAX_TERMINAL_NAME_BYTES)).is_some());
        assert!(named(&"x".repeat(MAX_TERMINAL_NAME_BYTES + 1)).is_none());
    }
}
