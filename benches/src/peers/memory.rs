//! How much memory a process has, as the system counts it.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::roles::Result;

/// The share of memory that is a process's own, in bytes: pages that several have count by parts.
pub(crate) fn proportional(process: u32) -> Result<u64> {
    field(&format!("/proc/{process}/smaps_rollup"), "Pss:")
}

/// The most memory a process ever had, in bytes.
pub(crate) fn peak(process: u32) -> Result<u64> {
    field(&format!("/proc/{process}/status"), "VmHWM:")
}

/// Runs a command to its end: what it said, and the most memory it had as long as somebody looked.
pub(crate) fn run(command: &mut Command) -> Result<(String, u64)> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let mut most = 0;
    while child.try_wait()?.is_none() {
        // At its very end a process has no memory any more.
        most = most.max(peak(child.id()).unwrap_or(0));
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut said = String::new();
    child
        .stdout
        .take()
        .ok_or("no output")?
        .read_to_string(&mut said)?;
    Ok((said, most))
}

fn field(path: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kibibytes.ok_or(format!("{path} has no {name}"))? * 1024)
}
