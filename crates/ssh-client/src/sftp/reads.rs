//! READs of one file under way: what a plan asks for goes to the server, and what comes back goes to the plan.
//!
//! ```text
//!  get           ──▶ all the plan has ───────▶ Reads ──READ …──▶ session ──▶ server
//!  File as a stream ──▶ near the reader only ──▶    ◀── answers, in any order ──
//! ```

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::mpsc;

use super::error::SftpFault;
use super::session::Session;
use crate::sftp_protocol::client::transfer::{Ask, Download};
use crate::sftp_protocol::messages::Read;
use crate::sftp_protocol::{Handle, StatusCode};
use crate::wire::bytes::Bytes;

/// A plan and its READs. Dropped, it forgets those that are under way; their data is dropped as it comes.
pub(super) struct Reads {
    session: Session,
    handle: Handle,
    plan: Download,
    unanswered: Arc<Unanswered>,
    /// For the answers. As many are in there as READs were under way: the plan's window is its bound.
    sender: mpsc::UnboundedSender<(Ask, Answer)>,
    answers: mpsc::UnboundedReceiver<(Ask, Answer)>,
}

/// How many READs of one file the server has not answered, be they wanted any more or not.
#[derive(Default)]
pub(super) struct Unanswered(Mutex<Count>);

#[derive(Default)]
struct Count {
    reads: usize,
    /// Who waits for fewer of them: the one reader that a file has.
    waits: Option<Waker>,
}

/// One of them, until it is answered.
struct One(Arc<Unanswered>);

impl Unanswered {
    /// Waits until there are fewer than `most`.
    pub(super) fn poll_fewer_than(&self, most: usize, cx: &mut Context<'_>) -> Poll<()> {
        let mut count = self.count();
        if count.reads < most {
            return Poll::Ready(());
        }
        count.waits = Some(cx.waker().clone());
        Poll::Pending
    }

    fn one_more(this: &Arc<Self>) -> One {
        let mut count = this.count();
        count.reads = count.reads.saturating_add(1);
        One(Arc::clone(this))
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let waits = {
            let mut count = self.0.count();
            count.reads = count.reads.saturating_sub(1);
            count.waits.take()
        };
        if let Some(waits) = waits {
            waits.wake();
        }
    }
}

type Answer = Result<Bytes, SftpFault>;

/// What an answer brought.
pub(super) enum Arrived {
    /// Data and its offset.
    Piece(u64, Bytes),
    /// The end of the file, which the plan knows now.
    End,
    /// No data, the offset of what was asked for, and why. Nothing more is asked for.
    Failed(u64, SftpFault),
}

impl Reads {
    pub(super) fn new(session: Session, handle: Handle, plan: Download, unanswered: Arc<Unanswered>) -> Self {
        let (sender, answers) = mpsc::unbounded_channel();
        Self {
            session,
            handle,
            plan,
            unanswered,
            sender,
            answers,
        }
    }

    /// The same file by another plan. What was under way is forgotten.
    pub(super) fn begin_anew(&mut self, plan: Download) {
        (self.sender, self.answers) = mpsc::unbounded_channel();
        self.plan = plan;
    }

    pub(super) const fn plan(&self) -> &Download {
        &self.plan
    }

    /// Sends the next READ, if the plan has one that ends at `stop` or before it.
    pub(super) fn ask_before(&mut self, stop: u64) -> bool {
        let Some(ask) = self.plan.next_ask_before(stop) else {
            return false;
        };
        let read = Read {
            handle: self.handle.clone(),
            offset: ask.offset(),
            length: ask.length(),
        };
        let (sender, one) = (self.sender.clone(), Unanswered::one_more(&self.unanswered));
        self.session.send(read, move |answer| {
            drop(one);
            // Nobody waits: the reader has gone elsewhere.
            let _unheard = sender.send((ask, answer));
        });
        true
    }

    /// The next answer to come. Pending for ever if none is under way.
    pub(super) fn poll_arrived(&mut self, cx: &mut Context<'_>) -> Poll<Arrived> {
        // It is never closed: a sender is here.
        let Poll::Ready(Some((ask, answer))) = self.answers.poll_recv(cx) else {
            return Poll::Pending;
        };
        let offset = ask.offset();
        Poll::Ready(match answer {
            Ok(data) => match self.plan.received(ask, data.len()) {
                Ok(()) => Arrived::Piece(offset, data),
                Err(error) => Arrived::Failed(offset, error.into()),
            },
            Err(SftpFault::Refused(status)) if status.code == StatusCode::EOF => {
                self.plan.eof(ask);
                Arrived::End
            }
            Err(fault) => {
                self.plan.failed(ask);
                Arrived::Failed(offset, fault)
            }
        })
    }
}
