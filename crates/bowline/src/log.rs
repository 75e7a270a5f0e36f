//! Messages: how loud, and where to. What a server's journal says stands alone on its lines, as in OpenSSH's log, for the
//! tools that read that.

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ssh_client::config_file::LogLevel;
use ssh_server::JOURNAL;
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::{registry, reload};

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
static LEVEL: Mutex<Option<(LogLevel, reload::Handle<Targets, Registry>)>> = Mutex::new(None);

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
    let others = Format::default()
        .with_ansi(false)
        .without_time()
        .with_target(false);
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(Lines(others))
        .with_writer(writer);
    // A second start (tests, the demo) keeps the first one's way.
    if tracing::subscriber::set_global_default(registry().with(filter).with(lines)).is_ok() {
        *LEVEL.lock().unwrap_or_else(PoisonError::into_inner) = Some((level, switch));
    }
}

/// What a level lets through: of the journal, whose levels are OpenSSH's own, and of everything else.
fn most(level: LogLevel) -> Targets {
    let (journal, others) = match level {
        LogLevel::Quiet | LogLevel::Fatal => (LevelFilter::OFF, LevelFilter::OFF),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Verbose => (LevelFilter::DEBUG, LevelFilter::INFO),
        LogLevel::Debug1 | LogLevel::Debug2 => (LevelFilter::DEBUG, LevelFilter::DEBUG),
        LogLevel::Debug3 => (LevelFilter::TRACE, LevelFilter::TRACE),
    };
    Targets::new().with_target(JOURNAL, journal).with_default(others)
}

/// How lines look: the journal's are its sentences and nothing else.
struct Lines(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != JOURNAL {
            return self.0.format_event(context, writer, event);
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
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
