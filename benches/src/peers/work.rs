//! What a client does, written once for all libraries.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::application::{ECHO, bulk, send};
use crate::programs::Files;
use crate::roles::{AT_ONCE, BLOCK, Direction, Result, Work, announce, until_input_ends};

/// A client library: how one connects, and how one starts a command.
pub(crate) trait Library: Sync {
    /// A connection.
    type Client: Send + Sync + 'static;
    /// Connects and logs in.
    fn connect(&self) -> impl Future<Output = Result<Self::Client>> + Send;
    /// Starts a command: its standard input and output.
    fn start(
        client: &Self::Client,
        command: &str,
    ) -> impl Future<Output = Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static>> + Send;
    /// Moves a file by SFTP and says from time to time how many bytes of it have gone.
    fn transfer(
        client: &Self::Client,
        direction: Direction,
        files: &Files,
        progress: impl FnMut(u64) + Send,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Says goodbye.
    fn disconnect(client: Self::Client) -> impl Future<Output = Result<()>> + Send;
}

/// How long a stream runs before [`Work::Steady`] measures.
const RUN_UP: Duration = Duration::from_secs(2);

/// How long it measures at most.
const MEASURED: Duration = Duration::from_secs(2);

/// What the bulk beside [`Work::Keystrokes`] moves: more than there is time for.
const ENDLESS: u64 = 1 << 50;

/// Does the work and says the figure.
pub(crate) async fn run<L: Library>(library: &L, work: Work) -> Result<f64> {
    match work {
        Work::Stream { direction, bytes } => stream(library, direction, bytes).await,
        Work::Steady { direction, bytes } => steady(library, direction, bytes).await,
        Work::SteadyFile { direction, bytes } => steady_file(library, direction, bytes).await,
        Work::Connections { count } => {
            let begin = Instant::now();
            for _ in 0..count {
                L::disconnect(library.connect().await?).await?;
            }
            Ok(begin.elapsed().as_secs_f64())
        }
        Work::Idle { count } => idle(library, count).await,
        Work::Channels { count } => {
            let client = Arc::new(library.connect().await?);
            channels::<L>(&client, count / 10).await?;
            channels::<L>(&client, count).await
        }
        Work::Keystrokes { count } => keystrokes(library, count).await,
    }
}

async fn stream<L: Library>(library: &L, direction: Direction, bytes: u64) -> Result<f64> {
    let client = library.connect().await?;
    let mut stream = L::start(&client, &bulk(direction, bytes)).await?;
    let begin = Instant::now();
    match direction {
        Direction::Up => {
            send(&mut stream, bytes).await?;
            stream.read_exact(&mut [0]).await?;
        }
        Direction::Down => {
            take(&mut stream, bytes).await?;
        }
    }
    Ok(begin.elapsed().as_secs_f64())
}

async fn take(stream: &mut (impl AsyncRead + Unpin), bytes: u64) -> Result<()> {
    let mut block = vec![0; BLOCK];
    let mut seen = 0;
    while seen < bytes {
        match stream.read(&mut block).await? {
            0 => return Err("the stream ended early".into()),
            count => seen += count as u64,
        }
    }
    Ok(())
}

/// The rate after [`RUN_UP`], of `bytes` or of as many as move in [`MEASURED`]: what is slow is not waited for.
async fn steady<L: Library>(library: &L, direction: Direction, bytes: u64) -> Result<f64> {
    let client = library.connect().await?;
    let mut stream = L::start(&client, &bulk(direction, bytes)).await?;
    let mut block = vec![0; BLOCK];
    let begin = Instant::now();
    let (mut moved, mut measured_from) = (0, None);
    while moved < bytes {
        if let Some((from, before)) = measured_from
            && Instant::now().duration_since(from) >= MEASURED
        {
            return Ok(rate_since(from, moved - before));
        }
        let part = (bytes - moved).min(BLOCK as u64) as usize;
        moved += match direction {
            Direction::Up => stream.write(&block[..part]).await?,
            Direction::Down => stream.read(&mut block[..part]).await?,
        } as u64;
        if measured_from.is_none() && begin.elapsed() >= RUN_UP {
            measured_from = Some((Instant::now(), moved));
        }
    }
    if direction == Direction::Up {
        stream.read_exact(&mut [0]).await?;
    }
    let (from, before) = measured_from.ok_or("the stream was over before it was measured")?;
    Ok(rate_since(from, bytes - before))
}

/// MiB/s.
fn rate_since(from: Instant, bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / from.elapsed().as_secs_f64()
}

/// As [`steady`], for a file.
async fn steady_file<L: Library>(library: &L, direction: Direction, bytes: u64) -> Result<f64> {
    let client = library.connect().await?;
    let begin = Instant::now();
    let (mut moved, mut measured_from) = (0, None);
    let progress = |done| {
        moved = done;
        if measured_from.is_none() && begin.elapsed() >= RUN_UP {
            measured_from = Some((Instant::now(), done));
        }
    };
    let files = Files::from_environment()?;
    let transfer = L::transfer(&client, direction, &files, progress);
    let is_whole = match tokio::time::timeout(RUN_UP + MEASURED, transfer).await {
        Ok(transferred) => transferred.map(|()| true)?,
        Err(_elapsed) => false,
    };
    if is_whole && moved != bytes {
        return Err(format!("{moved} bytes of {bytes} were moved").into());
    }
    let (from, before) = measured_from.ok_or("the file was there before it was measured")?;
    Ok(rate_since(from, moved - before))
}

async fn idle<L: Library>(library: &L, count: u64) -> Result<f64> {
    let mut held = Vec::new();
    for _ in 0..count {
        let client = library.connect().await?;
        let stream = L::start(&client, ECHO).await?;
        held.push((client, stream));
    }
    announce("ready")?;
    until_input_ends().await;
    Ok(held.len() as f64)
}

async fn channels<L: Library>(client: &Arc<L::Client>, count: u64) -> Result<f64> {
    let places = Arc::new(Semaphore::new(AT_ONCE as usize));
    let mut tasks: JoinSet<Result<()>> = JoinSet::new();
    let begin = Instant::now();
    for number in 0..count {
        let place = places.clone().acquire_owned().await?;
        let client = client.clone();
        tasks.spawn(async move {
            let mut stream = L::start(&client, ECHO).await?;
            let said = number.to_be_bytes();
            stream.write_all(&said).await?;
            stream.flush().await?;
            let mut heard = [0; 8];
            stream.read_exact(&mut heard).await?;
            if heard != said {
                return Err("an echo said something else".into());
            }
            stream.shutdown().await?;
            drop(place);
            Ok(())
        });
        while let Some(done) = tasks.try_join_next() {
            done??;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begin.elapsed().as_secs_f64())
}

async fn keystrokes<L: Library>(library: &L, count: u64) -> Result<f64> {
    let client = library.connect().await?;
    let mut bulk = L::start(&client, &bulk(Direction::Down, ENDLESS)).await?;
    let busy = tokio::spawn(async move { take(&mut bulk, ENDLESS).await });
    let mut shell = L::start(&client, ECHO).await?;
    let mut waits = Vec::new();
    for _ in 0..count {
        let begin = Instant::now();
        shell.write_all(b"k").await?;
        shell.flush().await?;
        shell.read_exact(&mut [0]).await?;
        waits.push(begin.elapsed());
        // A quick typist.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if busy.is_finished() {
        return Err("the bulk beside the keystrokes ended".into());
    }
    busy.abort();
    waits.sort();
    let at = waits.len().saturating_sub(1) * 99 / 100;
    Ok(waits.get(at).ok_or("no keystroke")?.as_secs_f64() * 1000.0)
}
