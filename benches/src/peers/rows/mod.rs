//! The rows of `performance.md`'s table: what is done, by whom.

mod many;
mod streams;

use crate::Plan;
use crate::programs::Scene;
use crate::roles::{Direction, Result};
use crate::table::{Figures, Samples};

type Contender<'a> = (String, Box<dyn Fn() -> Result<f64> + 'a>);

/// One who takes part.
fn contender<'a>(who: impl Into<String>, run: impl Fn() -> Result<f64> + 'a) -> Contender<'a> {
    (who.into(), Box::new(run))
}

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

/// The same for files.
const FILES: [(Direction, &str); 2] = [(Direction::Up, "put"), (Direction::Down, "get")];

/// On how many threads a library's runtime runs: what its users choose, and what decides how often one thread has to wake
/// another.
const THREADS: [u32; 2] = [1, 2];

/// The rows over a long link.
pub(crate) const LONG_LINK: &str = "P-10";

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
                rows.push(streams::library(id, cipher, threads, way, plan, scene));
            }
        }
        if scene.has_openssh() {
            rows.extend(DIRECTIONS.map(|way| streams::programs(whole, cipher, way, plan, scene)));
        }
    }
    if scene.has_openssh() {
        for way in DIRECTIONS {
            rows.extend(streams::foreign(way, plan, scene));
        }
        rows.extend(FILES.map(|way| streams::sftp(way, plan, scene)));
    }
    rows.extend(THREADS.map(|threads| many::connections(threads, plan, scene)));
    rows.extend(many::idle(plan, scene));
    if scene.has_openssh() {
        rows.extend(DIRECTIONS.map(|way| streams::long_link(way, plan, scene)));
        rows.extend(FILES.map(|way| streams::long_link_files(way, plan, scene)));
        rows.extend(FILES.map(|way| streams::long_link_sftp(way, plan, scene)));
    }
    rows.extend(many::channels(plan, scene));
    rows.push(many::keystrokes(plan, scene));
    rows.extend(streams::sizes(plan, scene));
    rows
}
