//! A person at a terminal of this system and a program of a real OpenSSH server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stderr,
    reason = "a test says what must be true by panicking, and what it skipped on standard error"
)]

mod common;

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::{Sshd, sshd_is_missing};
use rustix::process::{Signal, getpid, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use ssh_client::channel::{TerminalModes, WindowChange, opcode};
use ssh_client::terminal::{LocalTerminal, Typed};
use ssh_client::tokio_driver::terminal::{modes, set_modes, set_size};
use ssh_client::{Client, Error, ExitStatus, Terminal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A terminal with a person at it: a keyboard, and a screen that somebody watches.
struct Person {
    keyboard: File,
    shown: Receiver<Vec<u8>>,
    so_far: String,
    tty: OwnedFd,
}

impl Person {
    fn new(columns: u32, rows: u32) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap().into_string().unwrap();
        // Without O_NOCTTY it might become the terminal of the tests.
        let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NOCTTY;
        let tty = rustix::fs::open(name, flags, rustix::fs::Mode::empty()).unwrap();
        set_size(&tty, &WindowChange::new(columns, rows)).unwrap();
        let mut screen = File::from(keyboard.try_clone().unwrap());
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut block) {
                if sender.send(block[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            keyboard: keyboard.into(),
            shown,
            so_far: String::new(),
            tty,
        }
    }

    fn local(&self) -> LocalTerminal {
        let tty = || self.tty.try_clone().unwrap();
        LocalTerminal::over(tty(), tty(), tty()).unwrap()
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until `text` stands on the screen; what was shown up to then is forgotten.
    fn sees(&mut self, text: &str) {
        let begin = Instant::now();
        loop {
            if let Some(at) = self.so_far.find(text) {
                self.so_far.drain(..at + text.len());
                return;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "{text:?} is not shown: {:?}",
                self.so_far
            );
            if let Ok(block) = self.shown.recv_timeout(Duration::from_millis(100)) {
                self.so_far += &String::from_utf8_lossy(&block);
            }
        }
    }

    /// Resizes the window. A terminal tells the programs of its own session; ours is told by hand.
    fn resizes(&self, columns: u32, rows: u32) {
        set_size(&self.tty, &WindowChange::new(columns, rows)).unwrap();
        kill_process(getpid(), Signal::WINCH).unwrap();
    }

    /// Waits until the interaction has taken the terminal.
    fn waits_until_raw(&self) {
        let begin = Instant::now();
        while !self.is_raw() {
            assert!(
                begin.elapsed() < Duration::from_secs(120),
                "nobody takes the terminal"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_raw(&self) -> bool {
        let modes = modes(&self.tty).unwrap();
        modes.get(opcode::ICANON) == Some(0) && modes.get(opcode::ECHO) == Some(0)
    }
}

/// Lets the person act on a thread while the interaction runs here.
async fn meanwhile(mut person: Person, acts: impl FnOnce(&mut Person) + Send + 'static) -> Person {
    let acting = tokio::task::spawn_blocking(move || {
        acts(&mut person);
        person
    });
    acting.await.unwrap()
}

async fn server() -> (Sshd, Client) {
    let server = Sshd::start("");
    let client = server.client().await;
    (server, client)
}

#[tokio::test]
async fn a_person_works_in_a_shell_resizes_and_leaves() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let person = Person::new(97, 31);
    // A character that no server has for this by itself: it must have come from here.
    set_modes(&person.tty, &TerminalModes::new([(opcode::VINTR, 0x0f)])).unwrap();
    let before = modes(&person.tty).unwrap();
    let local = person.local();
    let mut terminal = local.describe().unwrap();
    terminal.term = "vt102".to_owned();
    // Between the description and the start the window may change, too.
    set_size(&person.tty, &WindowChange::new(98, 32)).unwrap();
    let exec = client.exec("stty -a; echo T-$TERM; PS1='ready> ' exec sh -i");
    let mut process = exec.terminal(terminal).spawn().await.unwrap();
    let acting = meanwhile(person, |person| {
        person.sees("intr = ^O");
        person.sees("T-vt102\r\n");
        person.sees("ready> ");
        assert!(person.is_raw());
        person.types("stty size\r");
        person.sees("32 98\r\n");
        person.resizes(120, 40);
        // The new size is there when the next command asks, or a little later: nothing answers a window-change.
        person.types("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.1; done; echo wi''der\r");
        person.sees("wider\r\n");
        // Typed before, what follows would be echoed around the prompt.
        person.sees("ready> ");
        person.types("cat\r");
        person.types("echoed\r");
        person.sees("echoed\r\nechoed\r\n");
        // Raw: the key goes there and interrupts the remote program, not this one.
        person.types("\x0f");
        person.sees("ready> ");
        person.types("exit 5\r");
    });
    let (status, person) = tokio::join!(process.interact(&local), acting);
    assert_eq!(status.unwrap(), ExitStatus::Code(5));
    assert_eq!(modes(&person.tty).unwrap(), before);
}

#[tokio::test]
async fn the_terminal_is_as_before_when_an_interaction_is_dropped_and_no_key_is_lost() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let mut person = Person::new(80, 24);
    let before = modes(&person.tty).unwrap();
    let local = person.local();
    let exec = client.exec("stty -echo; echo begun; cat");
    let mut process = exec.terminal(local.describe().unwrap()).spawn().await.unwrap();
    for round in 0..3 {
        let line = format!("line {round}");
        let acting = meanwhile(person, move |person| {
            if round == 0 {
                person.sees("begun\r\n");
            }
            // Typed before, it would be shown by this terminal, and the interaction might be dropped before it began.
            person.waits_until_raw();
            person.types(&format!("{line}\r"));
            person.sees(&format!("{line}\r\n"));
        });
        person = tokio::select! {
            ended = process.interact(&local) => panic!("{ended:?}"),
            person = acting => person,
        };
        assert_eq!(modes(&person.tty).unwrap(), before);
    }
    // What is typed now is for whoever reads the terminal next, and that is not us.
    person.types("mine\n");
    let mut own = File::from(person.tty.try_clone().unwrap());
    let line = tokio::task::spawn_blocking(move || {
        let mut line = [0; 5];
        own.read_exact(&mut line).unwrap();
        line
    });
    assert_eq!(&line.await.unwrap(), b"mine\n");
}

#[tokio::test]
async fn typed_keys_can_end_an_interaction_and_the_program_goes_on() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let person = Person::new(80, 24);
    let local = person.local();
    let terminal = Terminal::new("vt100", 80, 24);
    let mut process = client.exec("cat").terminal(terminal).spawn().await.unwrap();
    let acting = meanwhile(person, |person| {
        // Before that this terminal would echo it, and what the program says would still be to come.
        person.waits_until_raw();
        person.types("one\r");
        person.sees("one\r\none\r\n");
        person.types("\x1d");
    });
    let leave = |keys: &mut Vec<u8>| match keys.iter().position(|key| *key == 0x1d) {
        Some(at) => {
            keys.truncate(at);
            Typed::Leave
        }
        None => Typed::Send,
    };
    let (left, _person) = tokio::join!(process.interact_with(&local, leave), acting);
    assert_eq!(left.unwrap(), None);
    process.stdin.write_all(b"two\n\x04").await.unwrap();
    let mut rest = String::new();
    process.stdout.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "two\r\ntwo\r\n");
    assert_eq!(process.wait().await.unwrap(), ExitStatus::Code(0));
}

#[tokio::test]
async fn a_terminal_that_is_refused_is_an_error_unless_it_may_be() {
    if sshd_is_missing() {
        return;
    }
    let server = Sshd::start("PermitTTY no");
    let client = server.client().await;
    let terminal = || Terminal::new("vt100", 80, 24);
    let mark = server.path("started");
    let exec = client
        .exec(format!("touch {}", mark.display()))
        .terminal(terminal());
    match exec.output().await {
        Err(Error::RequestRefused { request, .. }) => assert_eq!(request, "a terminal"),
        other => panic!("{other:?}"),
    }
    assert!(!mark.exists(), "it was started without its terminal");
    let exec = client.exec("tty").terminal_if_allowed(terminal());
    let mut process = exec.spawn().await.unwrap();
    assert!(process.control.is_terminal_refused());
    // A person then types with the line editing and the echo of the own terminal.
    let person = Person::new(80, 24);
    let local = person.local();
    let acting = meanwhile(person, |person| {
        person.sees("not a tty\r\n");
        assert!(!person.is_raw());
    });
    let (status, _person) = tokio::join!(process.interact(&local), acting);
    assert_eq!(status.unwrap(), ExitStatus::Code(1));
}

#[tokio::test]
async fn a_break_reaches_a_program_with_a_terminal_only() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let process = client.exec("cat").terminal(Terminal::new("vt100", 80, 24));
    let process = process.spawn().await.unwrap();
    assert!(process.send_break(Duration::from_millis(500)).await.unwrap());
    let process = client.exec("cat").spawn().await.unwrap();
    assert!(!process.send_break(Duration::ZERO).await.unwrap());
}

#[tokio::test]
async fn a_terminal_that_hangs_up_ends_the_input() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let person = Person::new(80, 24);
    let local = LocalTerminal::over(
        person.tty.try_clone().unwrap(),
        File::create("/dev/null").unwrap().into(),
        File::create("/dev/null").unwrap().into(),
    );
    let local = local.unwrap();
    // Without a terminal there the end of the input can be seen from here.
    let mut process = client.exec("cat > /dev/null; exit 3").spawn().await.unwrap();
    let interaction = process.interact(&local);
    let hang_up = async {
        let Person { keyboard, tty, .. } = person;
        // The screen is watched by a thread that ends when the terminal does, so the line is dropped, not the screen.
        drop(tty);
        (&keyboard).write_all(b"\x04").unwrap();
        keyboard
    };
    let (status, _keyboard) = tokio::join!(interaction, hang_up);
    assert_eq!(status.unwrap(), ExitStatus::Code(3));
}

#[test]
fn what_is_no_terminal_is_none() {
    let file = || -> OwnedFd { File::open("/dev/null").unwrap().into() };
    let refused = LocalTerminal::over(file(), file(), file()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::Unsupported);
}

#[tokio::test]
async fn an_interaction_ends_when_nobody_sees_the_output_any_more() {
    if sshd_is_missing() {
        return;
    }
    let (_server, client) = server().await;
    let person = Person::new(80, 24);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let tty = || person.tty.try_clone().unwrap();
    let local = LocalTerminal::over(tty(), OwnedFd::from(writer), tty()).unwrap();
    let process = client.exec("yes").terminal(local.describe().unwrap());
    let ended = process.spawn().await.unwrap().interact(&local).await;
    assert!(matches!(ended, Err(Error::Io { .. })), "{ended:?}");
    assert!(!person.is_raw());
}
