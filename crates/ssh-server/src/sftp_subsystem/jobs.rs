//! What each request asks of the file system: from a typed question to its answer.
//!
//! Handles are looked up when a request is admitted, in the order the client sent them, so a handle is void for
//! everything that comes behind its CLOSE. The work itself happens later, on another thread, with its own hold on the
//! file.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::schedule::Touch;
use crate::filesystem::{self, Directory, File, Filesystem};
use crate::sftp::extension::ExtendedQuestion;
use crate::sftp::messages::{Close, Handle, Open, OpenDir, Read, ReadDir, Request, Write};
use crate::sftp::server::{Handles, Incoming, Question, ReplyDue, Response};
use crate::sftp::{Name, OpenFlags, Status, StatusCode};
use crate::wire::bytes::{Buf, Bytes};
use crate::wire::usize_from;

/// The work for one request, to be done on a thread that may block.
pub(super) type Work = Box<dyn FnOnce(&dyn Filesystem) -> Finished + Send>;

/// A request ready to be done.
pub(super) struct Job {
    pub(super) touch: Touch,
    /// About how many bytes it moves.
    pub(super) weight_bytes: usize,
    pub(super) work: Work,
}

/// The open files of one conversation.
pub(super) struct Desk {
    handles: Handles<Opened>,
    max_handles: usize,
    /// OPEN and OPENDIR under way: each may need a place in the table.
    opening: usize,
    next_number: u64,
    spare: Vec<Vec<u8>>,
}

/// What a handle stands for.
struct Opened {
    /// The number by which [`Touch`] knows it; never used again in one conversation.
    number: u64,
    kind: Kind,
}

enum Kind {
    File {
        file: Arc<dyn File>,
        append: bool,
    },
    /// The lock is never contended: READDIRs of one handle run one after the other.
    Directory(Arc<Mutex<Listing>>),
}

/// An open directory and the entries that did not fit into the last answer.
struct Listing {
    directory: Box<dyn Directory>,
    waiting: VecDeque<Name>,
    over: bool,
}

/// A request that is done.
pub(super) enum Finished {
    /// Nothing is left but to send the answer.
    Answered(Response),
    /// A file was opened and needs a handle.
    File {
        reply: ReplyDue<Open>,
        opened: io::Result<Arc<dyn File>>,
        append: bool,
    },
    /// A directory was opened and needs a handle.
    Directory {
        reply: ReplyDue<OpenDir>,
        opened: io::Result<Box<dyn Directory>>,
    },
}

impl Desk {
    pub(super) fn new(max_handles: usize) -> Self {
        Self {
            handles: Handles::new(max_handles),
            max_handles,
            opening: 0,
            next_number: 0,
            spare: Vec::new(),
        }
    }

    /// Whether nothing is open.
    pub(super) const fn is_empty(&self) -> bool {
        self.handles.len() == 0
    }

    /// Turns a request into a job. A request that is wrong by itself is answered at once.
    pub(super) fn admit(&mut self, incoming: Incoming) -> Result<Job, Response> {
        let writes = incoming.writes();
        match incoming {
            Incoming::Open(question) => self.open(question),
            Incoming::OpenDir(question) => self.open_directory(question),
            Incoming::Close(question) => self.close(question),
            Incoming::Read(Question { request, reply }) => self.read(request, reply),
            Incoming::Write(Question { request, reply }) => self.write(request, reply),
            Incoming::ReadDir(Question { request, reply }) => self.read_directory(&request, reply),
            Incoming::FStat(Question { request, reply }) => {
                self.on_file(&request.handle, reply, |number, file, reply| {
                    job(Touch::whole(number, writes), move |_| {
                        answer(reply, file.stat(), ReplyDue::attributes)
                    })
                })
            }
            Incoming::FSetStat(Question { request, reply }) => {
                self.on_file(&request.handle, reply, |number, file, reply| {
                    job(Touch::whole(number, writes), move |_| {
                        done(reply, file.set_stat(&request.attributes))
                    })
                })
            }
            Incoming::Extended(question) => self.extended(question, writes),
            by_path => Ok(by_path_job(by_path, Touch::names(writes))),
        }
    }

    /// Takes back what was sent, to be filled again: memory fresh from the system costs a fault for each of its pages.
    pub(super) fn give_back(&mut self, mut sent: Bytes) {
        if self.spare.len() < SPARE_BUFFERS && sent.is_unique() {
            // Emptied first: what is left of it would be moved to the front of the buffer.
            sent.advance(sent.len());
            let mut buffer = Vec::from(sent);
            buffer.clear();
            if buffer.capacity() >= SPARE_BYTES {
                self.spare.push(buffer);
            }
        }
    }

    /// Nothing is being read: nothing is kept for it.
    pub(super) fn rest(&mut self) {
        self.spare = Vec::new();
    }

    /// A buffer for `length` bytes. One that is much larger will not do: file systems fill what they find.
    fn buffer(&mut self, length: usize) -> Vec<u8> {
        let fits =
            |buffer: &Vec<u8>| (length..=length.saturating_add(SPARE_BYTES)).contains(&buffer.capacity());
        self.spare.pop().filter(fits).unwrap_or_default()
    }

    /// Gives what was opened its handle, if it needs one, and the request its answer.
    pub(super) fn finish(&mut self, finished: Finished) -> Response {
        match finished {
            Finished::Answered(response) => response,
            Finished::File {
                reply,
                opened,
                append,
            } => self.opened(reply, opened.map(|file| Kind::File { file, append })),
            Finished::Directory { reply, opened } => {
                let listing = |directory| Listing {
                    directory,
                    waiting: VecDeque::new(),
                    over: false,
                };
                self.opened(
                    reply,
                    opened.map(|opened| Kind::Directory(Arc::new(Mutex::new(listing(opened))))),
                )
            }
        }
    }

    fn opened<R: Request<Answer = Handle>>(
        &mut self,
        reply: ReplyDue<R>,
        kind: io::Result<Kind>,
    ) -> Response {
        self.opening = self.opening.saturating_sub(1);
        let kind = match kind {
            Ok(kind) => kind,
            Err(error) => return reply.status(filesystem::status(&error)),
        };
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        match self.handles.insert(Opened { number, kind }) {
            Ok(handle) => reply.handle(handle),
            Err(_full) => reply.status(too_many_handles()),
        }
    }

    /// Whether the table has no place for one more, those counted that are being opened.
    fn is_full(&self) -> bool {
        self.handles.len().saturating_add(self.opening) >= self.max_handles
    }

    fn open(&mut self, Question { request, reply }: Question<Open>) -> Result<Job, Response> {
        if request.flags.has_unknown() {
            return Err(reply.status(Status::failure("open flags of another version")));
        }
        if self.is_full() {
            return Err(reply.status(too_many_handles()));
        }
        self.opening = self.opening.saturating_add(1);
        let touch = Touch::names(request.writes());
        let work: Work = Box::new(move |files| Finished::File {
            opened: files.open(&request.path, request.flags, &request.attributes),
            append: request.flags.contains(OpenFlags::APPEND),
            reply,
        });
        Ok(Job {
            touch,
            weight_bytes: 0,
            work,
        })
    }

    fn open_directory(&mut self, Question { request, reply }: Question<OpenDir>) -> Result<Job, Response> {
        if self.is_full() {
            return Err(reply.status(too_many_handles()));
        }
        self.opening = self.opening.saturating_add(1);
        let work: Work = Box::new(move |files| Finished::Directory {
            opened: files.open_directory(&request.path),
            reply,
        });
        Ok(Job {
            touch: Touch::names(false),
            weight_bytes: 0,
            work,
        })
    }

    fn close(&mut self, Question { request, reply }: Question<Close>) -> Result<Job, Response> {
        match self.handles.remove(&request.handle) {
            // The last hold on the file is given up on the blocking thread: closing can take its time.
            Ok(opened) => Ok(job(Touch::whole(opened.number, true), move |_| {
                drop(opened);
                reply.ok()
            })),
            Err(status) => Err(reply.status(status)),
        }
    }

    fn read(&mut self, request: Read, reply: ReplyDue<Read>) -> Result<Job, Response> {
        let length = usize_from(request.length);
        let mut data = self.buffer(length);
        self.on_file(&request.handle, reply, |number, file, reply| Job {
            weight_bytes: length,
            ..job(Touch::range(number, request.offset, length, false), move |_| {
                let result = file.read_at(request.offset, length, &mut data);
                answer(reply, result, |reply, _| reply.data(data))
            })
        })
    }

    fn write(&self, request: Write, reply: ReplyDue<Write>) -> Result<Job, Response> {
        let kind = self.handles.find(&request.handle).map(|opened| &opened.kind);
        let append = matches!(kind, Ok(Kind::File { append: true, .. }));
        let length = request.data.len();
        self.on_file(&request.handle, reply, |number, file, reply| Job {
            weight_bytes: length,
            // Whoever appends writes where the last one stopped: such writes keep their order.
            ..job(
                if append {
                    Touch::whole(number, true)
                } else {
                    Touch::range(number, request.offset, length, true)
                },
                move |_| done(reply, file.write_at(request.offset, &request.data)),
            )
        })
    }

    fn read_directory(&self, request: &ReadDir, reply: ReplyDue<ReadDir>) -> Result<Job, Response> {
        let (number, listing) = match self.handles.find(&request.handle) {
            Ok(Opened {
                number,
                kind: Kind::Directory(listing),
            }) => (*number, Arc::clone(listing)),
            Ok(_) => return Err(reply.status(Status::failure("not the handle of a directory"))),
            Err(status) => return Err(reply.status(status)),
        };
        // Reading a directory moves its position: two such requests never run at once.
        Ok(job(Touch::whole(number, true), move |_| {
            let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
            let filled = listing.fill();
            answer(reply, filled, |reply, ()| reply.names(&mut listing.waiting))
        }))
    }

    fn extended(&self, question: ExtendedQuestion, writes: bool) -> Result<Job, Response> {
        let names = Touch::names(writes);
        Ok(match question {
            ExtendedQuestion::PosixRename(Question { request, reply }) => job(names, move |files| {
                done(reply, files.posix_rename(&request.old_path, &request.new_path))
            }),
            ExtendedQuestion::HardLink(Question { request, reply }) => job(names, move |files| {
                done(reply, files.hard_link(&request.old_path, &request.new_path))
            }),
            ExtendedQuestion::LSetStat(Question { request, reply }) => job(names, move |files| {
                done(reply, files.set_link_stat(&request.path, &request.attributes))
            }),
            ExtendedQuestion::StatVfs(Question { request, reply }) => job(names, move |files| {
                answer(reply, files.volume(&request.path), |reply, volume| {
                    reply.statistics(&volume)
                })
            }),
            ExtendedQuestion::FStatVfs(Question { request, reply }) => {
                return self.on_file(&request.handle, reply, |number, file, reply| {
                    job(Touch::whole(number, writes), move |_| {
                        answer(reply, file.volume(), |reply, volume| reply.statistics(&volume))
                    })
                });
            }
            ExtendedQuestion::Fsync(Question { request, reply }) => {
                return self.on_file(&request.handle, reply, |number, file, reply| {
                    job(Touch::whole(number, writes), move |_| done(reply, file.sync()))
                });
            }
            // Only claimed extensions arrive.
            other => return Err(other.status(StatusCode::OP_UNSUPPORTED)),
        })
    }

    /// A job on the open file under `handle`, or the answer that there is none.
    fn on_file<R: Request>(
        &self,
        handle: &Handle,
        reply: ReplyDue<R>,
        then: impl FnOnce(u64, Arc<dyn File>, ReplyDue<R>) -> Job,
    ) -> Result<Job, Response> {
        match self.handles.find(handle) {
            Ok(Opened {
                number,
                kind: Kind::File { file, .. },
            }) => Ok(then(*number, Arc::clone(file), reply)),
            Ok(_) => Err(reply.status(Status::failure("not the handle of a file"))),
            Err(status) => Err(reply.status(status)),
        }
    }
}

impl Listing {
    /// Reads on until there is enough for one answer or nothing is left.
    fn fill(&mut self) -> io::Result<()> {
        let mut bytes: usize = self.waiting.iter().map(name_bytes).sum();
        while !self.over && bytes < LISTING_BYTES {
            match self.directory.next()? {
                Some(name) => {
                    bytes = bytes.saturating_add(name_bytes(&name));
                    self.waiting.push_back(name);
                }
                None => self.over = true,
            }
        }
        Ok(())
    }
}

/// The work of a request that goes by path. Requests by handle never come here.
fn by_path_job(incoming: Incoming, touch: Touch) -> Job {
    match incoming {
        Incoming::Stat(Question { request, reply }) => job(touch, move |files| {
            answer(reply, files.stat(&request.path), ReplyDue::attributes)
        }),
        Incoming::LStat(Question { request, reply }) => job(touch, move |files| {
            answer(reply, files.lstat(&request.path), ReplyDue::attributes)
        }),
        Incoming::SetStat(Question { request, reply }) => job(touch, move |files| {
            done(reply, files.set_stat(&request.path, &request.attributes))
        }),
        Incoming::Remove(Question { request, reply }) => {
            job(touch, move |files| done(reply, files.remove(&request.path)))
        }
        Incoming::MkDir(Question { request, reply }) => job(touch, move |files| {
            done(reply, files.make_directory(&request.path, &request.attributes))
        }),
        Incoming::RmDir(Question { request, reply }) => job(touch, move |files| {
            done(reply, files.remove_directory(&request.path))
        }),
        Incoming::RealPath(Question { request, reply }) => job(touch, move |files| {
            answer(reply, files.real_path(&request.path), ReplyDue::path)
        }),
        Incoming::Rename(Question { request, reply }) => job(touch, move |files| {
            done(reply, files.rename(&request.old_path, &request.new_path))
        }),
        Incoming::ReadLink(Question { request, reply }) => job(touch, move |files| {
            answer(reply, files.read_link(&request.path), ReplyDue::path)
        }),
        Incoming::Symlink(Question { request, reply }) => job(touch, move |files| {
            done(reply, files.symlink(&request.target, &request.link))
        }),
        other => job(touch, move |_| other.status(StatusCode::OP_UNSUPPORTED)),
    }
}

fn job(touch: Touch, work: impl FnOnce(&dyn Filesystem) -> Response + Send + 'static) -> Job {
    Job {
        touch,
        weight_bytes: 0,
        work: Box::new(move |files| Finished::Answered(work(files))),
    }
}

/// Answers with what was found, or with the status of the error.
fn answer<R: Request, T>(
    reply: ReplyDue<R>,
    result: io::Result<T>,
    found: impl FnOnce(ReplyDue<R>, T) -> Response,
) -> Response {
    match result {
        Ok(value) => found(reply, value),
        Err(error) => reply.status(filesystem::status(&error)),
    }
}

/// Answers that it is done, or with the status of the error.
fn done<R: Request<Answer = ()>>(reply: ReplyDue<R>, result: io::Result<()>) -> Response {
    answer(reply, result, |reply, ()| reply.ok())
}

fn too_many_handles() -> Status {
    Status::failure("too many open files")
}

fn name_bytes(name: &Name) -> usize {
    // Three length fields and a full set of attributes stand beside the two texts.
    name.filename
        .len()
        .saturating_add(name.longname.len())
        .saturating_add(44)
}

/// Buffers kept for the next answers: as many as the budget of requests in work has room for.
const SPARE_BUFFERS: usize = 16;
/// Smaller ones are not worth it.
const SPARE_BYTES: usize = 16 * 1024;
/// Entries are read ahead up to about one answer's worth.
const LISTING_BYTES: usize = 32 * 1024;
