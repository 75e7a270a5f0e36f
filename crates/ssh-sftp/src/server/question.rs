//! A question carries its answers: what the application gets for one request, and what it hands back.

use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;
use std::sync::mpsc::Sender;

use crate::messages::{Answer, Handle, Layout, Name, Reply, Request};
use crate::outbox::write_message;
use crate::wire::Writer;
use crate::wire::bytes::Bytes;
use crate::{Attributes, MAX_MESSAGE_BYTES, Status};

/// The most bytes of names in one reply: a message that every client must take (draft §3: 34,000 bytes).
const NAMES_BYTES: usize = 32 * 1024;

/// What a request weighs in the budget beside its data.
const BASE_WEIGHT_BYTES: usize = 256;

/// A request and its answer still to come. Both move freely between threads.
#[derive(Debug)]
pub struct Question<R: Request> {
    /// What the client asks for.
    pub request: R,
    /// How to answer.
    pub reply: ReplyDue<R>,
}

impl<R: Request> Question<R> {
    pub(crate) fn new(id: u32, request: R) -> Self {
        let asked = request.asked_bytes();
        let place = Place {
            id,
            weight: 0,
            left: None,
        };
        let reply = ReplyDue {
            place,
            asked,
            answers: PhantomData,
        };
        Self { request, reply }
    }
}

/// The answer that is due to an `R`. It has only the methods that answer such a request; each consumes it and
/// gives a [`Response`] for [`Server::answer`](crate::Server::answer). One that is dropped instead (its task was
/// cancelled, or panicked) is answered with a failure at the server's next poll.
#[derive(Debug)]
#[must_use = "a request that is dropped is answered with a failure"]
pub struct ReplyDue<R: Request> {
    place: Place,
    /// The most bytes of file data the answer may carry.
    asked: usize,
    answers: PhantomData<fn() -> R>,
}

/// An answer, ready to be handed to the server: its bytes are written already, outside of any lock.
#[derive(Debug)]
#[must_use = "hand it to Server::answer"]
pub struct Response {
    pub(crate) head: Vec<u8>,
    pub(crate) payload: Option<Bytes>,
    pub(crate) place: Place,
}

/// A request's place among those in work. Dropping it while it is taken tells the server.
#[derive(Debug)]
pub(crate) struct Place {
    id: u32,
    weight: usize,
    /// Where to tell that the place was left without an answer; `None` before the request is in work, and after its
    /// answer was given.
    left: Option<Sender<Abandoned>>,
}

/// A request that was dropped without an answer.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(crate) id: u32,
    pub(crate) weight: usize,
}

impl Place {
    /// The answer was given: what the request weighed.
    pub(crate) fn leave(mut self) -> usize {
        self.left = None;
        self.weight
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(left) = self.left.take() {
            let (id, weight) = (self.id, self.weight);
            // The server may be gone by then; nobody waits for this request any more.
            let _ = left.send(Abandoned { id, weight });
        }
    }
}

impl<R: Request> ReplyDue<R> {
    /// Answers with a status. Success is for requests that are answered by nothing else: see
    /// [`ok`](ReplyDue::<crate::messages::Remove>::ok); for all others it is turned into a failure.
    pub fn status(self, status: impl Into<Status>) -> Response {
        let status = status.into();
        let reply = Reply::Status(status);
        if matches!(&reply, Reply::Status(status) if status.is_ok()) && !R::Answer::fits(&reply) {
            return self.reply(&Reply::Status(Status::failure("there is no answer")));
        }
        self.reply(&reply)
    }

    /// Answers with the status an error of the operating system stands for.
    pub fn error(self, error: &io::Error) -> Response {
        self.status(error)
    }

    pub(crate) fn id(&self) -> u32 {
        self.place.id
    }

    /// Takes a place among the requests in work. In the server's budget it weighs the request's own bytes or those of
    /// its answer, whichever are more; `left` is told when the place is left without an answer.
    pub(crate) fn begin(&mut self, message_bytes: usize, left: Sender<Abandoned>) -> usize {
        self.place.weight = message_bytes.max(self.asked).saturating_add(BASE_WEIGHT_BYTES);
        self.place.left = Some(left);
        self.place.weight
    }

    pub(crate) fn limit_data(&mut self, bytes: usize) {
        self.asked = self.asked.min(bytes);
    }

    pub(crate) fn reply(self, reply: &Reply) -> Response {
        let payload = reply.payload().cloned();
        self.response(reply.number(), payload, |out| reply.put(out))
    }

    fn response(
        self,
        number: u8,
        mut payload: Option<Bytes>,
        fields: impl FnOnce(&mut Writer<'_>),
    ) -> Response {
        let id = self.place.id;
        let mut head = Vec::new();
        let bytes = write_message(&mut head, number, payload.as_ref(), |out| {
            out.uint32(id);
            fields(out);
        });
        if bytes > MAX_MESSAGE_BYTES {
            // No client would take it: a name, a path or a text of absurd length.
            let reply = Reply::Status(Status::failure("the answer is too long"));
            (head, payload) = (Vec::new(), None);
            write_message(&mut head, reply.number(), None, |out| {
                out.uint32(id);
                reply.put(out);
            });
        }
        Response {
            head,
            payload,
            place: self.place,
        }
    }
}

impl<R: Request<Answer = ()>> ReplyDue<R> {
    /// It is done.
    pub fn ok(self) -> Response {
        self.reply(&Reply::Status(Status::ok()))
    }
}

impl<R: Request<Answer = Handle>> ReplyDue<R> {
    /// It is open under this handle.
    pub fn handle(self, handle: Handle) -> Response {
        self.reply(&Reply::Handle(handle))
    }
}

impl<R: Request<Answer = Bytes>> ReplyDue<R> {
    /// The data; no data says that the file has ended. What is beyond the length that was asked for is cut off.
    pub fn data(self, data: impl Into<Bytes>) -> Response {
        let mut data = data.into();
        data.truncate(self.asked);
        if data.is_empty() && self.asked > 0 {
            return self.reply(&Reply::Status(Status::eof()));
        }
        self.reply(&Reply::Data(data))
    }
}

impl<R: Request<Answer = Attributes>> ReplyDue<R> {
    /// The attributes.
    pub fn attributes(self, attributes: Attributes) -> Response {
        self.reply(&Reply::Attributes(attributes))
    }
}

impl<R: Request<Answer = Vec<u8>>> ReplyDue<R> {
    /// The path: NAME with one entry, its long name the same, its attributes empty.
    pub fn path(self, path: Vec<u8>) -> Response {
        let name = Name {
            longname: path.clone(),
            filename: path,
            attributes: Attributes::default(),
        };
        self.reply(&Reply::Names(vec![name]))
    }
}

impl<R: Request<Answer = Vec<Name>>> ReplyDue<R> {
    /// The next names: as many as fit in one reply are taken from the front, the others stay for the next READDIR.
    /// No names at all says that the list has ended.
    pub fn names(self, names: &mut VecDeque<Name>) -> Response {
        let mut bytes = Vec::new();
        let mut count = 0u32;
        while let Some(name) = names.front() {
            let before = bytes.len();
            name.put(&mut Writer::new(&mut bytes));
            if bytes.len() > NAMES_BYTES && before > 0 {
                bytes.truncate(before);
                break;
            }
            names.pop_front();
            count = count.saturating_add(1);
        }
        if count == 0 {
            return self.reply(&Reply::Status(Status::eof()));
        }
        self.response(crate::messages::NAME, None, |out| {
            out.uint32(count);
            out.raw(&bytes);
        })
    }
}
