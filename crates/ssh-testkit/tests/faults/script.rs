//! The scripted session of the tests with faults: our server, our client, and 40 KB each way.

use std::time::Duration;

use ssh_client::keys::PrivateKey;
use ssh_client::{Client, Config, Credentials, Error, HostKeys};
use ssh_server::{
    Application, Candidate, Decision, Listening, Permissions, Program, Request, Server, Session,
};
use ssh_testkit::rng::{Dice, seeded};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Bytes each way.
pub const BYTES: usize = 40_000;

/// So long a test waits for what should come at once: a machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An application that sends back what it got.
pub struct Echo;

impl Application for Echo {
    async fn password(&self, candidate: &Candidate, password: &[u8]) -> Decision {
        let right = candidate.user == "alice" && password == b"secret";
        Decision::accept_if(right, Permissions::default())
    }

    async fn session(&self, mut session: Session) {
        loop {
            match session.next().await {
                Some(Request::Start(start)) if matches!(&start.program, Program::Shell) => {
                    start.accept();
                    break;
                }
                Some(_) => {}
                None => return,
            }
        }
        let mut all = Vec::new();
        if session.read_to_end(&mut all).await.is_ok() && session.write_all(&all).await.is_ok() {
            session.exit(0);
        }
    }
}

/// The host key of the servers here.
pub fn host_key() -> PrivateKey {
    PrivateKey::generate_ed25519(&mut *seeded(1), "host")
}

/// A server of ours with this application.
pub async fn server(application: impl Application) -> Listening {
    server_with(application, ssh_server::Config::default()).await
}

/// The same with settings of the test's own.
pub async fn server_with(application: impl Application, config: ssh_server::Config) -> Listening {
    let config = ssh_server::Config {
        password_login: true,
        ..config
    };
    let builder = Server::builder().config(config).host_key(host_key());
    builder.listen(("127.0.0.1", 0), application).await.unwrap()
}

/// A client's settings, with the cheapest exchange and lengths that a proxy can read.
pub fn config() -> Config {
    let mut config = Config::default();
    let preferences = &mut config.transport.preferences;
    preferences.edit_kex("curve25519-sha256").unwrap();
    preferences.edit_ciphers("aes128-gcm@openssh.com").unwrap();
    config
}

/// Alice, on her way in.
pub async fn connect(port: u16, config: &Config) -> Result<Client, Error> {
    let believed = HostKeys::pinned(host_key().public().clone());
    let password = Credentials::password("secret");
    Client::connect_with(config, ("127.0.0.1", port), "alice", believed, password).await
}

/// What is sent, and must come back.
pub fn data(bytes: usize) -> Vec<u8> {
    let mut dice = Dice::new(9);
    (0..bytes).map(|_| dice.throw().to_le_bytes()[3]).collect()
}

/// The whole session: true if all of it went well, the error if it did not; nothing in between.
pub async fn session(port: u16, config: &Config, program: Option<&str>) -> Result<(), Error> {
    let sent = data(BYTES);
    let client = connect(port, config).await?;
    let run = match program {
        Some(command) => client.exec(command),
        None => client.shell(),
    };
    let output = run.stdin(sent.clone()).output().await?;
    assert_eq!(
        output.status.code(),
        Some(0),
        "an end without an error: {output:?}"
    );
    assert!(output.stdout == sent, "{} bytes came back", output.stdout.len());
    client.disconnect().await;
    Ok(())
}

/// Waits until `is_so`, whoever is busy meanwhile.
pub async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
