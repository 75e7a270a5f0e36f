//! Encoded terminal modes (RFC 4254 §8, RFC 8160): opcodes with a number each, as a string inside `pty-req`.

use crate::wire::{DecodeError, Reader, Writer};

/// The most modes one list may hold. There are fewer opcodes with an argument than this (1 to 159).
pub const MAX_TERMINAL_MODES: usize = 256;

/// Ends the list.
const TTY_OP_END: u8 = 0;
/// From here on opcodes have no defined form: decoding stops (RFC 4254 §8).
const FIRST_UNDEFINED: u8 = 160;

/// A terminal's modes: pairs of an opcode and its argument, in the order given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TerminalModes {
    modes: Vec<(u8, u32)>,
}

impl TerminalModes {
    /// A list of modes. Opcodes that cannot stand in one (0, and 160 and more) and everything over
    /// [`MAX_TERMINAL_MODES`] are left out.
    pub fn new(modes: impl IntoIterator<Item = (u8, u32)>) -> Self {
        let defined = |(opcode, _): &(u8, u32)| *opcode != TTY_OP_END && *opcode < FIRST_UNDEFINED;
        Self {
            modes: modes
                .into_iter()
                .filter(defined)
                .take(MAX_TERMINAL_MODES)
                .collect(),
        }
    }

    /// The modes in their order; an opcode may occur twice, the later one counts.
    pub fn iter(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        self.modes.iter().copied()
    }

    /// The argument of `opcode`, where it is in the list.
    pub fn get(&self, opcode: u8) -> Option<u32> {
        self.modes
            .iter()
            .rev()
            .find(|(each, _)| *each == opcode)
            .map(|(_, argument)| *argument)
    }

    /// Appends the content of the string.
    pub(crate) fn encode(&self, writer: &mut Writer<'_>) {
        for (opcode, argument) in self.iter() {
            writer.byte(opcode);
            writer.uint32(argument);
        }
        writer.byte(TTY_OP_END);
    }

    /// Reads the content of the string. A list without an end is taken (paramiko sends an empty one); one that is cut
    /// inside a mode is not.
    pub(crate) fn decode(mut reader: Reader<'_>) -> Result<Self, DecodeError> {
        let mut modes = Vec::new();
        while reader.remaining() > 0 {
            let opcode = reader.byte()?;
            if opcode == TTY_OP_END || opcode >= FIRST_UNDEFINED {
                break;
            }
            if modes.len() >= MAX_TERMINAL_MODES {
                return Err(DecodeError::BadField {
                    field: "encoded terminal modes",
                    problem: "longer than 256 modes",
                });
            }
            modes.push((opcode, reader.uint32()?));
        }
        Ok(Self { modes })
    }
}

/// Opcodes by their names (RFC 4254 §8, RFC 8160 for IUTF8).
pub mod opcode {
    macro_rules! opcodes {
        ($($name:ident = $value:literal)*) => {
            $(
                #[doc = stringify!($name)]
                pub const $name: u8 = $value;
            )*

            /// All of them, with their names.
            pub const ALL: &[(&str, u8)] = &[ $( (stringify!($name), $value), )* ];
        };
    }

    opcodes! {
        VINTR = 1 VQUIT = 2 VERASE = 3 VKILL = 4 VEOF = 5 VEOL = 6 VEOL2 = 7 VSTART = 8 VSTOP = 9 VSUSP = 10
        VDSUSP = 11 VREPRINT = 12 VWERASE = 13 VLNEXT = 14 VFLUSH = 15 VSWTCH = 16 VSTATUS = 17 VDISCARD = 18
        IGNPAR = 30 PARMRK = 31 INPCK = 32 ISTRIP = 33 INLCR = 34 IGNCR = 35 ICRNL = 36 IUCLC = 37 IXON = 38
        IXANY = 39 IXOFF = 40 IMAXBEL = 41 IUTF8 = 42
        ISIG = 50 ICANON = 51 XCASE = 52 ECHO = 53 ECHOE = 54 ECHOK = 55 ECHONL = 56 NOFLSH = 57 TOSTOP = 58
        IEXTEN = 59 ECHOCTL = 60 ECHOKE = 61 PENDIN = 62
        OPOST = 70 OLCUC = 71 ONLCR = 72 OCRNL = 73 ONOCR = 74 ONLRET = 75
        CS7 = 90 CS8 = 91 PARENB = 92 PARODD = 93
        TTY_OP_ISPEED = 128 TTY_OP_OSPEED = 129
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(modes: &TerminalModes) -> Vec<u8> {
        let mut bytes = Vec::new();
        modes.encode(&mut Writer::new(&mut bytes));
        bytes
    }

    #[test]
    fn modes_come_back_as_they_went() {
        let modes = TerminalModes::new([
            (opcode::VINTR, 3),
            (opcode::ECHO, 0),
            (opcode::ECHO, 1),
            (opcode::TTY_OP_ISPEED, 38_400),
        ]);
        let bytes = encoded(&modes);
        assert_eq!(bytes.get(..6), Some(&b"\x01\0\0\0\x03\x35"[..]));
        assert_eq!(bytes.last(), Some(&0));
        assert_eq!(TerminalModes::decode(Reader::new(&bytes)), Ok(modes.clone()));
        assert_eq!(modes.get(opcode::ECHO), Some(1));
        assert_eq!(modes.get(opcode::VEOF), None);
    }

    #[test]
    fn lists_of_the_field_are_taken() {
        for (wire, modes) in [
            (&b""[..], &[][..]),                            // paramiko
            (b"\0", &[]),                                   // nothing but the end
            (b"\x01\0\0\0\x03", &[(1, 3)]),                 // no end
            (b"\x9f\0\0\0\x01\0", &[(159, 1)]),             // unknown, but of known form
            (b"\x01\0\0\0\x03\xa0whatever", &[(1, 3)]),     // of unknown form: stop
            (b"\x01\0\0\0\x03\0\x02\0\0\0\x04", &[(1, 3)]), // something behind the end
        ] {
            let expected = TerminalModes {
                modes: modes.to_vec(),
            };
            assert_eq!(TerminalModes::decode(Reader::new(wire)), Ok(expected), "{wire:?}");
        }
    }

    #[test]
    fn a_cut_or_endless_list_is_refused() {
        assert!(TerminalModes::decode(Reader::new(b"\x01\0\0")).is_err());
        let at_limit = b"\x01\0\0\0\x03".repeat(MAX_TERMINAL_MODES);
        assert!(TerminalModes::decode(Reader::new(&at_limit)).is_ok());
        let over = b"\x01\0\0\0\x03".repeat(MAX_TERMINAL_MODES + 1);
        assert!(matches!(
            TerminalModes::decode(Reader::new(&over)),
            Err(DecodeError::BadField { .. })
        ));
    }

    #[test]
    fn what_cannot_stand_in_a_list_is_left_out() {
        assert_eq!(encoded(&TerminalModes::new([(0, 1), (160, 1), (255, 1)])), [0]);
        let many = TerminalModes::new((0..1_000).map(|_| (opcode::VINTR, 3)));
        assert_eq!(many.iter().count(), MAX_TERMINAL_MODES);
    }

    #[test]
    fn opcodes_are_those_of_the_rfc() {
        assert_eq!(opcode::ALL.len(), 18 + 13 + 13 + 6 + 4 + 2);
        assert!(opcode::ALL.windows(2).all(|pair| pair[0].1 < pair[1].1));
        assert!(opcode::ALL.iter().all(|(_, code)| *code < FIRST_UNDEFINED));
    }
}
