//! `bowline demo`: everything in one process and on loopback. A server with a key made on the spot, a client that pins
//! it, a command with its exit status, a file put, got back and compared, a TCP port forwarded, and the speeds reached.
//!
//! No set-up, no root, no files left behind: what is written lies in a folder that goes with the value holding it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ssh_client::keys::{PrivateKey, PublicKey};
use ssh_client::{Client, Credentials, HostKeys, Process, system_rng};
use ssh_server::filesystem::Local;
use ssh_server::{
    Account, Application, Candidate, Decision, Forward, Login, Permissions, Program, Programs, Request,
    Server, Services, Session, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::terminal::{complain, say};

const USER: &str = "demo";
const FILE_BYTES: u64 = 256 << 20;
const STREAM_BYTES: u64 = 1 << 30;
const BLOCK_BYTES: usize = 256 * 1024;
/// The demo ends by itself, whatever happens.
const PATIENCE: Duration = Duration::from_secs(55);

pub(crate) fn main(words: &[OsString]) -> ExitCode {
    if !words.is_empty() {
        complain("usage: bowline demo");
        return ExitCode::from(2);
    }
    let done = crate::runtime().and_then(|runtime| {
        let limited = runtime.block_on(async { tokio::time::timeout(PATIENCE, run()).await });
        limited.unwrap_or_else(|_| Err("the demo took longer than it may".to_owned()))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(&format!("demo: {problem}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs one step after the other; the first that fails ends the demo.
async fn run() -> Result<(), String> {
    let begin = Instant::now();
    let folder = Folder::make()?;
    let host_key = PrivateKey::generate_ed25519(&mut *system_rng().map_err(text)?, "demo host");
    let user_key = PrivateKey::generate_ed25519(&mut *system_rng().map_err(text)?, "demo user");
    let app = App::new(user_key.public().clone(), folder.path())?;
    let pinned = host_key.public().clone();
    let server = Server::builder()
        .host_key(host_key)
        .listen(("127.0.0.1", 0), app)
        .await
        .map_err(text)?;
    let address = server.local_addr();
    say(&format!(
        "server    listening on {address}, host key {}",
        pinned.fingerprint()
    ));

    let connecting = Instant::now();
    let client = Client::connect(
        ("127.0.0.1", address.port()),
        USER,
        HostKeys::pinned(pinned),
        Credentials::key(user_key),
    );
    let client = client.await.map_err(text)?;
    let negotiated = client.negotiated();
    say(&format!(
        "client    connected in {:.1} ms: host key pinned, {}, {}",
        connecting.elapsed().as_secs_f64() * 1000.0,
        negotiated.kex.name,
        negotiated.outgoing.cipher.name,
    ));
    refuse_stranger(address.port()).await?;
    command(&client).await?;
    files(&client, folder.path()).await?;
    forward(&client).await?;
    streams(&client).await?;
    client.disconnect().await;
    server.shutdown().await;
    folder.remove()?;
    say(&format!(
        "done      in {:.1} s, nothing left behind",
        begin.elapsed().as_secs_f64()
    ));
    Ok(())
}

/// A client that pins another key must not get as far as logging in.
async fn refuse_stranger(port: u16) -> Result<(), String> {
    let other = PrivateKey::generate_ed25519(&mut *system_rng().map_err(text)?, "another host")
        .public()
        .clone();
    let tried = Client::connect(
        ("127.0.0.1", port),
        USER,
        HostKeys::pinned(other),
        Credentials::none(),
    )
    .await;
    match tried {
        Ok(_) => Err("a wrong host key was accepted".to_owned()),
        Err(error) => {
            say(&format!("stranger  refused: {error}"));
            Ok(())
        }
    }
}

async fn command(client: &Client) -> Result<(), String> {
    let output = client.run("echo \"hello from $0\"; exit 7").await.map_err(text)?;
    let status = output.status.code();
    say(&format!(
        "command   said {:?}, exit status {status:?}",
        output.stdout_text().trim_end()
    ));
    if status == Some(7) {
        Ok(())
    } else {
        Err("the exit status of a command was lost".to_owned())
    }
}

async fn files(client: &Client, folder: &Path) -> Result<(), String> {
    let paths = ["original", "on the server", "back again"].map(|name| folder.join(name));
    let [original, remote, back] = &paths;
    let filled = original.clone();
    blocking(move || fill(&filled)).await?;
    let sftp = client.sftp().await.map_err(text)?;
    let there = remote.as_os_str().as_encoded_bytes();
    let begin = Instant::now();
    sftp.put(original, there).await.map_err(text)?;
    let put = begin.elapsed();
    let begin = Instant::now();
    sftp.get(there, back).await.map_err(text)?;
    let got = begin.elapsed();
    let (one, other) = (original.clone(), back.clone());
    if !blocking(move || same(&one, &other)).await? {
        return Err("the file came back changed".to_owned());
    }
    let speed = |time| rate(FILE_BYTES, time);
    say(&format!(
        "file      {} MiB put at {}, got back at {}, the same",
        FILE_BYTES >> 20,
        speed(put),
        speed(got)
    ));
    for path in &paths {
        std::fs::remove_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

async fn forward(client: &Client) -> Result<(), String> {
    let echo = TcpListener::bind(("127.0.0.1", 0)).await.map_err(text)?;
    let target = echo.local_addr().map_err(text)?.port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = echo.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
            let _ = write.shutdown().await;
        }
    });
    let forward = client
        .forward_local(("127.0.0.1", 0), "127.0.0.1", target)
        .await
        .map_err(text)?;
    let mut stream = TcpStream::connect(forward.local_addr()).await.map_err(text)?;
    let begin = Instant::now();
    stream.write_all(b"through the tunnel").await.map_err(text)?;
    stream.shutdown().await.map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.map_err(text)?;
    if answer != "through the tunnel" {
        return Err(format!("the forwarded port answered {answer:?}"));
    }
    let took = begin.elapsed().as_secs_f64() * 1000.0;
    say(&format!(
        "forward   port {} leads to port {target}: echoed in {took:.1} ms",
        forward.local_addr().port()
    ));
    Ok(())
}

async fn streams(client: &Client) -> Result<(), String> {
    let Process {
        mut stdin,
        mut stdout,
        ..
    } = client
        .exec(format!("sink {STREAM_BYTES}"))
        .spawn()
        .await
        .map_err(text)?;
    let mut block = vec![0; BLOCK_BYTES];
    let begin = Instant::now();
    let blocks = STREAM_BYTES >> BLOCK_BYTES.trailing_zeros();
    for _ in 0..blocks {
        stdin.write_all(&block).await.map_err(text)?;
    }
    stdout.read_u8().await.map_err(text)?;
    let up = begin.elapsed();
    let Process { mut stdout, .. } = client
        .exec(format!("source {STREAM_BYTES}"))
        .spawn()
        .await
        .map_err(text)?;
    let begin = Instant::now();
    let mut seen: u64 = 0;
    while seen < STREAM_BYTES {
        match stdout.read(&mut block).await.map_err(text)? {
            0 => return Err("a stream ended early".to_owned()),
            count => seen = seen.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)),
        }
    }
    let down = begin.elapsed();
    say(&format!(
        "stream    {} MiB up at {}, down at {}",
        STREAM_BYTES >> 20,
        rate(STREAM_BYTES, up),
        rate(STREAM_BYTES, down)
    ));
    Ok(())
}

/// The application behind the embedded server.
struct App {
    user_key: PublicKey,
    services: Services,
}

impl App {
    fn new(user_key: PublicKey, folder: &Path) -> Result<Self, String> {
        let account = Account::current().map_err(text)?;
        let services = Services::new()
            .sftp(Local::new(folder))
            .programs(Programs::new(account));
        Ok(Self { user_key, services })
    }
}

impl Application for App {
    async fn public_key(&self, candidate: &Candidate, key: &PublicKey) -> Decision {
        Decision::accept_if(
            candidate.user == USER && *key == self.user_key,
            Permissions::default(),
        )
    }

    async fn session(&self, mut session: Session) {
        // `sink` and `source` are this application's own; everything else is a program of the system.
        while let Some(request) = session.next().await {
            let Request::Start(start) = request else { continue };
            match &start.program {
                Program::Command(line) if line.starts_with(b"sink ") || line.starts_with(b"source ") => {
                    let line = String::from_utf8_lossy(line).into_owned();
                    start.accept();
                    return move_bytes(session, &line).await;
                }
                _ => return self.services.serve_start(start, session).await,
            }
        }
    }

    async fn direct_tcpip(&self, _login: &Login, target: &Target) -> Forward {
        if target.host == "127.0.0.1" {
            Forward::Connect
        } else {
            Forward::Refuse
        }
    }
}

async fn move_bytes(session: Session, line: &str) {
    let bytes: u64 = line
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let mut channel = session.into_channel();
    let mut block = vec![0; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let moved = if line.starts_with("source") {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(block.len());
            let part = block.get(..most).unwrap_or_default();
            channel.write(part).await
        } else {
            channel.read(&mut block).await
        };
        match moved {
            Ok(count) if count > 0 => left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX)),
            _ => return,
        }
    }
    if line.starts_with("sink") {
        let _ = channel.write_all(b"!").await;
    }
    let _ = channel.shutdown().await;
    let _ = channel.read(&mut block).await;
}

/// A folder for the demo's files, in memory where the system offers that. It is removed in any case.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> Result<Self, String> {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() {
            memory
        } else {
            std::env::temp_dir()
        };
        let path = parent.join(format!("bowline-demo-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { path })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn remove(self) -> Result<(), String> {
        std::fs::remove_dir_all(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn rate(bytes: u64, time: Duration) -> String {
    let mebibytes = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    format!("{:.0} MiB/s", f64::from(mebibytes) / time.as_secs_f64())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(text)?
}

/// Bytes no compression and no zero page makes easy, from a counter (splitmix64).
fn fill(path: &Path) -> Result<(), String> {
    let mut file = File::create(path).map_err(text)?;
    let mut state: u64 = 0x626f_776c_696e_6521;
    let mut block = Vec::with_capacity(1 << 20);
    for _ in 0..FILE_BYTES >> 20 {
        block.clear();
        while block.len() < 1 << 20 {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            block.extend_from_slice(&mixed.to_le_bytes());
        }
        file.write_all(&block).map_err(text)?;
    }
    Ok(())
}

fn same(one: &Path, other: &Path) -> Result<bool, String> {
    let (mut one, mut other) = (File::open(one).map_err(text)?, File::open(other).map_err(text)?);
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut total: u64 = 0;
    loop {
        let count = one.read(&mut left).map_err(text)?;
        if count == 0 {
            return Ok(total == FILE_BYTES && other.read(&mut right).map_err(text)? == 0);
        }
        let expected = left.get(..count).unwrap_or_default();
        let found = right.get_mut(..count).unwrap_or_default();
        other.read_exact(found).map_err(text)?;
        if expected != found {
            return Ok(false);
        }
        total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}
