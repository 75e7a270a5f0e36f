//! Pieces: byte by byte, of random sizes, late, slow, together.

use std::time::Duration;

use ssh_testkit::proxy::{Fault, Faults, Proxy};
use tokio::time::timeout;

use super::script::{Echo, PATIENCE, config, server, session};

async fn goes_well(faults: Faults) {
    let listening = server(Echo).await;
    let proxy = Proxy::start(listening.local_addr().port(), faults);
    let mut config = config();
    // New keys in the middle of it.
    config.transport.rekey.bytes = 20_000;
    let story = session(proxy.port, &config, None);
    timeout(PATIENCE, story).await.unwrap().unwrap();
    let (up, down) = proxy.carried();
    assert!(up > 40_000 && down > 40_000, "it went past the proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_through_byte_by_byte() {
    goes_well(Faults::both(Fault::Chunks(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_through_in_pieces_of_any_size() {
    for (seed, most) in [(1, 5), (2, 100), (3, 3_000), (4, 64 << 10)] {
        let faults = Faults::both(Fault::RandomChunks(most));
        goes_well(Faults { seed, ..faults }).await;
    }
    goes_well(Faults::both(Fault::Crumbs { bytes: 10_000 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_goes_through_late_slowly_and_in_lumps() {
    let few = Duration::from_millis(10);
    for fault in [
        Fault::Delayed {
            delay: few,
            jitter: 2 * few,
        },
        Fault::Throttled(200_000),
        Fault::Coalesced(few),
        Fault::Frozen {
            after: 20_000,
            time: 20 * few,
        },
    ] {
        goes_well(Faults::both(fault)).await;
        goes_well(Faults::up(fault)).await;
    }
}
