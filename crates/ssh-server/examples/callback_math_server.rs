//! The same by calls: the server calls a handler of the session's own with what happens in it. The end of the input shows
//! the sum and ends the session; so does a break, with what has come until then, and an interrupt begins anew.

mod common;

use std::error::Error;

use ssh_server::keys::PublicKey;
use ssh_server::{
    Application, Candidate, Decision, Invocation, Offer, Output, ProcessEvent, Session, SessionHandler,
};

struct MathServer {
    friends: common::Friends,
}

impl Application for MathServer {
    async fn public_key(&self, _candidate: &Candidate, key: &PublicKey) -> Decision {
        self.friends.decide(key)
    }

    async fn session(&self, session: Session) {
        session.serve_events(&Offer::default(), Adder::default()).await;
    }
}

/// One session.
#[derive(Default)]
struct Adder {
    total: f64,
    line: Vec<u8>,
}

/// Longer than any number.
const LONGEST_LINE_BYTES: usize = 1000;

impl SessionHandler for Adder {
    async fn started(&mut self, _invocation: &Invocation, output: &mut Output) {
        let _gone = output.write("numbers, one a line:\r\n").await;
    }

    async fn data(&mut self, data: &[u8], output: &mut Output) {
        for byte in data {
            match byte {
                b'\r' | b'\n' => self.add(output).await,
                // At a terminal the end of the input is a key: Ctrl-D.
                0x04 => self.show(output).await,
                _ if self.line.len() < LONGEST_LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }

    async fn eof(&mut self, output: &mut Output) {
        self.show(output).await;
    }

    async fn event(&mut self, event: ProcessEvent, output: &mut Output) {
        match event {
            ProcessEvent::Break(_milliseconds) => self.show(output).await,
            ProcessEvent::Signal(name) if name == "INT" => {
                *self = Self::default();
                let _gone = output.write("anew:\r\n").await;
            }
            other => {
                let _gone = output.write_error(format!("{other:?}\r\n")).await;
            }
        }
    }
}

impl Adder {
    /// What stands in the line is a number, or nothing.
    async fn add(&mut self, output: &mut Output) {
        let line = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        match line.parse::<f64>() {
            Ok(number) => self.total += number,
            Err(_) if line.is_empty() => {}
            Err(_) => {
                let _gone = output.write_error(format!("no number: {line}\r\n")).await;
            }
        }
    }

    async fn show(&mut self, output: &mut Output) {
        self.add(output).await;
        let _gone = output.write(format!("total = {}\r\n", self.total)).await;
        output.exit(0);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (start, []) = common::arguments([])?;
    let friends = start.friends;
    common::serve(&start.address, start.host_key, MathServer { friends }).await
}
