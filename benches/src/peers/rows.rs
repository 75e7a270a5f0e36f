//! The rows of `performance.md`'s table that can be measured so far: what is done, by whom.

use crate::Plan;
use crate::programs::Scene;
use crate::roles::{Direction, Result, Work};
use crate::table::{Figures, Samples};
use crate::{ceiling, programs};

type Contender<'a> = (String, Box<dyn Fn() -> Result<f64> + 'a>);

/// A row before it is measured.
pub(crate) struct Row<'a> {
    pub(crate) id: &'static str,
    work: String,
    direction: &'static str,
    unit: &'static str,
    larger_is_better: bool,
    contenders: Vec<Contender<'a>>,
}

impl Row<'_> {
    /// Runs every contender once per round, in turn.
    pub(crate) fn measure(&self, rounds: usize) -> Result<Figures> {
        let named = |(who, _): &Contender<'_>| Samples {
            who: who.clone(),
            values: Vec::new(),
        };
        let mut samples: Vec<Samples> = self.contenders.iter().map(named).collect();
        for _ in 0..rounds {
            for (place, (who, run)) in samples.iter_mut().zip(&self.contenders) {
                place
                    .values
                    .push(run().map_err(|error| format!("{} {who}: {error}", self.id))?);
            }
        }
        Ok(Figures {
            id: self.id,
            work: self.work.clone(),
            direction: self.direction,
            unit: self.unit,
            larger_is_better: self.larger_is_better,
            samples,
        })
    }
}

const DIRECTIONS: [(Direction, &str); 2] = [(Direction::Up, "up"), (Direction::Down, "down")];

/// On how many threads a library's runtime runs: what its users choose, and what decides how often one thread has to wake
/// another.
const THREADS: [u32; 2] = [1, 2];

/// Every row, in the order of the targets.
pub(crate) fn all<'a>(plan: &'a Plan, scene: &'a Scene) -> Vec<Row<'a>> {
    let mut rows = Vec::new();
    for (id, whole, cipher) in [
        ("P-2", "P-2w", "aes128-gcm@openssh.com"),
        ("P-3", "P-3w", "chacha20-poly1305@openssh.com"),
        ("P-4", "P-4w", "aes128-ctr"),
    ] {
        for threads in THREADS {
            for way in DIRECTIONS {
                rows.push(library_stream(id, cipher, threads, way, plan, scene));
            }
        }
        for (direction, name) in DIRECTIONS {
            rows.extend(program_stream(whole, cipher, direction, name, plan, scene));
        }
    }
    for (direction, name) in [(Direction::Up, "put"), (Direction::Down, "get")] {
        rows.extend(sftp(direction, name, plan, scene));
    }
    rows.extend(THREADS.map(|threads| connections(threads, plan, scene)));
    rows
}

fn mebibytes_per_second(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / seconds
}

fn library_stream<'a>(
    id: &'static str,
    cipher: &'static str,
    threads: u32,
    (direction, name): (Direction, &'static str),
    plan: &'a Plan,
    scene: &'a Scene,
) -> Row<'a> {
    let bytes = plan.stream_bytes;
    let work = Work::Stream { direction, bytes };
    let of = |library: &'static str| -> Contender<'a> {
        let work = work.clone();
        let run = move || {
            Ok(mebibytes_per_second(
                bytes,
                scene.library(library, threads, cipher, &work)?,
            ))
        };
        (library.to_owned(), Box::new(run))
    };
    let mut contenders = vec![of("bowline"), of("russh")];
    if id == "P-2" {
        contenders.push(("ceiling".to_owned(), Box::new(move || ceiling::measure(bytes))));
    }
    Row {
        id,
        work: format!("stream library to library {cipher}, threads of each: {threads}"),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders,
    }
}

fn program_stream<'a>(
    id: &'static str,
    cipher: &'static str,
    direction: Direction,
    name: &'static str,
    plan: &'a Plan,
    scene: &'a Scene,
) -> Option<Row<'a>> {
    let bytes = plan.stream_bytes;
    let of = |who: &'static str| -> Contender<'a> {
        let run = move || {
            let seconds = scene.program_stream(who, who, cipher, direction)?;
            Ok(mebibytes_per_second(bytes, seconds))
        };
        (who.to_owned(), Box::new(run))
    };
    scene.has_openssh().then(|| Row {
        id,
        work: format!("stream whole programs {cipher}"),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![of("bowline"), of("openssh")],
    })
}

fn sftp<'a>(direction: Direction, name: &'static str, plan: &'a Plan, scene: &'a Scene) -> Option<Row<'a>> {
    let bytes = plan.file_bytes;
    let of = |who: &str, client: &'static str, server: &'static str| -> Contender<'a> {
        let run = move || {
            Ok(mebibytes_per_second(
                bytes,
                scene.sftp(client, server, direction)?,
            ))
        };
        (who.to_owned(), Box::new(run))
    };
    scene.has_openssh().then(|| Row {
        id: "P-6",
        work: "sftp of one file, OpenSSH's server unless an arrow says otherwise".to_owned(),
        direction: name,
        unit: "MiB/s",
        larger_is_better: true,
        contenders: vec![
            of("bowline", "bowline", "openssh"),
            of("openssh", "openssh", "openssh"),
            of("bowline->bowline", "bowline", "bowline"),
        ],
    })
}

fn connections<'a>(threads: u32, plan: &'a Plan, scene: &'a Scene) -> Row<'a> {
    let count = plan.connections;
    let of = |library: &'static str| -> Contender<'a> {
        let run = move || {
            let seconds = scene.library(
                library,
                threads,
                programs::FAST_CIPHER,
                &Work::Connections { count },
            )?;
            Ok(seconds * 1000.0 / f64::from(count))
        };
        (library.to_owned(), Box::new(run))
    };
    Row {
        id: "P-8",
        work: format!("a whole connection, mlkem768x25519-sha256 and Ed25519, threads of each: {threads}"),
        direction: "-",
        unit: "ms",
        larger_is_better: false,
        contenders: vec![of("bowline"), of("russh")],
    }
}
