//! Whole files, there and back: many requests at once, planned by [`Download`] and [`Upload`].
//!
//! ```text
//!  get: plan ──asks──▶ READ … ◀──data── server ──pieces──▶ a thread that writes the local file
//!  put: a thread that reads the local file ──pieces──▶ plan ──asks──▶ WRITE … ◀──status── server
//! ```
//!
//! A transfer that fails leaves what it has moved: of a local file the part that is complete from the beginning on. Its
//! error names both files. What the server says when the file is closed counts.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::Sftp;
use super::error::{SftpError, SftpFault};
use super::file::File;
use super::local::{Sink, Source, open};
use super::reads::{Arrived, Reads};
use crate::error::Error;
use crate::sftp_protocol::client::transfer::{Ask, Download, Upload, Window};
use crate::sftp_protocol::messages::{Stat, Write};
use crate::sftp_protocol::{Attributes, FileType, OpenFlags};
use crate::wire::bytes::Bytes;
use crate::wire::usize_from;

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that have arrived.
    pub done: u64,
    /// Bytes there are, as far as anybody knows.
    pub total: Option<u64>,
}

impl Sftp {
    /// Fetches a file: `remote` there becomes `local` here, replacing what was there. Its length in bytes.
    ///
    /// # Errors
    /// What the server or the local file system says, with both paths.
    pub async fn get(&self, remote: impl AsRef<[u8]>, local: impl AsRef<Path>) -> Result<u64, Error> {
        self.get_with(remote, local, |_| {}).await
    }

    /// Like [`get`](Self::get); `progress` is called for each piece.
    ///
    /// # Errors
    /// What the server or the local file system says, with both paths.
    pub async fn get_with(
        &self,
        remote: impl AsRef<[u8]>,
        local: impl AsRef<Path>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, Error> {
        let (remote, local) = (remote.as_ref(), local.as_ref());
        Ok(self
            .fetch(remote, local, progress)
            .await
            .map_err(|fault| SftpError {
                local: Some(local.to_owned()),
                ..fault.at("get", remote)
            })?)
    }

    /// Stores a file: `local` here becomes `remote` there, replacing what was there. Its length in bytes.
    ///
    /// # Errors
    /// What the server or the local file system says, with both paths.
    pub async fn put(&self, local: impl AsRef<Path>, remote: impl AsRef<[u8]>) -> Result<u64, Error> {
        self.put_with(local, remote, |_| {}).await
    }

    /// Like [`put`](Self::put); `progress` is called for each piece.
    ///
    /// # Errors
    /// What the server or the local file system says, with both paths.
    pub async fn put_with(
        &self,
        local: impl AsRef<Path>,
        remote: impl AsRef<[u8]>,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, Error> {
        let (remote, local) = (remote.as_ref(), local.as_ref());
        Ok(self
            .store(local, remote, progress)
            .await
            .map_err(|fault| SftpError {
                local: Some(local.to_owned()),
                ..fault.at("put", remote)
            })?)
    }

    async fn fetch(
        &self,
        remote: &[u8],
        local: &Path,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, SftpFault> {
        let stat = Stat {
            path: remote.to_vec(),
        };
        // Both leave at once. A server may not tell about what it lets us read.
        let (file, attributes) = tokio::join!(
            self.open_raw(remote, OpenFlags::READ, Attributes::default()),
            self.session.call(stat),
        );
        let (file, attributes) = (file?, attributes.unwrap_or_default());
        if attributes
            .file_type()
            .is_some_and(|kind| kind != FileType::Regular)
        {
            return Err(SftpFault::NotAFile);
        }
        let permissions = attributes.plain_permissions().unwrap_or(0o644);
        let sink = Sink::create(local, permissions).await.map_err(SftpFault::Local)?;
        let plan = Download::new(attributes.size, Window::for_reading(&self.limits()));
        let mut reads = Reads::new(self.session.clone(), file.handle(), plan, Arc::default());
        let report = |plan: &Download| {
            progress(Progress {
                done: plan.received_bytes(),
                total: attributes.size,
            });
        };
        let fetched = self.run_download(&mut reads, &sink, report).await;
        let plan = reads.plan();
        let length = plan.length().unwrap_or_else(|| plan.complete_to());
        let written = sink.finish(length).await.map_err(SftpFault::Local);
        // A full disk is the cause, not that the transfer stopped.
        written.and(fetched)?;
        file.closed().await?;
        Ok(length)
    }

    async fn run_download(
        &self,
        reads: &mut Reads,
        sink: &Sink,
        mut report: impl FnMut(&Download) + Send,
    ) -> Result<(), SftpFault> {
        let mut failed = Ok(());
        while !reads.plan().is_finished() {
            while reads.ask_before(u64::MAX) {}
            match poll_fn(|cx| reads.poll_arrived(cx)).await {
                Arrived::Piece(offset, data) => {
                    if !sink.write(offset, data).await {
                        return failed;
                    }
                    report(reads.plan());
                }
                Arrived::End => {}
                Arrived::Failed(_, fault) => failed = failed.and(Err(fault)),
            }
        }
        failed
    }

    async fn store(
        &self,
        local: &Path,
        remote: &[u8],
        progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, SftpFault> {
        let (source, size, mode) = open(local).await.map_err(SftpFault::Local)?;
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let file = self
            .open_raw(remote, flags, Attributes::with_permissions(mode))
            .await?;
        let window = Window::for_writing(&self.limits());
        let source = Source::new(source, usize_from(window.chunk_bytes));
        let length = self
            .run_upload(&file, Upload::new(0, window), source, size, progress)
            .await?;
        file.closed().await?;
        Ok(length)
    }

    async fn run_upload(
        &self,
        file: &File,
        mut plan: Upload,
        mut source: Source,
        size: u64,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<u64, SftpFault> {
        let (sender, mut answers) = mpsc::unbounded_channel::<(Ask, Result<(), SftpFault>)>();
        let mut failed = Ok(());
        while !plan.is_finished() {
            tokio::select! {
                piece = source.next(), if plan.room() > 0 => match piece {
                    Ok(data) => self.send_piece(file, &mut plan, data, &sender),
                    Err(error) => {
                        failed = failed.and(Err(SftpFault::Local(error)));
                        plan.source_ended();
                    }
                },
                Some((ask, answer)) = answers.recv() => match answer {
                    Ok(()) => {
                        plan.written(ask);
                        progress(Progress { done: plan.written_bytes(), total: Some(size) });
                    }
                    Err(fault) => {
                        plan.failed(ask);
                        failed = failed.and(Err(fault));
                    }
                },
            }
        }
        failed.map(|()| plan.written_bytes())
    }

    fn send_piece(
        &self,
        file: &File,
        plan: &mut Upload,
        data: Bytes,
        sender: &mpsc::UnboundedSender<(Ask, Result<(), SftpFault>)>,
    ) {
        // An empty piece is the end of the source; the plan has no ask for it.
        let Some(ask) = plan.next_ask(data.len()) else {
            return plan.source_ended();
        };
        let write = Write {
            handle: file.handle(),
            offset: ask.offset(),
            data,
        };
        let sender = sender.clone();
        self.session.send(write, move |answer| {
            let _unheard = sender.send((ask, answer));
        });
    }
}
