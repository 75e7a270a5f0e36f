//! Keys as they are typed, read without a thread that could keep some of them.

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A terminal to be read. What is not read stays in the terminal, for whoever reads it next.
#[derive(Debug)]
pub(crate) struct Keyboard {
    tty: AsyncFd<OwnedFd>,
}

impl Keyboard {
    /// Reads `tty`, a descriptor of its own.
    #[allow(
        deprecated,
        reason = "what replaces it is unsafe; it asks for a descriptor that stays the same and open, as an OwnedFd does"
    )]
    pub(crate) fn new(tty: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            tty: AsyncFd::with_interest(tty, Interest::READABLE)?,
        })
    }

    /// Waits for keys; 0 when the terminal was hung up, or its user ended the input. May be dropped: no key is lost.
    pub(crate) async fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.tty.readable().await?;
            let read = ready.try_io(|tty| {
                // The descriptor is shared with other programs and stays blocking, so the terminal is asked first
                // whether it has something.
                if !has_input(tty.get_ref())? {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                Ok(rustix::io::read(tty.get_ref(), &mut *into)?)
            });
            match read {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                // Linux says this of a terminal whose screen is gone.
                Ok(Err(error)) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                    return Ok(0);
                }
                Ok(result) => return result,
                Err(_not_yet) => {}
            }
        }
    }
}

/// Whether a read would not wait: there are keys, or there will never be any.
fn has_input(tty: &OwnedFd) -> io::Result<bool> {
    let mut asked = [PollFd::new(tty, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    Ok(poll(&mut asked, Some(&at_once))? > 0)
}
