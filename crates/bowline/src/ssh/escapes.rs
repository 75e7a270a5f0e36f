//! Escape characters: at the beginning of a line, `~` and a letter are words to this program and not to the remote one
//! (ssh(1), "ESCAPE CHARACTERS").
//!
//! ```text
//!              escape            letter of a command
//!  line begins ──────▶ pending ──────────────────────▶ Command; the line still begins
//!       ▲                 │ anything else: sent, the escape before it unless it is the escape itself
//!       └── CR or LF ── within a line
//! ```

use ssh_client::config_file::EscapeChar;

/// What a person tells this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// `.`: end the connection.
    Disconnect,
    /// `^Z`: stop this program until the shell wakes it.
    Suspend,
    /// `B`: send a break.
    Break,
    /// `C`: read a line that adds or takes away a forward.
    Line,
    /// `I`: tell about the connection.
    Information,
    /// `R`: change the keys.
    Rekey,
    /// `v`: tell more.
    Louder,
    /// `V`: tell less.
    Quieter,
    /// `#`: list the forwards.
    List,
    /// `&`: into the background. There is no such thing here, and who asks for it hears what to do instead.
    Background,
    /// `?`: tell what there is.
    Help,
}

/// Every command by its letter, and what it does in words, if it does anything.
const COMMANDS: [(u8, Command, &str); 11] = [
    (b'.', Command::Disconnect, "end the connection"),
    (b'B', Command::Break, "send a break"),
    (b'C', Command::Line, "add or take away a forward"),
    (b'I', Command::Information, "tell about the connection"),
    (b'R', Command::Rekey, "change the keys"),
    (b'v', Command::Louder, "tell more (LogLevel)"),
    (b'V', Command::Quieter, "tell less (LogLevel)"),
    (
        0x1a,
        Command::Suspend,
        "stop this program until the shell goes on with it",
    ),
    (b'#', Command::List, "list the forwards"),
    (b'&', Command::Background, ""),
    (b'?', Command::Help, "this list"),
];

/// Finds commands among typed bytes, wherever they are cut.
#[derive(Debug)]
pub(super) struct Escapes {
    escape: EscapeChar,
    line_begins: bool,
    is_pending: bool,
}

impl Escapes {
    pub(super) const fn new(escape: EscapeChar) -> Self {
        Self {
            escape,
            line_begins: true,
            is_pending: false,
        }
    }

    /// Moves what is to be sent from `typed` to `send`, until a command stands there; what is behind it stays.
    pub(super) fn take(&mut self, typed: &mut Vec<u8>, send: &mut Vec<u8>) -> Option<Command> {
        let EscapeChar::Byte(escape) = self.escape else {
            send.append(typed);
            return None;
        };
        for (at, byte) in typed.iter().copied().enumerate() {
            if std::mem::take(&mut self.is_pending) {
                if let Some((_, command, _)) = COMMANDS.iter().find(|(letter, ..)| *letter == byte) {
                    typed.drain(..=at);
                    return Some(*command);
                }
                if byte != escape {
                    send.push(escape);
                }
            } else if self.line_begins && byte == escape {
                self.is_pending = true;
                continue;
            }
            self.line_begins = matches!(byte, b'\r' | b'\n');
            send.push(byte);
        }
        typed.clear();
        None
    }

    /// How `letter` is typed behind the escape character, for messages.
    pub(super) fn shown(&self, letter: u8) -> String {
        let shown = |byte: u8| match byte {
            0..0x20 => format!("^{}", char::from(byte | 0x40)),
            _ => char::from(byte).escape_default().to_string(),
        };
        match self.escape {
            EscapeChar::None => shown(letter),
            EscapeChar::Byte(escape) => format!("{}{}", shown(escape), shown(letter)),
        }
    }

    /// What there is to type.
    pub(super) fn help(&self) -> String {
        let mut text = "At the beginning of a line:\r\n".to_owned();
        for (letter, _, meaning) in COMMANDS.iter().filter(|(_, _, meaning)| !meaning.is_empty()) {
            text += &format!("  {:<4} {meaning}\r\n", self.shown(*letter));
        }
        if let EscapeChar::Byte(escape) = self.escape {
            text += &format!("  {:<4} send the escape character\r\n", self.shown(escape));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is sent and asked for when `typed` comes in parts of `size` bytes.
    fn taken(escape: EscapeChar, typed: &[u8], size: usize) -> (Vec<u8>, Vec<Command>) {
        let mut escapes = Escapes::new(escape);
        let (mut sent, mut commands) = (Vec::new(), Vec::new());
        for part in typed.chunks(size) {
            let mut part = part.to_vec();
            while let Some(command) = escapes.take(&mut part, &mut sent) {
                commands.push(command);
            }
            assert!(part.is_empty());
        }
        (sent, commands)
    }

    #[test]
    fn commands_are_found_at_the_beginning_of_lines_in_every_cut() {
        use Command::{Disconnect, Help, Rekey, Suspend};
        let tilde = EscapeChar::Byte(b'~');
        for (escape, typed, sent, commands) in [
            (tilde, &b"~."[..], &b""[..], &[Disconnect][..]),
            (tilde, b"ls\r~?~R", b"ls\r", &[Help, Rekey]),
            (tilde, b"a~.b\n~\x1a", b"a~.b\n", &[Suspend]),
            (tilde, b"~~.", b"~.", &[]),
            (tilde, b"~~\r~x", b"~\r~x", &[]),
            (tilde, b"~\r~.", b"~\r", &[Disconnect]),
            (EscapeChar::None, b"~.\r~.", b"~.\r~.", &[]),
            (EscapeChar::Byte(0x1d), b"~.\x1d.", b"~.\x1d.", &[]),
            (EscapeChar::Byte(0x1d), b"\x1d.~.", b"~.", &[Disconnect]),
        ] {
            for size in 1..=typed.len() {
                let found = taken(escape, typed, size);
                assert_eq!(found, (sent.to_vec(), commands.to_vec()), "{typed:?} by {size}");
            }
        }
    }

    #[test]
    fn the_help_names_every_command_that_does_something() {
        let help = Escapes::new(EscapeChar::Byte(b'~')).help();
        // A heading, the escape character itself, and all but one.
        assert_eq!(help.lines().count(), COMMANDS.len() + 1);
        assert!(!help.contains("~&"), "{help}");
        assert!(help.contains("~^Z") && help.contains("~~"), "{help}");
        assert_eq!(Escapes::new(EscapeChar::Byte(2)).shown(b'.'), "^B.");
    }
}
