//! Terminals of this system as the protocol speaks of them: their modes (RFC 4254 §8, RFC 8160) and their size (§6.7).
//!
//! ```text
//!  a client's own terminal ──modes──▶ TerminalModes ──pty-req──▶ set_modes ──▶ the terminal of its program
//!                          ──size───▶ WindowChange ──window-change──▶ set_size
//! ```
//!
//! Both sides go by one table. What a system has no name for (`VDSUSP`, `VSTATUS` and `VFLUSH` on Linux) is neither told
//! nor set.

use std::io;
use std::os::fd::AsFd;

use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, SpecialCodeIndex, Termios, Winsize,
    tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::channel::{TerminalModes, WindowChange, opcode};

/// The modes of a terminal: every one that both the system and the RFC name, and the two speeds.
///
/// # Errors
/// What the system says; `ENOTTY` for what is no terminal.
pub fn modes(terminal: impl AsFd) -> io::Result<TerminalModes> {
    Ok(told(&tcgetattr(terminal)?))
}

/// Gives a terminal the modes of a peer. Unknown opcodes, characters over 255 and speeds the system has not are passed
/// over: the rest counts (§8). Of an opcode that occurs twice the later one counts.
///
/// # Errors
/// What the system says; `ENOTTY` for what is no terminal.
pub fn set_modes(terminal: impl AsFd, modes: &TerminalModes) -> io::Result<()> {
    let terminal = terminal.as_fd();
    let mut termios = tcgetattr(terminal)?;
    for (opcode, argument) in modes.iter() {
        set(&mut termios, opcode, argument);
    }
    Ok(tcsetattr(terminal, OptionalActions::Now, &termios)?)
}

/// The size of a terminal, in characters and pixels; 0 is unknown.
///
/// # Errors
/// What the system says; `ENOTTY` for what is no terminal.
pub fn size(terminal: impl AsFd) -> io::Result<WindowChange> {
    let found = tcgetwinsize(terminal)?;
    Ok(WindowChange {
        columns: found.ws_col.into(),
        rows: found.ws_row.into(),
        width_pixels: found.ws_xpixel.into(),
        height_pixels: found.ws_ypixel.into(),
    })
}

/// Gives a terminal a size; what is over 65535 becomes that, the most a system can say. Its programs hear of it by
/// `SIGWINCH` where it is a new one.
///
/// # Errors
/// What the system says; `ENOTTY` for what is no terminal.
pub fn set_size(terminal: impl AsFd, size: &WindowChange) -> io::Result<()> {
    let most = |wanted: u32| u16::try_from(wanted).unwrap_or(u16::MAX);
    let size = Winsize {
        ws_row: most(size.rows),
        ws_col: most(size.columns),
        ws_xpixel: most(size.width_pixels),
        ws_ypixel: most(size.height_pixels),
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Where the system keeps what an opcode speaks of.
#[derive(Clone, Copy)]
enum Place {
    Character(SpecialCodeIndex),
    Input(InputModes),
    Output(OutputModes),
    Control(ControlModes),
    Local(LocalModes),
    /// One of the values of `CSIZE`, which share their bits.
    CharacterSize(ControlModes),
    InputSpeed,
    OutputSpeed,
}

fn told(termios: &Termios) -> TerminalModes {
    TerminalModes::new(TABLE.iter().map(|(opcode, place)| {
        let argument = match *place {
            Place::Character(index) => match termios.special_codes[index] {
                NO_CHARACTER => NO_CHARACTER_ON_THE_WIRE,
                code => code.into(),
            },
            Place::Input(flag) => termios.input_modes.contains(flag).into(),
            Place::Output(flag) => termios.output_modes.contains(flag).into(),
            Place::Control(flag) => termios.control_modes.contains(flag).into(),
            Place::Local(flag) => termios.local_modes.contains(flag).into(),
            Place::CharacterSize(size) => (termios.control_modes & ControlModes::CSIZE == size).into(),
            Place::InputSpeed => termios.input_speed(),
            Place::OutputSpeed => termios.output_speed(),
        };
        (*opcode, argument)
    }))
}

fn set(termios: &mut Termios, opcode: u8, argument: u32) {
    let Some((_, place)) = TABLE.iter().find(|(known, _)| *known == opcode) else {
        return;
    };
    let on = argument != 0;
    match *place {
        Place::Character(index) => match u8::try_from(argument) {
            Ok(u8::MAX) => termios.special_codes[index] = NO_CHARACTER,
            Ok(code) => termios.special_codes[index] = code,
            Err(_too_large) => {}
        },
        Place::Input(flag) => termios.input_modes.set(flag, on),
        Place::Output(flag) => termios.output_modes.set(flag, on),
        Place::Control(flag) => termios.control_modes.set(flag, on),
        Place::Local(flag) => termios.local_modes.set(flag, on),
        // One that is off says nothing about which of the others is on.
        Place::CharacterSize(size) if on => {
            termios.control_modes.remove(ControlModes::CSIZE);
            termios.control_modes.insert(size);
        }
        Place::CharacterSize(_) => {}
        // To a serial line a speed of 0 says "hang up".
        Place::InputSpeed if on => drop(termios.set_input_speed(argument)),
        Place::OutputSpeed if on => drop(termios.set_output_speed(argument)),
        Place::InputSpeed | Place::OutputSpeed => {}
    }
}

/// How the system says that a function has no character (`_POSIX_VDISABLE`), and how the RFC does.
#[cfg(target_os = "linux")]
const NO_CHARACTER: u8 = 0;
#[cfg(not(target_os = "linux"))]
const NO_CHARACTER: u8 = 255;
const NO_CHARACTER_ON_THE_WIRE: u32 = 255;

const TABLE: &[(u8, Place)] = &[
    (opcode::VINTR, Place::Character(SpecialCodeIndex::VINTR)),
    (opcode::VQUIT, Place::Character(SpecialCodeIndex::VQUIT)),
    (opcode::VERASE, Place::Character(SpecialCodeIndex::VERASE)),
    (opcode::VKILL, Place::Character(SpecialCodeIndex::VKILL)),
    (opcode::VEOF, Place::Character(SpecialCodeIndex::VEOF)),
    (opcode::VEOL, Place::Character(SpecialCodeIndex::VEOL)),
    (opcode::VEOL2, Place::Character(SpecialCodeIndex::VEOL2)),
    (opcode::VSTART, Place::Character(SpecialCodeIndex::VSTART)),
    (opcode::VSTOP, Place::Character(SpecialCodeIndex::VSTOP)),
    (opcode::VSUSP, Place::Character(SpecialCodeIndex::VSUSP)),
    (opcode::VREPRINT, Place::Character(SpecialCodeIndex::VREPRINT)),
    (opcode::VWERASE, Place::Character(SpecialCodeIndex::VWERASE)),
    (opcode::VLNEXT, Place::Character(SpecialCodeIndex::VLNEXT)),
    #[cfg(target_os = "linux")]
    (opcode::VSWTCH, Place::Character(SpecialCodeIndex::VSWTC)),
    (opcode::VDISCARD, Place::Character(SpecialCodeIndex::VDISCARD)),
    (opcode::IGNPAR, Place::Input(InputModes::IGNPAR)),
    (opcode::PARMRK, Place::Input(InputModes::PARMRK)),
    (opcode::INPCK, Place::Input(InputModes::INPCK)),
    (opcode::ISTRIP, Place::Input(InputModes::ISTRIP)),
    (opcode::INLCR, Place::Input(InputModes::INLCR)),
    (opcode::IGNCR, Place::Input(InputModes::IGNCR)),
    (opcode::ICRNL, Place::Input(InputModes::ICRNL)),
    #[cfg(target_os = "linux")]
    (opcode::IUCLC, Place::Input(InputModes::IUCLC)),
    (opcode::IXON, Place::Input(InputModes::IXON)),
    (opcode::IXANY, Place::Input(InputModes::IXANY)),
    (opcode::IXOFF, Place::Input(InputModes::IXOFF)),
    (opcode::IMAXBEL, Place::Input(InputModes::IMAXBEL)),
    #[cfg(any(target_os = "linux", target_vendor = "apple"))]
    (opcode::IUTF8, Place::Input(InputModes::IUTF8)),
    (opcode::ISIG, Place::Local(LocalModes::ISIG)),
    (opcode::ICANON, Place::Local(LocalModes::ICANON)),
    #[cfg(target_os = "linux")]
    (opcode::XCASE, Place::Local(LocalModes::XCASE)),
    (opcode::ECHO, Place::Local(LocalModes::ECHO)),
    (opcode::ECHOE, Place::Local(LocalModes::ECHOE)),
    (opcode::ECHOK, Place::Local(LocalModes::ECHOK)),
    (opcode::ECHONL, Place::Local(LocalModes::ECHONL)),
    (opcode::NOFLSH, Place::Local(LocalModes::NOFLSH)),
    (opcode::TOSTOP, Place::Local(LocalModes::TOSTOP)),
    (opcode::IEXTEN, Place::Local(LocalModes::IEXTEN)),
    (opcode::ECHOCTL, Place::Local(LocalModes::ECHOCTL)),
    (opcode::ECHOKE, Place::Local(LocalModes::ECHOKE)),
    (opcode::PENDIN, Place::Local(LocalModes::PENDIN)),
    (opcode::OPOST, Place::Output(OutputModes::OPOST)),
    #[cfg(target_os = "linux")]
    (opcode::OLCUC, Place::Output(OutputModes::OLCUC)),
    (opcode::ONLCR, Place::Output(OutputModes::ONLCR)),
    (opcode::OCRNL, Place::Output(OutputModes::OCRNL)),
    (opcode::ONOCR, Place::Output(OutputModes::ONOCR)),
    (opcode::ONLRET, Place::Output(OutputModes::ONLRET)),
    (opcode::CS7, Place::CharacterSize(ControlModes::CS7)),
    (opcode::CS8, Place::CharacterSize(ControlModes::CS8)),
    (opcode::PARENB, Place::Control(ControlModes::PARENB)),
    (opcode::PARODD, Place::Control(ControlModes::PARODD)),
    (opcode::TTY_OP_ISPEED, Place::InputSpeed),
    (opcode::TTY_OP_OSPEED, Place::OutputSpeed),
];

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use rustix::pty::{OpenptFlags, openpt, unlockpt};

    use super::*;

    /// The near end of a new terminal, which has its modes and its size like the far one.
    fn terminal() -> OwnedFd {
        let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        unlockpt(&near).unwrap();
        near
    }

    #[test]
    fn every_mode_is_set_and_told_again_on_and_off() {
        let terminal = terminal();
        for (name, code) in opcode::ALL {
            let wanted: &[u32] = match *code {
                // A terminal without a line behind it has eight bits, whatever it is told.
                opcode::CS7 | opcode::CS8 => continue,
                opcode::TTY_OP_ISPEED | opcode::TTY_OP_OSPEED => continue,
                1..=18 => &[255, 0x1b, 17],
                _ => &[1, 0],
            };
            if !TABLE.iter().any(|(known, _)| known == code) {
                assert!(["VDSUSP", "VFLUSH", "VSTATUS"].contains(name), "{name}");
                set_modes(&terminal, &TerminalModes::new([(*code, 1)])).unwrap();
                assert_eq!(modes(&terminal).unwrap().get(*code), None);
                continue;
            }
            // The system itself keeps a terminal with parity off at that.
            if [opcode::PARENB, opcode::PARODD].contains(code) {
                continue;
            }
            for argument in wanted {
                set_modes(&terminal, &TerminalModes::new([(*code, *argument)])).unwrap();
                assert_eq!(modes(&terminal).unwrap().get(*code), Some(*argument), "{name}");
            }
        }
    }

    #[test]
    fn bits_of_a_character_parity_and_speeds_are_written_down() {
        let mut termios = tcgetattr(terminal()).unwrap();
        for (code, argument) in [
            (opcode::CS7, 1),
            (opcode::CS8, 0),
            (opcode::PARENB, 1),
            (opcode::PARODD, 1),
            (opcode::TTY_OP_ISPEED, 9_600),
            (opcode::TTY_OP_OSPEED, 19_200),
        ] {
            set(&mut termios, code, argument);
            assert_eq!(told(&termios).get(code), Some(argument), "{code}");
        }
        // What OpenSSH's client says of every terminal with eight bits.
        set(&mut termios, opcode::CS7, 1);
        set(&mut termios, opcode::CS8, 1);
        assert_eq!(
            (told(&termios).get(opcode::CS7), told(&termios).get(opcode::CS8)),
            (Some(0), Some(1))
        );
    }

    #[test]
    fn what_makes_no_sense_is_passed_over_and_the_rest_counts() {
        let terminal = terminal();
        let before = modes(&terminal).unwrap();
        let odd = [
            (opcode::VINTR, 256),
            (opcode::VEOF, u32::MAX),
            (opcode::TTY_OP_ISPEED, 0),
            (opcode::TTY_OP_OSPEED, 0),
            (29, 1),
            (159, u32::MAX),
        ];
        set_modes(&terminal, &TerminalModes::new(odd)).unwrap();
        assert_eq!(modes(&terminal).unwrap(), before);
        let with_sense = odd
            .into_iter()
            .chain([(opcode::ECHO, u32::MAX - 1), (opcode::ECHO, 0)]);
        set_modes(&terminal, &TerminalModes::new(with_sense)).unwrap();
        assert_eq!(modes(&terminal).unwrap().get(opcode::ECHO), Some(0));
    }

    #[test]
    fn sizes_are_as_large_as_the_system_can_say() {
        let terminal = terminal();
        for (wanted, found) in [
            (WindowChange::new(80, 24), WindowChange::new(80, 24)),
            (WindowChange::new(0, 0), WindowChange::new(0, 0)),
            (
                WindowChange {
                    columns: u32::MAX,
                    rows: 65_536,
                    width_pixels: 65_535,
                    height_pixels: 1,
                },
                WindowChange {
                    columns: 65_535,
                    rows: 65_535,
                    width_pixels: 65_535,
                    height_pixels: 1,
                },
            ),
        ] {
            set_size(&terminal, &wanted).unwrap();
            assert_eq!(size(&terminal).unwrap(), found);
        }
    }

    #[test]
    fn what_is_no_terminal_is_told_so() {
        let (pipe, _) = std::io::pipe().unwrap();
        for failed in [
            modes(&pipe).map(drop),
            set_modes(&pipe, &TerminalModes::default()),
            size(&pipe).map(drop),
            set_size(&pipe, &WindowChange::new(1, 1)),
        ] {
            assert_eq!(
                failed.unwrap_err().raw_os_error(),
                Some(rustix::io::Errno::NOTTY.raw_os_error())
            );
        }
    }
}
