//! A file of the server as a stream: READs under way ahead of the reader, and what they brought, in its order.
//!
//! ```text
//!      taken        chunk   pieces, in any order     asked for        not yet
//!  ├────────────┼──────────┼──────┼ ─ ─ ┼───────┼ ─ ─ ─ ─ ─ ─ ─ ─ ┼─────────▶
//!  begin     position      └──────────── Window::reach ───────────┘
//! ```
//!
//! Only a reader that asks makes READs: one that stops holds what is under way then, and no more comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::error::SftpFault;
use super::reads::{Arrived, Reads, Unanswered};
use super::session::Session;
use crate::sftp_protocol::Handle;
use crate::sftp_protocol::client::transfer::{Download, MAX_REQUESTS, Window};
use crate::wire::bytes::{Buf, Bytes};
use crate::wire::usize_from;

/// The most pieces that wait or are asked for: a server that answers with a byte at a time makes no more of them.
const MAX_PIECES: u32 = MAX_REQUESTS;

/// What is read ahead, from one place of the file on. Seeking makes another one.
pub(super) struct ReadAhead {
    reads: Reads,
    window: Window,
    /// Where it began.
    begin: u64,
    /// What the reader takes next.
    position: u64,
    /// What is at `position`.
    chunk: Bytes,
    /// What came for behind it, by offset.
    pieces: BTreeMap<u64, Bytes>,
    /// The lowest range that failed, and why.
    failed: Option<(u64, SftpFault)>,
}

/// What is next for the reader.
enum Next {
    Data,
    End,
    Failed(SftpFault),
    /// Something further on failed, and what is here was left out because of that.
    LeftOut,
    Later,
}

impl ReadAhead {
    pub(super) fn new(session: Session, handle: Handle, position: u64, unanswered: Arc<Unanswered>) -> Self {
        let window = Window::for_reading(&session.limits());
        let plan = Download::from_offset(position, None, window);
        Self {
            reads: Reads::new(session, handle, plan, unanswered),
            window,
            begin: position,
            position,
            chunk: Bytes::new(),
            pieces: BTreeMap::new(),
            failed: None,
        }
    }

    /// Where the reader is.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// What is at the reader's place; nothing at the end of the file. After the end or an error it has to be made anew.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], SftpFault>> {
        loop {
            self.take_in(cx);
            self.ask();
            match self.next() {
                Next::Data => return Poll::Ready(Ok(&self.chunk)),
                Next::End => return Poll::Ready(Ok(&[])),
                Next::Failed(fault) => return Poll::Ready(Err(fault)),
                // Asking anew comes to the failure when it is its turn, or finds that it is none any more.
                Next::LeftOut => self.begin_anew(),
                // `take_in` looked until nothing was there: the next answer wakes the reader.
                Next::Later => return Poll::Pending,
            }
        }
    }

    /// The reader took so many bytes of the chunk.
    pub(super) fn take(&mut self, count: usize) {
        let count = count.min(self.chunk.len());
        self.chunk.advance(count);
        self.position = self
            .position
            .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }

    fn take_in(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(arrived) = self.reads.poll_arrived(cx) {
            match arrived {
                Arrived::Piece(offset, data) => {
                    self.pieces.insert(offset, data);
                }
                Arrived::End => {}
                Arrived::Failed(offset, fault) => {
                    if self.failed.as_ref().is_none_or(|(lowest, _)| offset < *lowest) {
                        self.failed = Some((offset, fault));
                    }
                }
            }
        }
        if self.chunk.is_empty() {
            self.chunk = self.pieces.remove(&self.position).unwrap_or_default();
        }
    }

    fn ask(&mut self) {
        let taken = self.position.saturating_sub(self.begin);
        let stop = self.position.saturating_add(self.window.reach(taken));
        while self.has_room() && self.reads.ask_before(stop) {}
    }

    /// Whoever has nothing to give to the reader may always ask: the plan asks for what is lowest.
    fn has_room(&self) -> bool {
        let under_way = self.reads.plan().under_way();
        let pieces = under_way.saturating_add(self.pieces.len());
        pieces < usize_from(MAX_PIECES) || (under_way == 0 && self.chunk.is_empty())
    }

    fn next(&mut self) -> Next {
        let position = self.position;
        if self.reads.plan().end() <= position {
            return Next::End;
        }
        if !self.chunk.is_empty() {
            return Next::Data;
        }
        if let Some((_, fault)) = self.failed.take_if(|(offset, _)| *offset <= position) {
            return Next::Failed(fault);
        }
        if self.reads.plan().under_way() == 0 {
            return Next::LeftOut;
        }
        Next::Later
    }

    fn begin_anew(&mut self) {
        self.reads
            .begin_anew(Download::from_offset(self.position, None, self.window));
        self.pieces.clear();
        self.failed = None;
    }
}
