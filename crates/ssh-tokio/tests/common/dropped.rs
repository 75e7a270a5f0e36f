//! For tests that drop futures before they are done: how often each is polled, and a server that is still there afterwards.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ssh_tokio::{Incoming, Parts};
use tokio::io::AsyncWriteExt;

use super::common::Pair;

/// A future that is polled a few times and dropped then: `None`, unless it was done before.
pub(crate) struct Polled<F> {
    future: Pin<Box<F>>,
    left: usize,
    /// Polled again at once, whether it has been woken or not.
    is_impatient: bool,
}

/// At most `left` times, one after the other.
pub(crate) fn impatient<F: Future>(left: usize, future: F) -> Polled<F> {
    Polled {
        is_impatient: true,
        ..polled(left, future)
    }
}

/// As often as it is woken, `left` times at most.
pub(crate) fn polled<F: Future>(left: usize, future: F) -> Polled<F> {
    Polled {
        future: Box::pin(future),
        left,
        is_impatient: false,
    }
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // The last poll: it waits for nothing more.
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => {
                if self.is_impatient {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

/// Serves every channel with an echo, and every request with a yes.
pub(crate) fn serve(pair: &Pair) {
    let server = pair.server.clone();
    tokio::spawn(async move {
        while let Some(incoming) = server.incoming().await {
            match incoming {
                Incoming::Open(open) => {
                    let Ok(channel) = open.accept() else { return };
                    tokio::spawn(echo(channel.split()));
                }
                Incoming::Global(asked) => asked.accept(b""),
            }
        }
    });
}

async fn echo(channel: Parts) {
    let Parts {
        mut reader,
        mut writer,
        mut control,
        ..
    } = channel;
    let answering = async {
        while let Some(asked) = control.next_request().await {
            asked.accept();
        }
    };
    let echoing = async {
        while let Ok(Some(chunk)) = reader.next_chunk().await {
            if writer.write_all(&chunk).await.is_err() {
                return;
            }
        }
        let _over = writer.shutdown().await;
    };
    tokio::join!(answering, echoing);
}
