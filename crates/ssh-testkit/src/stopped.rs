//! Processes that play dead: stopped by a signal, they keep their sockets and neither read nor write.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

/// Processes that were stopped. Dropping it ends them: each by its own id, which nobody else can have got meanwhile,
/// since a stopped process does not end by itself.
#[derive(Debug)]
pub struct Stopped {
    ids: Vec<u32>,
}

impl Stopped {
    /// Stops these processes of the test's own.
    ///
    /// # Panics
    /// One of them is gone.
    pub fn stop(ids: Vec<u32>) -> Self {
        assert!(!ids.is_empty(), "there is nobody to stop");
        let stopped = Self { ids };
        for id in &stopped.ids {
            assert!(signal("STOP", *id), "process {id} is gone");
        }
        stopped
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for id in &self.ids {
            signal("KILL", *id);
        }
    }
}

fn signal(name: &str, id: u32) -> bool {
    let sent = Command::new("kill").args(["-s", name, &id.to_string()]).status();
    sent.is_ok_and(|status| status.success())
}

/// The processes that `id` has started and that those have started. Linux only: read from `/proc`.
pub fn descendants(id: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && let Some(parent) = parent_of(child)
        {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = Vec::new();
    let mut left = vec![id];
    while let Some(parent) = left.pop() {
        let own = children.remove(&parent).unwrap_or_default();
        found.extend(&own);
        left.extend(own);
    }
    found
}

/// The fourth field of `/proc/ID/stat`; the second is a name in brackets, which may hold anything.
fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let (_name, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(1)?.parse().ok()
}
