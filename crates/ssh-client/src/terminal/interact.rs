//! A person at a local terminal and a program at a remote one, joined until one of them has enough.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::OwnedFd;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use zeroize::{Zeroize, Zeroizing};

use super::keystrokes::Lane;
use super::{Keyboard, LocalTerminal, SizeChanges};
use crate::error::Error;
use crate::output::ExitStatus;
use crate::process::{Process, ProcessControl};
use crate::tokio_driver::ChannelReader;

/// The most keys taken from the terminal at once, in bytes: someone may paste. As many may wait for a program whose window is
/// full before the terminal is read no further, and what is typed behind them is not looked at; OpenSSH's client reads none
/// at all while the window is full.
const KEYS_BYTES: usize = 16 * 1024;

/// What becomes of typed keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Typed {
    /// They go to the remote program.
    Send,
    /// They go to the remote program, and then the interaction is over; the program goes on.
    Leave,
    /// The interaction is over at once. They go nowhere, and neither do those before them that the program has not taken.
    Quit,
}

impl Process {
    /// Joins the remote program and a local terminal until the program ends: the terminal is raw meanwhile, keys go
    /// there as [`LocalTerminal::keystroke_timing`] says, output comes here, changes of size are passed on. Afterwards,
    /// and when the future is dropped at any point, the terminal has its modes back. Needs tokio's I/O driver.
    ///
    /// # Errors
    /// [`Error::Io`] if the local terminal fails, and if the connection ends first.
    pub async fn interact(&mut self, terminal: &LocalTerminal) -> Result<ExitStatus, Error> {
        self.interact_with(terminal, |_keys| Typed::Send).await?;
        self.control.wait().await
    }

    /// Like [`interact`](Self::interact), but shows `keys` what is typed before it is sent; it may change it, and end
    /// the interaction. `None` says that it did: the program runs on and the process is whole.
    ///
    /// # Errors
    /// As of [`interact`](Self::interact).
    pub async fn interact_with(
        &mut self,
        terminal: &LocalTerminal,
        mut keys: impl FnMut(&mut Vec<u8>) -> Typed,
    ) -> Result<Option<ExitStatus>, Error> {
        let address = self.control.address().clone();
        let told_size = self.control.told_size().cloned();
        let failed = |step: &'static str| {
            let address = address.clone();
            move |source| Error::Io {
                address,
                step,
                source,
            }
        };
        let begun = Begun::new(terminal).map_err(failed("take hold of the terminal"))?;
        // Without a remote terminal nothing echoes what is typed and no key has a meaning: the local one does that.
        let raw = told_size.as_ref().map(|_| terminal.raw()).transpose();
        let _raw = raw.map_err(failed("set the terminal to raw mode"))?;
        if let Some(told) = &told_size
            && let Ok(size) = terminal.size()
            && size != *told
        {
            self.resize(size)?;
        }
        // Only a remote terminal is typed at: without one, whole lines leave.
        let handle = told_size.map(|_| self.control.handle().clone());
        let lane = Lane::new(&mut self.stdin, terminal.timing, handle);
        let lane = lane.map_err(failed("draw random times"))?;
        let Begun {
            keyboard,
            output,
            errors,
            mut sizes,
        } = begun;
        let shown = async {
            let both =
                async { tokio::try_join!(show(&mut self.stdout, output), show(&mut self.stderr, errors)) };
            both.await.map(|_| ()).map_err(failed("write to the terminal"))
        };
        let typed = async {
            let typed = type_on(&keyboard, lane, &mut keys).await;
            match typed.map_err(failed("read the terminal"))? {
                ControlFlow::Break(()) => Ok::<_, Error>(None),
                // The remote program has heard all there is to hear; its end is told by its output.
                ControlFlow::Continue(()) => std::future::pending().await,
            }
        };
        let ran = async {
            // A program that nobody sees any more would wait for ever for somebody to read what it says. The end of the
            // connection, on the other hand, cuts off nothing that has come before it.
            let attended = async { Ok(attend(&mut self.control, &mut sizes).await) };
            let ((), status) = tokio::try_join!(shown, attended)?;
            status.map(Some)
        };
        tokio::select! {
            ended = ran => ended,
            left = typed => left,
        }
    }
}

/// What an interaction needs of the local terminal.
struct Begun {
    keyboard: Keyboard,
    output: tokio::fs::File,
    errors: tokio::fs::File,
    sizes: SizeChanges,
}

impl Begun {
    fn new(terminal: &LocalTerminal) -> io::Result<Self> {
        // Writes may wait for a slow screen: tokio's files do that on a thread of their own.
        let file = |descriptor: &OwnedFd| -> io::Result<tokio::fs::File> {
            Ok(tokio::fs::File::from_std(descriptor.try_clone()?.into()))
        };
        Ok(Self {
            keyboard: Keyboard::new(terminal.input.try_clone()?)?,
            output: file(&terminal.output)?,
            errors: file(&terminal.errors)?,
            sizes: terminal.sizes()?,
        })
    }
}

/// Everything the program says on one of its streams. The end of the connection is told by whoever waits for the program.
async fn show(from: &mut ChannelReader, mut to: tokio::fs::File) -> io::Result<()> {
    while let Ok(Some(chunk)) = from.next_chunk().await {
        to.write_all(&chunk).await?;
        to.flush().await?;
    }
    Ok(())
}

/// Everything that is typed, until the terminal ends, the program takes no more, or `keys` breaks off. Keys are read while
/// others wait for the program: whoever wants to quit need not wait for one that takes nothing.
async fn type_on<W: AsyncWrite + Unpin>(
    keyboard: &Keyboard,
    mut lane: Lane<'_, W>,
    keys: &mut impl FnMut(&mut Vec<u8>) -> Typed,
) -> io::Result<ControlFlow<()>> {
    let mut buffer = Zeroizing::new(vec![0; KEYS_BYTES]);
    loop {
        let count = tokio::select! {
            goes_on = lane.step() => {
                if !goes_on {
                    return Ok(ControlFlow::Continue(()));
                }
                continue;
            }
            count = keyboard.read(&mut buffer), if lane.waiting() < KEYS_BYTES => count?,
        };
        if count == 0 {
            lane.end().await;
            return Ok(ControlFlow::Continue(()));
        }
        let read = buffer.get_mut(..count).unwrap_or_default();
        let mut typed = Zeroizing::new(read.to_vec());
        read.zeroize();
        let then = keys(&mut typed);
        if then == Typed::Quit {
            lane.forget();
            return Ok(ControlFlow::Break(()));
        }
        lane.push(&typed);
        if then == Typed::Leave {
            return Ok(match lane.flush().await {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            });
        }
    }
}

/// Passes changes of size on until the program has ended.
async fn attend(control: &mut ProcessControl, sizes: &mut SizeChanges) -> Result<ExitStatus, Error> {
    let mut terminal_lives = true;
    loop {
        tokio::select! {
            event = control.next_event() => {
                if event.is_none() {
                    return control.wait().await;
                }
            }
            size = sizes.next(), if terminal_lives => match size {
                // A program that ended just now needs no size; its end is the next thing heard here.
                Some(size) => drop(control.resize(size)),
                None => terminal_lives = false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::terminal::KeystrokeTiming;

    /// What the program reads and how it ends, when `letters` are typed one after the other, the next one once the last
    /// was heard, and `~` and `.` have a meaning.
    async fn typed(letters: &[u8], room: usize) -> (Vec<u8>, ControlFlow<()>) {
        let (read, mut hands) = io::pipe().unwrap();
        let keyboard = Keyboard::new(read.into()).unwrap();
        let (mut to, mut program) = tokio::io::duplex(room);
        let mut letters = letters.iter();
        let mut press = move || match letters.next() {
            Some(letter) => hands.write_all(&[*letter]).unwrap(),
            None => hands = io::pipe().unwrap().1,
        };
        press();
        let mut keys = |typed: &mut Vec<u8>| {
            press();
            match typed.as_slice() {
                b"~" => Typed::Quit,
                b"." => Typed::Leave,
                _ => Typed::Send,
            }
        };
        let lane = Lane::new(&mut to, KeystrokeTiming::AtOnce, None).unwrap();
        let ended = type_on(&keyboard, lane, &mut keys).await.unwrap();
        drop(to);
        let mut taken = Vec::new();
        program.read_to_end(&mut taken).await.unwrap();
        (taken, ended)
    }

    #[tokio::test]
    async fn whoever_quits_need_not_wait_for_a_program_that_takes_nothing() {
        let all = (b"abc.".to_vec(), ControlFlow::Break(()));
        assert_eq!(typed(b"abc.d", 100).await, all);
        assert_eq!(
            typed(b"abc", 100).await,
            (b"abc".to_vec(), ControlFlow::Continue(()))
        );
        let (taken, ended) = typed(b"abc~d", 1).await;
        assert!(b"a".starts_with(&taken), "{taken:?}");
        assert_eq!(ended, ControlFlow::Break(()));
    }
}
