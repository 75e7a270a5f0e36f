//! What a hostile peer is let loose on: bytes in, bytes out, and whether it is over.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Any server or client.
pub trait Target {
    /// Bytes reach it.
    fn give(&mut self, bytes: &[u8]);

    /// What it sends next. Empty: nothing comes any more, for now or for ever ([`is_over`](Self::is_over)).
    fn take(&mut self) -> Vec<u8>;

    /// Whether it has ended the connection.
    fn is_over(&self) -> bool;
}

/// A server or a client, any program, over a port of this machine.
#[derive(Debug)]
pub struct Tcp {
    stream: TcpStream,
    over: bool,
}

/// So long a program on this machine, however busy that is, is waited for when it has something to say.
const PATIENCE: Duration = Duration::from_secs(120);

impl Tcp {
    /// Connects to a loopback port.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(port: u16) -> std::io::Result<Self> {
        Self::over(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?)
    }

    /// Waits for a client.
    ///
    /// # Errors
    /// The system's.
    pub fn accept(listener: &TcpListener) -> std::io::Result<Self> {
        Self::over(listener.accept()?.0)
    }

    /// Waits no longer than this for what comes next: for those who ask until nothing comes any more.
    ///
    /// # Errors
    /// The system's.
    pub fn patient(self, patience: Duration) -> std::io::Result<Self> {
        self.stream.set_read_timeout(Some(patience))?;
        self.stream.set_write_timeout(Some(patience))?;
        Ok(self)
    }

    fn over(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, over: false })
    }
}

impl Target for Tcp {
    fn give(&mut self, bytes: &[u8]) {
        self.over |= self.stream.write_all(bytes).is_err();
    }

    fn take(&mut self) -> Vec<u8> {
        let mut room = vec![0; 64 * 1024];
        let count = loop {
            match self.stream.read(&mut room) {
                Ok(0) => {
                    self.over = true;
                    break 0;
                }
                Ok(count) => break count,
                // A signal, of an ended child for one: a read with a limit of time is never begun again by the system.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.over |= !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                    break 0;
                }
            }
        };
        room.truncate(count);
        room
    }

    fn is_over(&self) -> bool {
        self.over
    }
}
