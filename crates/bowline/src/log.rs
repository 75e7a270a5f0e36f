//! Messages: how loud, and where to.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ssh_client::config_file::LogLevel;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{fmt, registry, reload};

/// Every level by its name in OpenSSH, from the quietest on.
const LEVELS: [(LogLevel, &str); 8] = [
    (LogLevel::Quiet, "QUIET"),
    (LogLevel::Fatal, "FATAL"),
    (LogLevel::Error, "ERROR"),
    (LogLevel::Info, "INFO"),
    (LogLevel::Verbose, "VERBOSE"),
    (LogLevel::Debug1, "DEBUG1"),
    (LogLevel::Debug2, "DEBUG2"),
    (LogLevel::Debug3, "DEBUG3"),
];

/// The level now, and what to turn to have another one.
static LEVEL: Mutex<Option<(LogLevel, reload::Handle<LevelFilter, Registry>)>> = Mutex::new(None);

/// Sends messages of `level` and above to `file`, or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn start(level: LogLevel, file: Option<&Path>) -> Result<(), String> {
    match file {
        None => install(level, std::io::stderr),
        Some(path) => {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let file =
                opened.map_err(|error| format!("Couldn't open logfile {}: {error}", path.display()))?;
            install(level, Mutex::new(file));
        }
    }
    Ok(())
}

fn install<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(level: LogLevel, writer: W) {
    let (filter, switch) = reload::Layer::new(most(level));
    let lines = fmt::layer()
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(writer);
    // A second start (tests, the demo) keeps the first one's way.
    if tracing::subscriber::set_global_default(registry().with(filter).with(lines)).is_ok() {
        *LEVEL.lock().unwrap_or_else(PoisonError::into_inner) = Some((level, switch));
    }
}

fn most(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Quiet | LogLevel::Fatal => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Info => LevelFilter::WARN,
        LogLevel::Verbose => LevelFilter::INFO,
        LogLevel::Debug1 | LogLevel::Debug2 => LevelFilter::DEBUG,
        LogLevel::Debug3 => LevelFilter::TRACE,
    }
}

/// Tells more from now on, or less, by one of OpenSSH's levels; the name of the level there is then.
pub(crate) fn turn(louder: bool) -> &'static str {
    let mut place = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((level, switch)) = place.as_mut() else {
        return "QUIET";
    };
    let (next, name) = beside(*level, louder);
    if switch.reload(most(next)).is_ok() {
        *level = next;
    }
    name
}

/// The next louder or quieter level, and its name; the last one has none beside it.
fn beside(level: LogLevel, louder: bool) -> (LogLevel, &'static str) {
    let mut levels = LEVELS.into_iter();
    let mut downwards = LEVELS.into_iter().rev();
    let found = match louder {
        true => levels.find(|(each, _)| *each > level),
        false => downwards.find(|(each, _)| *each < level),
    };
    let same = || LEVELS.into_iter().find(|(each, _)| *each == level);
    found.or_else(same).unwrap_or((level, ""))
}

/// The level that `-v` and `-q` ask for on top of the configured one.
pub(crate) fn level(configured: Option<LogLevel>, verbose: u8, quiet: bool) -> LogLevel {
    match (verbose, quiet) {
        (0, true) => LogLevel::Quiet,
        (0, false) => configured.unwrap_or(LogLevel::Info),
        (1, _) => LogLevel::Debug1,
        (2, _) => LogLevel::Debug2,
        _ => LogLevel::Debug3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_turned_one_by_one() {
        for (level, louder, expected) in [
            (LogLevel::Info, true, "VERBOSE"),
            (LogLevel::Info, false, "ERROR"),
            (LogLevel::Debug2, true, "DEBUG3"),
            (LogLevel::Debug3, true, "DEBUG3"),
            (LogLevel::Quiet, false, "QUIET"),
        ] {
            assert_eq!(beside(level, louder).1, expected, "{level:?}");
        }
    }
}
