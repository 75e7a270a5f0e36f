//! Interrupting a program (RFC 4254 §6.9, RFC 4335).

use crate::payload::payload;

payload! {
    /// RFC 4254 §6.9: deliver a signal. Sent without asking for a reply.
    pub struct Signal = "signal" {
        /// The signal's name without `SIG`: one of [`signals`], or a private one with `@` in it.
        pub name: String,
    }

    /// RFC 4335 §3: a break, as of a serial line.
    pub struct Break = "break" {
        /// How long, in milliseconds; 0 leaves it to the other side.
        pub milliseconds: u32,
    }
}

impl Signal {
    /// The signal `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// The names of RFC 4254 §6.10, without `SIG`.
pub mod signals {
    /// SIGABRT
    pub const ABRT: &str = "ABRT";
    /// SIGALRM
    pub const ALRM: &str = "ALRM";
    /// SIGFPE
    pub const FPE: &str = "FPE";
    /// SIGHUP
    pub const HUP: &str = "HUP";
    /// SIGILL
    pub const ILL: &str = "ILL";
    /// SIGINT
    pub const INT: &str = "INT";
    /// SIGKILL
    pub const KILL: &str = "KILL";
    /// SIGPIPE
    pub const PIPE: &str = "PIPE";
    /// SIGQUIT
    pub const QUIT: &str = "QUIT";
    /// SIGSEGV
    pub const SEGV: &str = "SEGV";
    /// SIGTERM
    pub const TERM: &str = "TERM";
    /// SIGUSR1
    pub const USR1: &str = "USR1";
    /// SIGUSR2
    pub const USR2: &str = "USR2";

    /// SIGINFO, where a system has it: OpenSSH's, not the RFC's.
    pub const INFO: &str = "INFO@openssh.com";

    /// All of the RFC's.
    pub const ALL: [&str; 13] = [
        ABRT, ALRM, FPE, HUP, ILL, INT, KILL, PIPE, QUIT, SEGV, TERM, USR1, USR2,
    ];
}
