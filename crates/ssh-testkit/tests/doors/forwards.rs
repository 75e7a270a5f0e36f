//! Forwards from the client's seat, against a server that says what the test wants: honest things, and row C8 of the
//! list of attacks, channels nobody asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ssh_client::channel::{
    AUTH_AGENT, ChannelType, ForwardedStreamlocal, GlobalRequest, OpenFailureReason, X11, bound_port_reply,
};
use ssh_client::tokio_driver::{Handle, Incoming, OpenError};
use ssh_client::{Client, Config, Error, Forwarding, ListenOn, Listening, Target};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener};

use crate::scripted::{agree, asked, forwarded, opens, refused, request_refused, scripted, soon};

/// Says hello to whoever comes, and where it came from.
fn greeting() -> Target {
    Target::serve(|mut stream| async move {
        let from = stream.arrival().originator.clone();
        let hello = format!("hello {from:?}");
        let _gone = stream.write_all(hello.as_bytes()).await;
        let _gone = stream.shutdown().await;
    })
}

/// A port of this machine that counts who comes.
async fn counting() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await.unwrap();
                writer.shutdown().await.unwrap();
            });
        }
    });
    (port, count)
}

/// Every channel a server may think of.
fn every_kind(port: u16) -> Vec<ChannelType> {
    vec![
        ChannelType::Session,
        ChannelType::AuthAgent,
        X11 {
            originator: "127.0.0.1".to_owned(),
            originator_port: 6_000,
        }
        .into(),
        forwarded("localhost", port),
        forwarded("", port),
        ForwardedStreamlocal::new(b"/run/listen").into(),
        ssh_client::channel::DirectTcpip {
            host: "127.0.0.1".to_owned(),
            port,
            originator: "127.0.0.1".to_owned(),
            originator_port: 1,
        }
        .into(),
        ssh_client::channel::DirectStreamlocal::new(b"/run/listen").into(),
    ]
}

#[tokio::test]
async fn c08_channels_nobody_asked_for_are_refused_and_touch_nothing() {
    let (_client, server) = scripted(&Config::default()).await;
    let (port, count) = counting().await;
    for kind in every_kind(port) {
        let failure = refused(&server, kind).await;
        assert_eq!(failure.reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED);
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn c08_a_forward_lets_in_what_was_asked_for_and_nothing_beside_it() {
    let (client, server) = scripted(&Config::default()).await;
    let (target, count) = counting().await;
    let asking = client.forward_remote("localhost", 8_080, Target::port("127.0.0.1", target));
    let (forward, request) = tokio::join!(asking, agree(&server, b""));
    let forward = forward.unwrap();
    assert_eq!(request.name(), "tcpip-forward");
    assert_eq!((forward.port(), forward.connections().total), (8_080, 0));
    // Another port, another address, another type: refused, and the target never hears of it.
    for kind in every_kind(target).into_iter().chain([
        forwarded("localhost", 8_081),
        forwarded("0.0.0.0", 8_080),
        forwarded("", 8_080),
        forwarded("localhost\0", 8_080),
    ]) {
        let failure = refused(&server, kind.clone()).await;
        assert_eq!(
            failure.reason,
            OpenFailureReason::ADMINISTRATIVELY_PROHIBITED,
            "{kind:?}"
        );
    }
    assert_eq!(
        (count.load(Ordering::SeqCst), forward.connections().total),
        (0, 0)
    );
    let mut channel = opens(&server, forwarded("localhost", 8_080)).await;
    channel.write_all(b"through").await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon("the echo", channel.read_to_end(&mut heard)).await.unwrap();
    assert_eq!((&heard[..], count.load(Ordering::SeqCst)), (&b"through"[..], 1));
    // Cancelled: the server hears of it, and what it opens all the same is refused.
    let (closed, cancelled) = tokio::join!(forward.close(), agree(&server, b""));
    closed.unwrap();
    assert_eq!(cancelled.name(), "cancel-tcpip-forward");
    refused(&server, forwarded("localhost", 8_080)).await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_the_server_opens_right_behind_its_answer_is_not_lost() {
    let (client, server) = scripted(&Config::default()).await;
    for round in 0..50 {
        let asking = client.forward_remote("", 0, greeting());
        let serving = async {
            agree(&server, &bound_port_reply(40_000)).await;
            // Before the one who asked can have been told.
            let mut channel = opens(&server, forwarded("192.0.2.1", 40_000)).await;
            let mut heard = String::new();
            channel.read_to_string(&mut heard).await.unwrap();
            heard
        };
        let (forward, heard) = soon("the forward", async { tokio::join!(asking, serving) }).await;
        let forward = forward.unwrap();
        assert_eq!(heard, "hello Some((\"192.0.2.7\", 4711))", "round {round}");
        assert_eq!((forward.port(), forward.address().host.as_str()), (40_000, ""));
        let (closed, _) = tokio::join!(forward.close_all(), agree(&server, b""));
        closed.unwrap();
    }
}

#[tokio::test]
async fn an_open_waits_for_the_request_before_it_and_for_no_other() {
    let (client, server) = scripted(&Config::default()).await;
    let asking = tokio::spawn({
        let client = client.clone();
        async move { client.forward_remote("", 0, greeting()).await }
    });
    let first = asked(&server).await;
    // One more than may wait before there is an answer: it is refused at once.
    let mut early = tokio::task::JoinSet::new();
    for _ in 0..129 {
        let server = server.clone();
        early.spawn(async move { server.open(forwarded("", 41_000)).await });
    }
    let mut reason = async || match soon("an early open", early.join_next()).await {
        Some(Ok(Err(OpenError::Refused(failure)))) => Some(failure.reason),
        None => None,
        other => panic!("{other:?}"),
    };
    assert_eq!(reason().await, Some(OpenFailureReason::RESOURCE_SHORTAGE));
    // Answered with another port: what waited is refused.
    first.accept(&bound_port_reply(42_000));
    let forward = soon("the forward", asking).await.unwrap().unwrap();
    for _ in 0..128 {
        assert_eq!(
            reason().await,
            Some(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED)
        );
    }
    assert_eq!((reason().await, forward.connections().total), (None, 0));
}

#[tokio::test]
async fn answers_that_make_no_sense_are_errors() {
    let (client, server) = scripted(&Config::default()).await;
    for reply in [
        &b""[..],
        b"\0\0",
        &bound_port_reply(0),
        b"\0\x01\0\0",
        b"\0\0\0\x16\0",
    ] {
        let (forward, _) = tokio::join!(client.forward_remote("", 0, greeting()), agree(&server, reply));
        assert!(matches!(forward, Err(Error::BadReply { .. })), "{forward:?}");
    }
    let refusal = async { asked(&server).await.refuse() };
    let (forward, ()) = tokio::join!(client.forward_remote("", 80, greeting()), refusal);
    assert_eq!(request_refused(forward), "to listen on :80");
    // A port the server has said it listens on already.
    let (first, _) = tokio::join!(client.forward_remote("", 90, greeting()), agree(&server, b""));
    let reply = bound_port_reply(90);
    let asking = client.forward_remote("", 0, greeting());
    let (second, _) = tokio::join!(asking, agree(&server, &reply));
    assert!(
        matches!(second, Err(Error::AlreadyForwarded { .. })),
        "{second:?}"
    );
    opens(&server, forwarded("", 90)).await;
    drop(first);
}

#[tokio::test]
async fn whoever_stops_waiting_for_a_forward_leaves_none_behind() {
    let (client, server) = scripted(&Config::default()).await;
    let question = {
        let asking = client.forward_remote("", 8_080, greeting());
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            biased;
            forward = &mut asking => panic!("{forward:?}"),
            question = asked(&server) => question,
        }
    };
    question.accept(b"");
    let cancelled = agree(&server, b"").await;
    assert_eq!(cancelled.name(), "cancel-tcpip-forward");
    refused(&server, forwarded("", 8_080)).await;
}

/// A client that has asked for a forward and waits no longer for the answer.
async fn given_up() -> (Client, Handle) {
    let mut config = Config {
        keepalive: None,
        ..Config::default()
    };
    config.timeouts.open = Duration::from_secs(5);
    let (client, server) = scripted(&config).await;
    let forward = client.forward_remote("", 8_080, greeting()).await;
    assert!(matches!(forward, Err(Error::OpenTimeout { .. })), "{forward:?}");
    (client, server)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_is_given_up_and_the_late_answer_taken_back() {
    let (_client, server) = given_up().await;
    asked(&server).await.accept(b"");
    assert_eq!(asked(&server).await.request().name(), "cancel-tcpip-forward");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_keeps_no_connection_that_nobody_uses() {
    let (client, server) = given_up().await;
    drop(client);
    tokio::time::timeout(Duration::from_secs(60), server.closed())
        .await
        .expect("the connection ends");
}

#[tokio::test]
async fn dropping_a_forward_ends_its_connections_and_tells_the_server() {
    let (client, server) = scripted(&Config::default()).await;
    let (target, _) = counting().await;
    let asking = client.forward_remote("", 8_080, Target::port("127.0.0.1", target));
    let (forward, _) = tokio::join!(asking, agree(&server, b""));
    let mut channel = opens(&server, forwarded("", 8_080)).await;
    drop(forward);
    assert_eq!(agree(&server, b"").await.name(), "cancel-tcpip-forward");
    soon("the end of the connection", channel.closed()).await;
}

#[tokio::test]
async fn closing_a_forward_lets_its_connections_end_in_peace() {
    let (client, server) = scripted(&Config::default()).await;
    let (target, _) = counting().await;
    let asking = client.forward_remote("", 8_080, Target::port("127.0.0.1", target));
    let (forward, _) = tokio::join!(asking, agree(&server, b""));
    let forward = forward.unwrap();
    let mut channel = opens(&server, forwarded("", 8_080)).await;
    let refusal = async { asked(&server).await.refuse() };
    let (closed, ()) = tokio::join!(forward.close(), refusal);
    assert_eq!(request_refused(closed), "to stop listening");
    assert_eq!(forward.connections().open, 1);
    channel.write_all(b"still here").await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = String::new();
    soon("the echo", channel.read_to_string(&mut heard))
        .await
        .unwrap();
    assert_eq!(heard, "still here");
    soon("the end", forward.finished()).await;
    let numbers = forward.connections();
    assert_eq!((numbers.open, numbers.total, numbers.refused), (0, 1, 0));
}

#[tokio::test]
async fn each_connection_is_decided_on_and_there_are_only_so_many() {
    let (client, server) = scripted(&Config::default()).await;
    let (target, count) = counting().await;
    let forwarding = Forwarding::new(ListenOn::server("", 8_080), Target::port("127.0.0.1", target))
        .accept_if(|arrival| async move { arrival.originator.is_some_and(|(host, _)| host == "192.0.2.7") })
        .most_connections(2);
    let (forward, _) = tokio::join!(client.forward(&forwarding), agree(&server, b""));
    let forward = forward.unwrap();
    assert!(matches!(forward.address(), Listening::Server(address) if address.port == 8_080));
    let stranger = ssh_client::channel::ForwardedTcpip {
        address: String::new(),
        port: 8_080,
        originator: "203.0.113.9".to_owned(),
        originator_port: 1,
    };
    let failure = refused(&server, stranger.into()).await;
    assert_eq!(failure.reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED);
    assert_eq!(
        count.load(Ordering::SeqCst),
        0,
        "nothing is connected before the decision"
    );
    let _one = opens(&server, forwarded("", 8_080)).await;
    let _two = opens(&server, forwarded("", 8_080)).await;
    let failure = refused(&server, forwarded("", 8_080)).await;
    assert_eq!(failure.reason, OpenFailureReason::RESOURCE_SHORTAGE);
    let numbers = forward.connections();
    assert_eq!((numbers.open, numbers.total, numbers.refused), (2, 4, 2));
}

#[tokio::test]
async fn a_target_that_is_not_there_refuses_the_channel_and_names_nothing() {
    let (client, server) = scripted(&Config::default()).await;
    // Bound and not listened on: nobody else can take it meanwhile.
    let bound = TcpSocket::new_v4().unwrap();
    bound.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = bound.local_addr().unwrap().port();
    let asking = client.forward_remote("", 8_080, Target::port("127.0.0.1", closed));
    let (_forward, _) = tokio::join!(asking, agree(&server, b""));
    let failure = refused(&server, forwarded("", 8_080)).await;
    assert_eq!(failure.reason, OpenFailureReason::CONNECT_FAILED);
    assert!(
        !failure.description.contains("127.0.0.1") && !failure.description.contains(&closed.to_string()),
        "{failure}"
    );
}

#[tokio::test]
async fn a_socket_of_the_servers_leads_to_one_of_ours() {
    let (client, server) = scripted(&Config::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("target");
    let listener = UnixListener::bind(&path).unwrap();
    let asking = client.forward_remote_socket("/run/listen", Target::socket(&path));
    let (forward, request) = tokio::join!(asking, agree(&server, b""));
    let forward = forward.unwrap();
    assert!(matches!(request, GlobalRequest::StreamlocalForward(asked) if asked.path == b"/run/listen"));
    refused(&server, ForwardedStreamlocal::new(b"/run/other").into()).await;
    refused(&server, forwarded("", 8_080)).await;
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"from the socket").await.unwrap();
    };
    let visiting = async {
        let mut channel = opens(&server, ForwardedStreamlocal::new(b"/run/listen").into()).await;
        let mut heard = String::new();
        channel.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let (heard, ()) = soon("the socket", async { tokio::join!(visiting, serving) }).await;
    assert_eq!(heard, "from the socket");
    let (closed, cancelled) = tokio::join!(forward.close_all(), agree(&server, b""));
    closed.unwrap();
    assert_eq!(cancelled.name(), "cancel-streamlocal-forward@openssh.com");
}

#[tokio::test]
async fn what_listens_here_opens_channels_and_closes_with_its_handle() {
    let (client, server) = scripted(&Config::default()).await;
    let forward = client.forward_local("127.0.0.1:0", "inside", 80).await.unwrap();
    let address = forward.local_addr();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let Some(Incoming::Open(open)) = soon("an open", server.incoming()).await else {
        panic!("no channel");
    };
    let ChannelType::DirectTcpip(wanted) = open.channel_type().clone() else {
        panic!("{open:?}")
    };
    assert_eq!((wanted.host.as_str(), wanted.port), ("inside", 80));
    let from = stream.local_addr().unwrap();
    assert_eq!(
        (wanted.originator, wanted.originator_port),
        (from.ip().to_string(), u32::from(from.port()))
    );
    let mut channel = open.accept().unwrap();
    channel.write_all(b"hello").await.unwrap();
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"hello");
    assert_eq!(forward.connections().open, 1);
    forward.close().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the port is closed");
    channel.write_all(b"again").await.unwrap();
    stream.read_exact(&mut heard).await.unwrap();
    drop(forward);
    soon("the end of the channel", channel.closed()).await;
}

#[tokio::test]
async fn an_application_that_hears_opens_itself_shares_them_with_nobody() {
    let config = Config {
        incoming: 8,
        ..Config::default()
    };
    let (client, _server) = scripted(&config).await;
    let forward = client.forward_remote("", 0, greeting()).await;
    assert!(matches!(forward, Err(Error::IncomingTaken { .. })), "{forward:?}");
    assert_eq!(AUTH_AGENT, "auth-agent@openssh.com");
}

/// A connection to a SOCKS server that wants to go to `host`:80, up to the answer.
async fn socks_5(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin), host: &str) -> u8 {
    let length = u8::try_from(host.len()).unwrap();
    let request = [&[5, 1, 0, 5, 1, 0, 3, length][..], host.as_bytes(), &[0, 80]].concat();
    stream.write_all(&request).await.unwrap();
    let mut answers = [0; 12];
    soon("the answer of SOCKS", stream.read_exact(&mut answers))
        .await
        .unwrap();
    assert_eq!(answers[..3], [5, 0, 5]);
    answers[3]
}

#[tokio::test]
async fn a_dynamic_port_goes_where_it_is_told_and_tells_why_not() {
    let (client, server) = scripted(&Config::default()).await;
    let forwarding = Forwarding::new(ListenOn::here("127.0.0.1", 0), Target::Socks)
        .accept_if(|arrival| async move { arrival.destination.is_some_and(|to| to.host != "forbidden") });
    let forward = client.forward(&forwarding).await.unwrap();
    let Listening::Here(address) = *forward.address() else {
        panic!("{forward:?}")
    };
    tokio::spawn(async move {
        while let Some(Incoming::Open(open)) = server.incoming().await {
            let ChannelType::DirectTcpip(wanted) = open.channel_type().clone() else {
                panic!("{open:?}")
            };
            assert_eq!(wanted.port, 80);
            match wanted.host.as_str() {
                "inside" => {
                    let mut channel = open.accept().unwrap();
                    channel.write_all(b"inside").await.unwrap();
                    channel.shutdown().await.unwrap();
                }
                "nowhere" => open.refuse(OpenFailureReason::CONNECT_FAILED, "no route"),
                "secret" => open.refuse(OpenFailureReason::ADMINISTRATIVELY_PROHIBITED, "no"),
                other => panic!("the server was asked for {other}"),
            }
        }
    });
    for (host, answer) in [("inside", 0), ("nowhere", 4), ("secret", 2), ("forbidden", 2)] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert_eq!(socks_5(&mut stream, host).await, answer, "{host}");
        let mut heard = String::new();
        soon("the end", stream.read_to_string(&mut heard)).await.unwrap();
        assert_eq!(heard, if answer == 0 { "inside" } else { "" });
    }
    let numbers = forward.connections();
    assert_eq!((numbers.total, numbers.refused), (4, 3));
}

#[tokio::test]
async fn a_dynamic_port_at_the_server_reaches_from_here_what_it_may() {
    let (client, server) = scripted(&Config::default()).await;
    let (target, count) = counting().await;
    let forwarding = Forwarding::new(ListenOn::server("", 1_080), Target::Socks)
        .accept_if(move |arrival| async move { arrival.destination.is_some_and(|to| to.port == target) });
    let (forward, _) = tokio::join!(client.forward(&forwarding), agree(&server, b""));
    let mut channel = opens(&server, forwarded("", 1_080)).await;
    // Not where it may: told, and not connected to.
    assert_eq!(socks_5(&mut channel, "127.0.0.1").await, 2);
    assert_eq!(count.load(Ordering::SeqCst), 0);
    let mut channel = opens(&server, forwarded("", 1_080)).await;
    let four = [&[4, 1][..], &target.to_be_bytes(), &[127, 0, 0, 1, 0], b"early"].concat();
    channel.write_all(&four).await.unwrap();
    channel.shutdown().await.unwrap();
    let mut heard = Vec::new();
    soon("the echo", channel.read_to_end(&mut heard)).await.unwrap();
    assert_eq!(heard, b"\0\x5a\0\0\0\0\0\0early");
    let numbers = forward.unwrap().connections();
    assert_eq!((numbers.total, numbers.refused), (2, 1));
}

#[tokio::test]
async fn c08_c14_the_agent_is_reached_only_while_it_is_forwarded() {
    let (client, server) = scripted(&Config::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent");
    let listener = UnixListener::bind(&path).unwrap();
    refused(&server, ChannelType::AuthAgent).await;
    let forward = client.forward_agent(&path).await.unwrap();
    assert!(matches!(
        client.forward_agent(&path).await,
        Err(Error::AlreadyForwarded { .. })
    ));
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut question = [0; 4];
        stream.read_exact(&mut question).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        question
    };
    let asking = async {
        let mut channel = opens(&server, ChannelType::AuthAgent).await;
        channel.write_all(b"what").await.unwrap();
        let mut heard = String::new();
        channel.read_to_string(&mut heard).await.unwrap();
        heard
    };
    let (heard, question) = soon("the agent", async { tokio::join!(asking, serving) }).await;
    assert_eq!((heard.as_str(), &question), ("answer", b"what"));
    // Nothing but the agent is let in meanwhile, and nothing at all afterwards.
    refused(&server, forwarded("", 8_080)).await;
    assert_eq!(forward.connections().total, 1);
    forward.close_all().await.unwrap();
    refused(&server, ChannelType::AuthAgent).await;
    // Asked about each time.
    let asking = Forwarding::new(ListenOn::Agent, Target::socket(&path)).accept_if(|_| async { false });
    let forward = client.forward(&asking).await.unwrap();
    let failure = refused(&server, ChannelType::AuthAgent).await;
    assert_eq!(failure.reason, OpenFailureReason::ADMINISTRATIVELY_PROHIBITED);
    assert_eq!(forward.connections().refused, 1);
    let nobody = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
    assert!(nobody.is_err(), "the agent was not connected to");
}
