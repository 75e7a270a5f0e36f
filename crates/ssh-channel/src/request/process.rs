//! Starting a program (RFC 4254 §6.4, §6.5): its environment, and what to run.

use crate::payload::payload;

/// The name of the request for the user's shell (RFC 4254 §6.5); it has no fields.
pub const SHELL: &str = "shell";

payload! {
    /// RFC 4254 §6.5: run a command through the user's shell.
    pub struct Exec = "exec" {
        /// The command line, byte for byte; quoting is the caller's business.
        pub command: Vec<u8>,
    }

    /// RFC 4254 §6.5: start a subsystem, e.g. `sftp`.
    pub struct Subsystem = "subsystem" {
        /// Which one.
        pub name: String,
    }

    /// RFC 4254 §6.4: an environment variable for the program that will be started. Which names a server takes is
    /// its policy; most take none by default.
    pub struct Env = "env" {
        /// The variable's name.
        pub name: Vec<u8>,
        /// Its value.
        pub value: Vec<u8>,
    }
}

impl Exec {
    /// Run `command`.
    pub fn new(command: impl Into<Vec<u8>>) -> Self {
        Self {
            command: command.into(),
        }
    }
}

impl Subsystem {
    /// Start the subsystem `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

impl Env {
    /// Set `name` to `value`.
    pub fn new(name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}
