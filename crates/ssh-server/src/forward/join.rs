//! A channel and a local stream as one connection.

use tokio::io::AsyncWrite;

use crate::pump::{self, Buffers, Source};
use crate::tokio_driver::{Channel, Parts};

/// Passes everything on in both directions, each until its own end.
pub(crate) async fn join(
    channel: Channel,
    buffers: &Buffers,
    from: impl Source,
    to: impl AsyncWrite + Unpin,
) {
    let Parts {
        mut reader,
        stderr_reader,
        mut writer,
        mut control,
        ..
    } = channel.split();
    let up = pump::from_channel(&mut reader, to);
    let down = async {
        let result = tokio::select! {
            result = pump::to_channel(&from, &mut writer, buffers) => result,
            // Nobody takes what the stream may still say, and one that says nothing would be waited for for ever.
            () = control.closed() => Ok(()),
        };
        let _gone = control.eof();
        result
    };
    let both = async { tokio::try_join!(up, down) };
    tokio::select! {
        ended = both => if let Err(stopped) = ended {
            tracing::debug!(?stopped, "forward stopped");
        },
        () = pump::discard(stderr_reader) => {}
    }
    control.close();
}
