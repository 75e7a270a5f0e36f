//! The forwards of one connection do not take each other's places: a crowd at one port, for a target that does not answer,
//! holds up nobody at another one.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ssh_client::channel::{ChannelType, OpenFailureReason};
use ssh_client::tokio_driver::{Channel, Handle, Incoming, IncomingOpen, OpenError};
use ssh_client::{
    Client, Config, Forward, Forwarding, ListenOn, MAX_FORWARDED_CONNECTIONS, MAX_OPENING_CONNECTIONS, Target,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::scripted::{agree, forwarded, opens, scripted, soon};

/// More than one forward may have waiting.
const CROWD: usize = MAX_OPENING_CONNECTIONS + 20;

async fn local_forward(client: &Client, target: &str) -> (Forward<SocketAddr>, SocketAddr) {
    let forward = client.forward_local(("127.0.0.1", 0), target, 80).await;
    let forward = forward.unwrap();
    let address = forward.local_addr();
    (forward, address)
}

/// The next open, and where it wants to go.
async fn next_open(server: &Handle) -> (String, IncomingOpen) {
    let Some(Incoming::Open(open)) = soon("an open", server.incoming()).await else {
        panic!("the client is gone")
    };
    let ChannelType::DirectTcpip(wanted) = open.channel_type().clone() else {
        panic!("{open:?}")
    };
    (wanted.host, open)
}

/// The port of this side whose forward leads to "other" takes a connection, whatever its neighbours hold.
async fn other_serves(server: &Handle, address: SocketAddr) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (host, open) = next_open(server).await;
    assert_eq!(host, "other", "a forward has more than its share");
    let mut channel = open.accept().unwrap();
    channel.write_all(b"through").await.unwrap();
    let mut heard = [0; 7];
    soon("the other port", stream.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(&heard, b"through");
}

/// Says hello to whoever comes.
fn greeting() -> Target {
    Target::serve(|mut stream| async move {
        let _gone = stream.write_all(b"hello").await;
    })
}

/// The port of the server that leads to a greeting serves.
async fn greets(server: &Handle, port: u16) {
    let mut channel = opens(server, forwarded("", port)).await;
    let mut heard = [0; 5];
    soon("the other port", channel.read_exact(&mut heard))
        .await
        .unwrap();
    assert_eq!(&heard, b"hello");
}

#[tokio::test]
async fn a_crowd_at_one_port_leaves_room_for_others_at_the_server() {
    let (client, server) = scripted(&Config::default()).await;
    let (crowded, address) = local_forward(&client, "silent").await;
    let (_other, other_address) = local_forward(&client, "other").await;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    let mut unanswered = VecDeque::new();
    for _ in 0..MAX_OPENING_CONNECTIONS {
        let (host, open) = next_open(&server).await;
        assert_eq!(host, "silent");
        unanswered.push_back(open);
    }
    // All have come, and the rest of them wait here.
    while crowded.connections().open < CROWD as u64 {
        tokio::task::yield_now().await;
    }
    other_serves(&server, other_address).await;
    // An answer of any kind lets the next one ask.
    for answered in 0..CROWD - MAX_OPENING_CONNECTIONS {
        let open = unanswered.pop_front().unwrap();
        match answered % 2 {
            0 => drop(open.accept().unwrap()),
            _ => open.refuse(OpenFailureReason::CONNECT_FAILED, "nobody there"),
        }
        let (host, open) = next_open(&server).await;
        assert_eq!(host, "silent");
        unanswered.push_back(open);
    }
}

#[tokio::test]
async fn a_crowd_at_one_port_of_the_server_leaves_room_for_others_here() {
    let (client, server) = scripted(&Config::default()).await;
    let silent = Forwarding::new(ListenOn::server("", 8_080), Target::port("127.0.0.1", 9))
        .accept_if(|_arrival| std::future::pending());
    let (crowded, _) = tokio::join!(client.forward(&silent), agree(&server, b""));
    let (other, _) = tokio::join!(client.forward_remote("", 8_081, greeting()), agree(&server, b""));
    let (crowded, _other) = (crowded.unwrap(), other.unwrap());
    let mut asked = JoinSet::new();
    for came in 1..=MAX_OPENING_CONNECTIONS as u64 {
        let server = server.clone();
        asked.spawn(async move { server.open(forwarded("", 8_080)).await });
        // One after the other, so that none is refused for coming too fast.
        while crowded.connections().open < came {
            tokio::task::yield_now().await;
        }
    }
    let too_many = soon("an answer", server.open(forwarded("", 8_080))).await;
    let Err(OpenError::Refused(failure)) = too_many else {
        panic!("{too_many:?}")
    };
    assert_eq!(failure.reason, OpenFailureReason::RESOURCE_SHORTAGE);
    assert_eq!(asked.try_join_next().map(drop), None, "the others still wait");
    greets(&server, 8_081).await;
}

/// A forward of `port` of the server, which the server agrees to.
async fn from_server(client: &Client, server: &Handle, port: u16, target: Target) -> Forward {
    let forwarding = Forwarding::new(ListenOn::server("", port), target);
    let (forward, _) = tokio::join!(client.forward(&forwarding), agree(server, b""));
    forward.unwrap()
}

/// Comes to `port` of the server until nobody is let in any more.
async fn fill(server: &Handle, port: u16) -> Vec<Channel> {
    let mut inside = Vec::new();
    loop {
        match soon("an answer", server.open(forwarded("", port))).await {
            Ok(channel) => inside.push(channel),
            Err(OpenError::Refused(failure)) => {
                assert_eq!(failure.reason, OpenFailureReason::RESOURCE_SHORTAGE);
                return inside;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn however_many_ports_are_full_another_one_serves() {
    for full in [2, 10] {
        let (client, server) = scripted(&Config::default()).await;
        let mut inside = Vec::new();
        for port in 1..=full {
            let nobody_leaves = Target::serve(|_stream| std::future::pending());
            from_server(&client, &server, port, nobody_leaves).await.detach();
            let here = fill(&server, port).await;
            assert!(here.len() > 1, "port {port} has {}", here.len());
            inside.extend(here);
        }
        let _last = from_server(&client, &server, full + 1, greeting()).await;
        greets(&server, full + 1).await;
        // And a port of this side, where those who come would wait.
        let (_local, address) = local_forward(&client, "other").await;
        other_serves(&server, address).await;
    }
}

#[tokio::test]
async fn however_many_ports_wait_for_their_targets_another_one_asks() {
    let (client, server) = scripted(&Config::default()).await;
    let mut asked = JoinSet::new();
    let mut forwards = Vec::new();
    for port in 1..=10 {
        let silent = Forwarding::new(ListenOn::server("", port), Target::port("127.0.0.1", 9))
            .accept_if(|_arrival| std::future::pending());
        let (forward, _) = tokio::join!(client.forward(&silent), agree(&server, b""));
        let forward = forward.unwrap();
        // One after the other, so that none is refused for coming too fast.
        while forward.connections().refused == 0 {
            let before = forward.connections().total;
            let server = server.clone();
            asked.spawn(async move { server.open(forwarded("", port)).await.map(drop) });
            while forward.connections().total == before {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        forwards.push(forward);
    }
    let (_local, address) = local_forward(&client, "other").await;
    other_serves(&server, address).await;
}

#[tokio::test]
async fn a_forward_that_ends_gives_all_its_places_back() {
    let (client, server) = scripted(&Config::default()).await;
    for port in 1..=3 {
        let nobody_leaves = Target::serve(|_stream| std::future::pending());
        let forward = from_server(&client, &server, port, nobody_leaves).await;
        let mut inside = fill(&server, port).await;
        assert_eq!(inside.len(), MAX_FORWARDED_CONNECTIONS, "port {port}");
        // Some end by themselves, some while the forward does.
        inside.truncate(MAX_FORWARDED_CONNECTIONS / 2);
        let (ended, _) = tokio::join!(forward.close_all(), agree(&server, b""));
        ended.unwrap();
    }
    // Those who wait for the other side to open them leave as well, and those behind them.
    for _ in 0..2 {
        let (crowded, address) = local_forward(&client, "silent").await;
        let mut crowd = Vec::new();
        for _ in 0..CROWD {
            crowd.push(TcpStream::connect(address).await.unwrap());
        }
        let mut unanswered = Vec::new();
        for _ in 0..MAX_OPENING_CONNECTIONS {
            unanswered.push(next_open(&server).await);
        }
        drop(crowd);
        soon("the end of a forward", crowded.close_all()).await.unwrap();
    }
}
