//! What Bowline's tests share. Development only: no other crate depends on it outside its tests.
//!
//! | module | what it gives |
//! |---|---|
//! | [`pair`] | client and server in memory: virtual clock, seeded generator, bytes whole, one by one or in random cuts |
//! | [`link`] | the wire between them: cuts, latency, taps |
//! | [`doors`] | both front doors in one process: applications that let everybody in, a client of theirs |
//! | [`long_link`] | a wire between those that is long and wide, by tokio's clock |
//! | [`simulator`] | random two-sided schedules on such a pair, and what must hold after each step |
//! | [`proxy`] | what stands between two real sockets and cuts, delays, breaks and ends what passes |
//! | [`clock`] | time that moves when a test says so |
//! | [`rng`] | the seeded generator |
//! | [`hostile`] | a scripted peer that speaks raw packets and lies at every step, and what it is let loose on |
//! | [`lossy`] | a link between namespaces that loses packets |
//! | [`network`] | network namespaces, a tunnel's devices in them, traffic between them |
//! | [`peers`] | which foreign programs are here, and what to do when one is not |
//! | [`running`] | processes that end with their handle, free ports, patience with a limit |
//! | [`stopped`] | processes that play dead |
//! | [`openssh`] | OpenSSH's server and client with keys made on the spot |
//! | [`security_key`] | a FIDO device in software |
#![forbid(unsafe_code)]

pub mod clock;
pub mod doors;
pub mod hostile;
pub mod link;
pub mod long_link;
pub mod lossy;
pub mod network;
pub mod openssh;
pub mod pair;
pub mod peers;
pub mod proxy;
pub mod rng;
pub mod running;
pub mod security_key;
pub mod simulator;
pub mod stopped;
