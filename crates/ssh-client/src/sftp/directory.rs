//! A directory of the server's, read piece by piece: its names pass through, however many there are.

use std::vec;

use tokio::sync::mpsc;

use super::Sftp;
use super::error::SftpFault;
use super::file::File;
use crate::error::Error;
use crate::sftp_protocol::client::transfer::Listing;
use crate::sftp_protocol::messages::{OpenDir, ReadDir};
use crate::sftp_protocol::{Name, StatusCode};

type Answer = Result<Vec<Name>, SftpFault>;

/// An open directory. It holds the names of two answers of the server and those of the last one that are still to be
/// taken, so that a listing of any length needs no more memory than a short one. Dropping it closes it on the server.
pub struct Directory {
    file: File,
    plan: Listing,
    /// No more answers than the plan has asked for.
    answers: mpsc::UnboundedReceiver<Answer>,
    sender: mpsc::UnboundedSender<Answer>,
    names: vec::IntoIter<Name>,
}

impl Sftp {
    /// Opens a directory for reading its names one by one.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn open_dir(&self, path: impl AsRef<[u8]>) -> Result<Directory, Error> {
        let path = path.as_ref();
        let open = OpenDir { path: path.to_vec() };
        let file = self
            .opened(open, path)
            .await
            .map_err(|fault| fault.at("list", path))?;
        let (sender, answers) = mpsc::unbounded_channel();
        Ok(Directory {
            file,
            plan: Listing::default(),
            answers,
            sender,
            names: Vec::new().into_iter(),
        })
    }
}

impl Directory {
    /// The next name, in the server's order; `None` at the end. `.` and `..` are left out, and so is a name that could
    /// lead elsewhere (one with a slash or a NUL in it): no honest server sends one. Dropping the future loses no name.
    ///
    /// # Errors
    /// What the server answers, and that it goes on for ever.
    pub async fn next(&mut self) -> Result<Option<Name>, Error> {
        loop {
            if let Some(name) = self.names.find(Name::is_plain) {
                return Ok(Some(name));
            }
            let filled = self.fill().await;
            if !filled.map_err(|fault| fault.at("list", self.file.path()))? {
                return Ok(None);
            }
        }
    }

    /// Closes it and says whether that went well.
    ///
    /// # Errors
    /// What the server answers.
    pub async fn close(self) -> Result<(), Error> {
        self.file.close().await
    }

    /// Takes the next answer. False at the end.
    async fn fill(&mut self) -> Result<bool, SftpFault> {
        while self.plan.next_ask() {
            let sender = self.sender.clone();
            let ask = ReadDir {
                handle: self.file.handle(),
            };
            self.file.session().send(ask, move |answer| {
                // Nobody waits: the directory was dropped.
                let _unheard = sender.send(answer);
            });
        }
        if self.plan.is_finished() {
            return Ok(false);
        }
        let Some(answer) = self.answers.recv().await else {
            return Ok(false);
        };
        match answer {
            Ok(names) => {
                self.plan.received(names.len())?;
                self.names = names.into_iter();
            }
            Err(SftpFault::Refused(status)) if status.code == StatusCode::EOF => self.plan.ended(),
            Err(fault) => {
                self.plan.ended();
                return Err(fault);
            }
        }
        Ok(true)
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory")
            .field("path", &self.file.path().escape_ascii().to_string())
            .finish_non_exhaustive()
    }
}
