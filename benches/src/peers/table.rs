//! Figures as a table for people and as JSON for programs.

use std::fmt::Write;

/// One contender's samples.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    pub(crate) who: String,
    pub(crate) values: Vec<f64>,
}

/// One row, measured.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) id: &'static str,
    pub(crate) work: String,
    pub(crate) direction: &'static str,
    pub(crate) unit: &'static str,
    /// Whether a larger figure is the better one.
    pub(crate) larger_is_better: bool,
    pub(crate) samples: Vec<Samples>,
}

impl Samples {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    fn extremes(&self) -> (f64, f64) {
        let of = |pick: fn(f64, f64) -> f64| self.values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        (of(f64::min), of(f64::max))
    }
}

/// Prints a row; the last column is Bowline's factor over each contender, above 1 where Bowline is better.
pub(crate) fn print(figures: &Figures) {
    println!(
        "\n{} {} {} ({})",
        figures.id, figures.work, figures.direction, figures.unit
    );
    let ours = figures
        .samples
        .iter()
        .find(|samples| samples.who == "bowline")
        .map(Samples::median);
    for samples in &figures.samples {
        let (least, most) = samples.extremes();
        let median = samples.median();
        let factor = ours.map(|ours| {
            if figures.larger_is_better {
                ours / median
            } else {
                median / ours
            }
        });
        let factor = factor.map(|factor| format!("x{factor:.2}")).unwrap_or_default();
        println!(
            "  {:<20} {median:>10.2}  ({least:.2} to {most:.2})  {factor}",
            samples.who
        );
    }
}

/// The array of objects that `--json` writes.
pub(crate) fn json(figures: &[Figures]) -> String {
    let mut out = String::from("[");
    let mut separator = "\n";
    for row in figures {
        for samples in &row.samples {
            let (least, most) = samples.extremes();
            let _ = write!(
                out,
                "{separator}  {{\"id\": \"{}\", \"work\": \"{}\", \"direction\": \"{}\", \"who\": \"{}\", \"unit\": \"{}\", \
                 \"median\": {:.4}, \"min\": {least:.4}, \"max\": {most:.4}, \"rounds\": {}}}",
                row.id,
                row.work,
                row.direction,
                samples.who,
                row.unit,
                samples.median(),
                samples.values.len(),
            );
            separator = ",\n";
        }
    }
    out.push_str("\n]\n");
    out
}
