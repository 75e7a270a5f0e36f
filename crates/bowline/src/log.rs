//! Messages: how loud, and where to.

use std::path::Path;
use std::sync::Mutex;

use ssh_client::config_file::LogLevel;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

/// Sends messages of `level` and above to `file`, or to standard error.
///
/// # Errors
/// The file cannot be opened.
pub(crate) fn start(level: LogLevel, file: Option<&Path>) -> Result<(), String> {
    let most = match level {
        LogLevel::Quiet | LogLevel::Fatal => return Ok(()),
        LogLevel::Error => Level::ERROR,
        LogLevel::Info => Level::WARN,
        LogLevel::Verbose => Level::INFO,
        LogLevel::Debug1 | LogLevel::Debug2 => Level::DEBUG,
        LogLevel::Debug3 => Level::TRACE,
    };
    match file {
        None => install(most, std::io::stderr),
        Some(path) => {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(path);
            let file =
                opened.map_err(|error| format!("Couldn't open logfile {}: {error}", path.display()))?;
            install(most, Mutex::new(file));
        }
    }
    Ok(())
}

fn install<W: for<'w> MakeWriter<'w> + Send + Sync + 'static>(most: Level, writer: W) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(most)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(writer);
    // A second start (tests, the demo) keeps the first one's way.
    let _ = tracing::subscriber::set_global_default(subscriber.finish());
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
