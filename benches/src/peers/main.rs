//! `peers`: Bowline beside its peers, measured in the same run, in turn, over several rounds.
//!
//! ```text
//! cargo run --release -p ssh-benches --bin peers -- [--quick] [--only P-2,P-6] [--rounds N] [--json FILE]
//! ```
//!
//! The machine is noisy: the ratios of a run mean something, its absolute figures little. Every contender of a row
//! runs once per round, one after the other, and the table shows medians. A peer that is not on the machine is said
//! to be missing.
#![forbid(unsafe_code)]

mod application;
mod bowline_roles;
mod ceiling;
mod delay;
mod memory;
mod programs;
mod roles;
mod rows;
mod russh_roles;
mod table;
mod work;

use std::process::ExitCode;

use roles::Result;

/// How much to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Rounds of every row.
    pub(crate) rounds: usize,
    /// Rounds of the rows over a long link, which take as long as the link lets them.
    pub(crate) link_rounds: usize,
    /// Bytes through a stream.
    pub(crate) stream_bytes: u64,
    /// Bytes of a file.
    pub(crate) file_bytes: u64,
    /// Connections made one after another.
    pub(crate) connections: u64,
    /// Bytes through a stream over a long link: some seconds of it.
    pub(crate) link_bytes: u64,
    /// How many connections idle at a time, for each row about them.
    pub(crate) idle: Vec<u64>,
    /// Channels used and closed.
    pub(crate) channels: u64,
    /// Keystrokes of which one in a hundred may be late.
    pub(crate) keystrokes: u64,
    /// Sizes of a stream whose time and memory are compared, in MiB.
    pub(crate) stream_sizes: Vec<u64>,
    /// The rows wanted; empty for all.
    pub(crate) only: Vec<String>,
    /// Where the figures go besides the table.
    pub(crate) json: Option<std::path::PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rounds: 5,
            link_rounds: 3,
            stream_bytes: 2 << 30,
            file_bytes: 1 << 30,
            connections: 200,
            link_bytes: 1 << 30,
            idle: vec![1_000, 10_000],
            channels: 10_000,
            keystrokes: 1_000,
            stream_sizes: vec![1, 16, 256, 4_096, 16_384],
            only: Vec::new(),
            json: None,
        }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.split_first() {
        Some((first, rest)) if first == "role" => in_runtime(rest),
        _ => plan(&words).and_then(|plan| measure(&plan)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `role THREADS NAME ARGUMENTS…`, on a runtime with so many threads.
fn in_runtime(words: &[String]) -> Result<()> {
    let (threads, words) = words.split_first().ok_or("a role without threads")?;
    let mut builder = match threads.parse()? {
        1 => tokio::runtime::Builder::new_current_thread(),
        several => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(several);
            builder
        }
    };
    builder.enable_all().build()?.block_on(spawned(words))
}

fn plan(words: &[String]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--quick" => {
                plan = Plan {
                    rounds: 3,
                    link_rounds: 1,
                    stream_bytes: 256 << 20,
                    file_bytes: 256 << 20,
                    connections: 60,
                    link_bytes: 512 << 20,
                    idle: vec![1_000],
                    channels: 2_000,
                    keystrokes: 200,
                    stream_sizes: vec![1, 16, 256, 1_024],
                    ..plan
                };
            }
            // Whether everything still runs, not how fast.
            "--smoke" => {
                plan = Plan {
                    rounds: 1,
                    link_rounds: 1,
                    stream_bytes: 8 << 20,
                    file_bytes: 8 << 20,
                    connections: 3,
                    link_bytes: 288 << 20,
                    idle: vec![20],
                    channels: 300,
                    keystrokes: 10,
                    stream_sizes: vec![1, 8],
                    ..plan
                };
            }
            "--only" => plan.only = value()?.split(',').map(str::to_owned).collect(),
            "--rounds" => {
                plan.rounds = value()?.parse()?;
                plan.link_rounds = plan.rounds;
            }
            "--json" => plan.json = Some(value()?.into()),
            _ => {
                return Err(
                    format!("unknown argument {word}; see the head of benches/src/peers/main.rs").into(),
                );
            }
        }
    }
    Ok(plan)
}

fn measure(plan: &Plan) -> Result<()> {
    let scene = programs::Scene::set(plan)?;
    let mut figures = Vec::new();
    for row in rows::all(plan, &scene) {
        if plan.only.is_empty() || plan.only.iter().any(|id| id == row.id) {
            let rounds = if row.id == rows::LONG_LINK {
                plan.link_rounds
            } else {
                plan.rounds
            };
            let measured = row.measure(rounds)?;
            table::print(&measured);
            figures.push(measured);
        }
    }
    if let Some(path) = &plan.json {
        std::fs::write(path, table::json(&figures))?;
    }
    Ok(())
}

/// A role runs as a task like those of its library: what is polled by `block_on` itself would be woken across threads.
async fn spawned(words: &[String]) -> Result<()> {
    let words = words.to_vec();
    tokio::spawn(async move { roles::run(&words).await }).await?
}
