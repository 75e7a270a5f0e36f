//! Wires that freeze in the middle of a packet, without a word: the keepalive of either side finds out, and what thaws
//! in time goes on as if nothing had been (case 8 of the security page; how long it takes is counted under the virtual
//! clock, in `tests/doors/dead_peers.rs`).

use std::time::{Duration, Instant};

use ssh_client::tokio_driver::Keepalive;
use ssh_testkit::proxy::{Fault, Faults, Proxy};
use tokio::time::timeout;

use super::script::{Echo, PATIENCE, config, server_with, session, until};

const HOUR: Duration = Duration::from_secs(3_600);

/// Somebody who asks soon: after 0.2 s three times.
pub const QUICK: Option<Keepalive> = Some(Keepalive {
    interval: Duration::from_millis(200),
    count_max: 3,
});

/// A server that asks so.
pub fn asking(keepalive: Option<Keepalive>) -> ssh_server::Config {
    ssh_server::Config {
        keepalive,
        ..ssh_server::Config::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gives_up_a_wire_that_freezes_in_the_middle_of_a_packet() {
    let listening = server_with(Echo, asking(None)).await;
    let fault = Fault::Frozen {
        after: 20_011,
        time: HOUR,
    };
    for faults in [Faults::down(fault), Faults::up(fault)] {
        let proxy = Proxy::start(listening.local_addr().port(), faults);
        let mut config = config();
        config.keepalive = QUICK;
        let begin = Instant::now();
        let ended = timeout(PATIENCE, session(proxy.port, &config, None)).await;
        let error = ended.expect("it hangs").unwrap_err().to_string();
        assert!(begin.elapsed() >= Duration::from_millis(800), "{error}");
        assert!(error.contains("127.0.0.1"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_gives_up_a_wire_that_freezes_in_the_middle_of_a_packet() {
    let listening = server_with(Echo, asking(QUICK)).await;
    let fault = Fault::Frozen {
        after: 20_011,
        time: HOUR,
    };
    for faults in [Faults::up(fault), Faults::down(fault)] {
        let proxy = Proxy::start(listening.local_addr().port(), faults);
        let mut config = config();
        config.keepalive = None;
        let port = proxy.port;
        let client = tokio::spawn(async move { session(port, &config, None).await });
        until("the first word of the server", || proxy.carried().1 > 0).await;
        until("the end of the connection", || listening.connections() == 0).await;
        client.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_thaws_in_time_goes_on() {
    let patient = Some(Keepalive {
        interval: Duration::from_secs(1),
        count_max: 100,
    });
    let listening = server_with(Echo, asking(patient)).await;
    // In the middle of the exchange, of the login, of the data.
    for after in [700, 2_300, 20_011] {
        let fault = Fault::Frozen {
            after,
            time: Duration::from_millis(1_500),
        };
        for faults in [Faults::up(fault), Faults::down(fault)] {
            let proxy = Proxy::start(listening.local_addr().port(), faults);
            let mut config = config();
            config.keepalive = patient;
            timeout(PATIENCE, session(proxy.port, &config, None))
                .await
                .unwrap()
                .unwrap();
        }
    }
}
