//! Foreign programs as values: started on loopback, ended by their process id when the value goes.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

/// How long a program may take to come up on a busy machine.
const START: Duration = Duration::from_secs(120);
/// How long a program that a test waits for may run.
const PATIENCE: Duration = Duration::from_secs(300);

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts `command` with its output thrown away.
    ///
    /// # Panics
    /// The program cannot be started.
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self {
            child: child.unwrap_or_else(|error| panic!("{command:?}: {error}")),
        }
    }

    /// Starts `command` with its standard output to be read by the test, and its errors thrown away.
    ///
    /// # Panics
    /// The program cannot be started.
    pub fn start_reading(command: &mut Command) -> (Self, ChildStdout) {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = child.stdout.take().expect("it is piped");
        (Self { child }, output)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether the program still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that knows no network: started anew for each connection to a free port, with the connection as its standard
/// input and output. Dropping this ends all of them.
#[derive(Debug)]
pub struct PerConnection {
    /// Where connections are taken.
    pub port: u16,
    address: IpAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl PerConnection {
    /// Takes connections on loopback, and starts what `command` makes for each.
    ///
    /// # Panics
    /// There is no free port.
    pub fn start(command: impl Fn() -> Command + Send + 'static) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), command)
    }

    /// The same at another address of this machine.
    ///
    /// # Panics
    /// There is no such address, or no free port.
    pub fn start_at(address: IpAddr, command: impl Fn() -> Command + Send + 'static) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accepting = std::thread::spawn(move || {
            let mut started = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let input = OwnedFd::from(stream);
                let output = input.try_clone().expect("a second handle");
                let child = command()
                    .stdin(input)
                    .stdout(output)
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("the server starts");
                started.push(Running { child });
                started.retain_mut(Running::is_alive);
            }
        });
        Self {
            port,
            address,
            stop,
            accepting: Some(accepting),
        }
    }
}

impl Drop for PerConnection {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // One more connection, so that it sees the flag.
        let _ = TcpStream::connect((self.address, self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}

/// A loopback port that nobody listens on, and that nobody gets by accident: it is none of those that the system gives to
/// whoever asks for any, and no other test gets it while this process lives.
///
/// # Panics
/// There is no such port.
pub fn free_port() -> u16 {
    /// The ports that were given, each held by a socket of UDP: other processes of tests see those, too.
    static GIVEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Where processes begin at different places, they seldom meet.
    let first = std::process::id().wrapping_mul(0x9e37) % u32::from(PORTS.end - PORTS.start);
    let all = PORTS.cycle().skip(usize::try_from(first).unwrap_or_default());
    for port in all.take(PORTS.len()) {
        let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else {
            continue;
        };
        if is_free(port) {
            given.push(mark);
            return port;
        }
    }
    panic!("no port of {PORTS:?} is free")
}

/// Whether a server could listen at a port. Asked without listening there: a program that is just being started has what is
/// open here for a moment longer, and would be in the way of whoever is to get the port.
fn is_free(port: u16) -> bool {
    let socket = TcpSocket::new_v4().and_then(|socket| socket.set_reuseaddr(true).map(|()| socket));
    socket.is_ok_and(|socket| socket.bind((Ipv4Addr::UNSPECIFIED, port).into()).is_ok())
}

/// Whether this machine has this address, and lets somebody listen there: not every one has IPv6.
pub fn has_address(address: &str) -> bool {
    TcpListener::bind((address, 0)).is_ok()
}

/// Below the ports that Linux gives to whoever asks for any (32768 and more), and above those of well-known servers.
const PORTS: Range<u16> = 20_000..32_000;

/// Whether a process is there and has not ended. Linux only: read from `/proc`. One that has ended and that nobody has asked
/// about yet, as its parent should, still has its place there.
pub fn is_running(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The second field is a name in brackets, which may hold anything.
    let state = stat.rsplit_once(')').map(|(_name, fields)| fields.trim_start());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// Waits until an SSH server greets on loopback's `port`.
///
/// # Errors
/// The program ended or did not greet in time.
pub fn wait_for_greeting(program: &mut Running, port: u16) -> Result<(), String> {
    wait_for_greeting_at(program, (Ipv4Addr::LOCALHOST, port).into())
}

/// The same at any address of this machine.
///
/// # Errors
/// The program ended or did not greet in time.
pub fn wait_for_greeting_at(program: &mut Running, address: SocketAddr) -> Result<(), String> {
    let begin = Instant::now();
    while begin.elapsed() < START {
        if !program.is_alive() {
            return Err(format!("the server at {address} ended at once"));
        }
        if let Ok(mut stream) = TcpStream::connect(address) {
            let mut greeting = [0; 4];
            stream
                .set_read_timeout(Some(START))
                .map_err(|error| error.to_string())?;
            if stream.read_exact(&mut greeting).is_ok() && greeting == *b"SSH-" {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("no server greeted at {address}"))
}

/// How a program ended, and all it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    command: String,
}

impl Finished {
    /// Standard output as text.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The same, if it ended with status `code`.
    ///
    /// # Panics
    /// It ended otherwise; with all it said.
    #[must_use]
    pub fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\nended with {:?}", self.command, self.code)?;
        writeln!(f, "--- standard output\n{}", self.stdout_text())?;
        write!(f, "--- standard error\n{}", self.stderr_text())
    }
}

/// Runs `command` to its end with nothing to read.
///
/// # Panics
/// It cannot be started, or it and whoever has its output do not end in five minutes.
pub fn run(command: &mut Command) -> Finished {
    run_with(command, Vec::new())
}

/// Runs `command` to its end; `input` is what it can read.
///
/// # Panics
/// It cannot be started, or it and whoever has its output do not end in five minutes.
pub fn run_with(command: &mut Command, input: impl Into<Vec<u8>>) -> Finished {
    let input = input.into();
    let shown = format!("{command:?}");
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    // A program need not read what it is given: nobody waits for this one either.
    std::thread::spawn(move || drop(stdin.write_all(&input)));
    let stdout = gather(child.stdout.take().expect("it is piped"));
    let stderr = gather(child.stderr.take().expect("it is piped"));
    let code = wait(&mut child, PATIENCE);
    if code.is_none() {
        // What it started may still hold its streams open: nobody waits for those.
        panic!("{shown} still ran after {} seconds", PATIENCE.as_secs());
    }
    let (stdout, stderr) = (all(&stdout, PATIENCE, &shown), all(&stderr, PATIENCE, &shown));
    Finished {
        code: code.flatten(),
        stdout,
        stderr,
        command: shown,
    }
}

/// Reads to the end beside whoever asked for it.
fn gather(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (whole, waiting) = channel();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        let _ = from.read_to_end(&mut all);
        // Nobody may wait for it any more.
        let _ = whole.send(all);
    });
    waiting
}

/// All that was gathered. What the program started may hold its streams open when it has ended itself.
fn all(gathered: &Receiver<Vec<u8>>, patience: Duration, shown: &str) -> Vec<u8> {
    gathered.recv_timeout(patience).unwrap_or_else(|_late| {
        panic!(
            "{shown} has ended, and somebody has its output open after {} seconds",
            patience.as_secs()
        )
    })
}

/// Waits until `child` has ended: with its code, or `Some(None)` by a signal. `None`: it did not, and was ended.
fn wait(child: &mut Child, patience: Duration) -> Option<Option<i32>> {
    let begin = Instant::now();
    while begin.elapsed() < patience {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.code());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_at_which_somebody_listens_is_not_free() {
        let port = free_port();
        assert!(is_free(port));
        for address in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let _listener = TcpListener::bind((address, port)).expect("it is free");
            assert!(!is_free(port), "{address}");
        }
        assert_ne!(free_port(), port, "it was given");
    }

    #[test]
    #[should_panic(expected = "has ended, and somebody has its output open after 0 seconds")]
    fn output_that_outlives_its_program_is_not_waited_for_for_ever() {
        let (theirs, _held) = std::io::pipe().expect("a pipe");
        let _ = all(&gather(theirs), Duration::from_millis(10), "a program");
    }
}
