//! A server that lives, answers every sign of life, and never says whether it opens what it was asked for.

use std::sync::Arc;
use std::time::Duration;

use ssh_client::sftp::{SessionEnd, SftpError, SftpFault};
use ssh_client::tokio_driver::Incoming;
use ssh_client::{Channel, Client, Config, Error, Sftp};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::scripted::scripted;
use crate::{Answers, Notes, joined};

const LIMIT: Duration = Duration::from_secs(40);

/// A client that waits `LIMIT` for each answer, with a server that goes as far as `answers` says.
async fn client(answers: Answers) -> Client {
    let mut config = Config::default();
    config.timeouts.open = LIMIT;
    let notes = Notes {
        answers,
        ..Notes::default()
    };
    joined(&config, &Arc::new(notes)).await
}

/// Whether it failed for want of an answer to `purpose`, after the limit, and the connection lives.
async fn is_given_up<T>(client: &Client, asking: impl Future<Output = Result<T, Error>>, purpose: &str) {
    let begin = Instant::now();
    let ended = timeout(LIMIT * 1000, asking).await.expect("a limit");
    let Err(error) = ended else {
        panic!("{purpose}: it was opened");
    };
    assert!(
        matches!(&error, Error::OpenTimeout { limit, purpose: told, .. } if *limit == LIMIT && told == purpose),
        "{purpose}: {error:?}"
    );
    let text = error.to_string();
    for word in ["host.example", purpose, "40 seconds"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    assert_eq!(begin.elapsed().as_secs(), LIMIT.as_secs(), "{purpose}");
    client.ping().await.expect("the connection lives");
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_not_opened_is_given_up() {
    let client = client(Answers::Nothing).await;
    let opening = client.direct_tcpip("db.example", 5432);
    is_given_up(&client, opening, "a connection to db.example port 5432").await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_started_is_given_up() {
    let client = client(Answers::Nothing).await;
    is_given_up(
        &client,
        client.exec("true").env("A", "b").spawn(),
        "to run the command",
    )
    .await;
    is_given_up(&client, client.shell().spawn(), "to start a shell").await;
    is_given_up(&client, client.run("true"), "to run the command").await;
    is_given_up(&client, client.subsystem("news").spawn(), "the subsystem news").await;
    is_given_up(&client, client.sftp(), "the subsystem sftp").await;
}

#[tokio::test(start_paused = true)]
async fn an_sftp_session_without_a_greeting_is_given_up() {
    let client = client(Answers::Starts).await;
    is_given_up(&client, client.sftp(), "an SFTP session").await;
}

#[tokio::test(start_paused = true)]
async fn a_program_that_runs_may_take_as_long_as_it_likes() {
    let client = client(Answers::Starts).await;
    let mut process = client.exec("sleep").spawn().await.unwrap();
    let waited = timeout(LIMIT * 100, process.wait()).await;
    assert!(waited.is_err(), "{waited:?}");
    client.ping().await.unwrap();
}

#[test]
fn the_usual_limit_is_longer_than_a_system_tries_to_connect_for_a_forward() {
    // Linux gives up after six repetitions of the first packet: 127 seconds.
    assert!(Config::default().timeouts.open > Duration::from_secs(127));
}

/// The client of a server whose SFTP greets and then says nothing more, with the channel of the session.
async fn mute_sftp(limit: Duration) -> (Client, Sftp, Channel) {
    let mut config = Config {
        keepalive: None,
        ..Config::default()
    };
    config.timeouts.sftp = limit;
    let (client, server) = scripted(&config).await;
    let serving = async {
        let Some(Incoming::Open(open)) = server.incoming().await else {
            panic!("no session")
        };
        let mut channel = open.accept().unwrap();
        channel.next_request().await.unwrap().accept();
        // VERSION 3, without extensions.
        channel.write_all(&[0, 0, 0, 5, 2, 0, 0, 0, 3]).await.unwrap();
        channel
    };
    let (sftp, channel) = tokio::join!(client.sftp(), serving);
    (client, sftp.unwrap(), channel)
}

#[tokio::test(start_paused = true)]
async fn an_sftp_server_that_forgets_a_request_is_given_up_where_that_was_asked_for() {
    let (_client, sftp, _channel) = mute_sftp(LIMIT).await;
    let begin = Instant::now();
    let (stat, listed) = tokio::join!(sftp.stat("/a"), sftp.read_dir("/b"));
    assert_eq!(begin.elapsed().as_secs(), LIMIT.as_secs());
    let after = sftp.open("/c").await;
    for (what, error) in [
        ("stat /a", stat.map(drop).unwrap_err()),
        ("list /b", listed.map(drop).unwrap_err()),
        ("open /c", after.map(drop).unwrap_err()),
    ] {
        let told = format!(
            "{what}: the SFTP session is over: no answer within {} seconds",
            LIMIT.as_secs()
        );
        assert_eq!(error.to_string(), told);
        let Error::Sftp(SftpError {
            source: SftpFault::Ended(end),
            ..
        }) = error
        else {
            panic!("{error:?}")
        };
        assert!(matches!(*end, SessionEnd::Timeout { limit: LIMIT }), "{end:?}");
    }

    let (_client, sftp, _channel) = mute_sftp(Config::default().timeouts.sftp).await;
    let waited = timeout(LIMIT * 100, sftp.stat("/a")).await;
    assert!(waited.is_err(), "{waited:?}");
}
