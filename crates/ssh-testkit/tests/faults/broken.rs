//! Damage: no changed, lost, doubled or swapped packet is ever taken for what was sent; each ends the connection with
//! an error, in both seats.

use std::time::Duration;

use ssh_testkit::proxy::{Fault, Faults, Proxy};
use tokio::time::timeout;

use super::script::{Echo, PATIENCE, config, server_with, session, until};
use super::still::{QUICK, asking};

/// How long a client waits for an answer that never comes.
const SHORT: Duration = Duration::from_secs(2);

/// The session ends with an error, and the server is rid of the connection.
async fn ends(faults: Faults) -> String {
    let listening = server_with(Echo, asking(QUICK)).await;
    let proxy = Proxy::start(listening.local_addr().port(), faults);
    // A packet that never comes is noticed by its silence alone.
    let mut config = config();
    config.keepalive = QUICK;
    config.timeouts.login = SHORT;
    config.timeouts.open = SHORT;
    let ended = timeout(PATIENCE, session(proxy.port, &config, None)).await;
    let error = ended.unwrap_or_else(|_| panic!("{faults:?}: it hangs"));
    let error = error.expect_err("damage was not noticed").to_string();
    assert!(error.contains("127.0.0.1"), "{faults:?}: {error}");
    until("the end of the connection", || listening.connections() == 0).await;
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_that_are_lost_doubled_or_swapped_end_the_connection() {
    // From the first encrypted packet to those in the middle of the data.
    for number in [0, 1, 2, 3, 5] {
        for fault in [
            Fault::DropPacket(number),
            Fault::DoublePacket(number),
            Fault::SwapPackets(number),
        ] {
            ends(Faults::up(fault)).await;
            if number < 5 {
                ends(Faults::down(fault)).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bit_changed_anywhere_ends_the_connection() {
    // Identification, key exchange, login, data.
    for at in [3, 30, 200, 1_400, 2_000, 2_500, 20_000, 40_000] {
        for mask in [1, 0x80] {
            ends(Faults::up(Fault::Corrupt { at, mask })).await;
            ends(Faults::down(Fault::Corrupt { at, mask })).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direction_that_ends_alone_ends_the_connection() {
    for at in [0, 10, 300, 2_500, 20_000] {
        ends(Faults::up(Fault::HalfClosed(at))).await;
        ends(Faults::down(Fault::HalfClosed(at))).await;
    }
}
