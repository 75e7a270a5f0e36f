//! A display of the client's, for programs at a server that says what the test wants: row C8 of the list of attacks, and
//! how long a cookie is good.

use std::time::Duration;

use ssh_client::channel::{ChannelRequest, ChannelType, X11, X11Req};
use ssh_client::tokio_driver::{Handle, Incoming};
use ssh_client::{Channel, Client, Config, Process, X11Display, X11Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use crate::scripted::{opens, refused, scripted, soon};

/// Both ends of a session.
type Session = (Process, Channel);

/// A program is started that asks for a display, and the server agrees to everything: both ends of the session, and what
/// was asked for.
async fn asking_for(client: &Client, server: &Handle, display: X11Request) -> (Session, X11Req) {
    let serving = async {
        let Some(Incoming::Open(open)) = server.incoming().await else {
            panic!("no session")
        };
        let mut channel = open.accept().unwrap();
        let mut wanted = None;
        loop {
            let asked = channel.next_request().await.unwrap();
            match asked.request().clone() {
                ChannelRequest::X11Req(display) => wanted = Some(display),
                request => {
                    assert_eq!(request.name(), "exec");
                    asked.accept();
                    return (channel, wanted.unwrap());
                }
            }
            asked.accept();
        }
    };
    let exec = client.exec("draw").x11(display);
    let (process, (channel, wanted)) = soon("a session", async { tokio::join!(exec.spawn(), serving) }).await;
    ((process.unwrap(), channel), wanted)
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// A display that greets whoever knows its cookie, and the way a program at the server gets there: what it hears.
struct Screen {
    server: Handle,
    _folder: tempfile::TempDir,
}

impl Screen {
    async fn new(client: &Client, server: &Handle) -> (Self, ssh_client::X11Forward) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("X");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _gone = stream.write_all(b"welcome").await;
                // To the end, so that nothing is left unread when it closes.
                let _gone = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        let display = X11Display::new(&format!("{}:0", path.display())).unwrap();
        let forward = client.forward_x11(display).await.unwrap();
        let server = server.clone();
        (
            Self {
                server,
                _folder: folder,
            },
            forward,
        )
    }

    async fn drawn(&self, request: &X11Req) -> String {
        let mut channel = opens(&self.server, x11()).await;
        channel
            .write_all(&x11_words(&bytes(request.cookie.as_str())))
            .await
            .unwrap();
        channel.shutdown().await.unwrap();
        let mut heard = String::new();
        soon("the end", channel.read_to_string(&mut heard)).await.unwrap();
        heard
    }
}

#[tokio::test]
async fn c08_a_cookie_is_good_as_long_as_its_session_and_no_longer() {
    let (client, server) = scripted(&Config::default()).await;
    let (screen, forward) = Screen::new(&client, &server).await;
    let ask = || forward.request(false).unwrap();
    // Ended by the program's side, by ours, and by dropping all that is left of it.
    for end in [0, 1, 2] {
        let ((process, far), request) = asking_for(&client, &server, ask()).await;
        let ((_staying, _far), other) = asking_for(&client, &server, ask()).await;
        for _ in 0..2 {
            assert_eq!(screen.drawn(&request).await, "welcome");
            assert_eq!(screen.drawn(&other).await, "welcome");
        }
        match end {
            0 => {
                far.close();
                let mut control = process.control;
                while soon("the close", control.next_event()).await.is_some() {}
                assert_eq!(screen.drawn(&request).await, "", "closed by the server");
            }
            1 => {
                process.control.close();
                assert_eq!(screen.drawn(&request).await, "", "closed here");
            }
            _ => {
                // One stream of it is enough for the session to live.
                let stdout = process.stdout;
                drop((process.stdin, process.stderr, process.control));
                assert_eq!(screen.drawn(&request).await, "welcome");
                drop(stdout);
                assert_eq!(screen.drawn(&request).await, "", "dropped");
            }
        }
        assert_eq!(
            screen.drawn(&other).await,
            "welcome",
            "the other session is not meant"
        );
    }
}

fn x11() -> ChannelType {
    X11 {
        originator: "127.0.0.1".to_owned(),
        originator_port: 6_000,
    }
    .into()
}

/// The first words of a program that draws, little-endian.
fn x11_words(cookie: &[u8]) -> Vec<u8> {
    let protocol = b"MIT-MAGIC-COOKIE-1\0\0";
    let length = u8::try_from(cookie.len()).unwrap();
    let padding = vec![0; cookie.len().next_multiple_of(4) - cookie.len()];
    [
        &b"l\0\x0b\0\0\0\x12\0"[..],
        &[length, 0, 0, 0],
        protocol,
        cookie,
        &padding,
    ]
    .concat()
}

#[tokio::test]
async fn c08_a_display_is_reached_only_with_a_cookie_made_up_for_a_session() {
    let (client, server) = scripted(&Config::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("X");
    let listener = UnixListener::bind(&path).unwrap();
    refused(&server, x11()).await;
    let own = [9; 16];
    let display = X11Display::new(&format!("{}:0.2", path.display())).unwrap();
    let forward = client.forward_x11(display.cookie(own).unwrap()).await.unwrap();
    let (_session, request) = asking_for(&client, &server, forward.request(false).unwrap()).await;
    assert_eq!(
        (
            request.protocol.as_str(),
            request.screen,
            request.single_connection
        ),
        ("MIT-MAGIC-COOKIE-1", 2, false)
    );
    let (_other_session, other) = asking_for(&client, &server, forward.request(true).unwrap()).await;
    assert_ne!(request.cookie, other.cookie, "each session has its own");
    let cookie = bytes(request.cookie.as_str());
    assert_ne!(cookie, own);
    // Whoever does not know it, be it by the display's own, does not get through.
    for wrong in [&own[..], &[0; 16], b"", &cookie[..15]] {
        let mut channel = opens(&server, x11()).await;
        channel.write_all(&x11_words(wrong)).await.unwrap();
        let mut heard = Vec::new();
        soon("the end", channel.read_to_end(&mut heard)).await.unwrap();
        assert_eq!(heard, b"");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "the display was not connected to");
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = [0; 52];
        stream.read_exact(&mut heard).await.unwrap();
        stream.write_all(b"welcome").await.unwrap();
        heard
    };
    let drawing = async {
        let mut channel = opens(&server, x11()).await;
        for piece in [x11_words(&cookie), b"draw".to_vec()].concat().chunks(1) {
            channel.write_all(piece).await.unwrap();
        }
        channel.shutdown().await.unwrap();
        let mut heard = String::new();
        channel.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let (heard, said) = soon("the display", async { tokio::join!(drawing, serving) }).await;
    assert_eq!(heard, "welcome");
    assert_eq!(said, *[&x11_words(&own)[..], b"draw"].concat());
    drop(forward);
    soon("the end of the forward", async {
        while server.open(x11()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
