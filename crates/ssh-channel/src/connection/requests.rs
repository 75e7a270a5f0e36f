//! Requests about channels and about the connection, and their replies (RFC 4254 §4, §5.4).

use super::{Asked, Connection};
use crate::channel::Sending;
use crate::error::{Misbehaviour, Misuse};
use crate::event::{Event, GlobalReplyDue, ReplyDue};
use crate::global::{self, GlobalRequest};
use crate::messages::{self, ChannelFailure, ChannelSuccess, RequestFailure, RequestSuccess};
use crate::request::ChannelRequest;
use crate::table::ChannelId;
use crate::wire::{Message, Rest};

impl Connection {
    /// Asks something about a channel. If a reply is wanted, [`Event::Reply`] will follow, in the order of the
    /// requests on this channel.
    pub fn request(
        &mut self,
        id: ChannelId,
        request: &ChannelRequest,
        want_reply: bool,
    ) -> Result<(), Misuse> {
        if matches!(request, ChannelRequest::Unknown { .. }) {
            return Err(Misuse::NotSendable);
        }
        let fields = request.fields();
        match self.may_ask(fields.len()) {
            // How a program ended is said once, and nobody can say it later.
            Err(Misuse::Busy) if request.is_farewell() => {}
            asked => asked?,
        }
        let channel = self.channels.get_mut(id).ok_or(Misuse::UnknownChannel(id))?;
        let recipient = channel.speak(id)?.number;
        if want_reply {
            let limit = self.config.limits.replies_expected;
            if channel.replies_expected >= limit {
                return Err(Misuse::TooManyRequests { limit });
            }
            channel.replies_expected = channel.replies_expected.saturating_add(1);
        }
        self.send(&messages::ChannelRequest {
            recipient,
            request_type: request.name(),
            want_reply,
            data: Rest(&fields),
        });
        Ok(())
    }

    /// Answers a request of the peer's about a channel. It leaves when all before it have been answered.
    pub fn answer(&mut self, reply: ReplyDue, success: bool) {
        if let Some(channel) = self.channels.get_mut(reply.id) {
            channel.replies_due.answer(reply.number, success);
            self.send_replies(reply.id);
        }
    }

    /// Asks something about the connection. If a reply is wanted, [`Event::GlobalReply`] will follow, in the order of
    /// the requests.
    pub fn global_request(&mut self, request: &GlobalRequest, want_reply: bool) -> Result<(), Misuse> {
        self.ask_global(request, want_reply.then_some(Asked::Application))
    }

    /// Asks the peer for a sign of life: [`Event::KeepaliveReply`] will follow if it is there.
    pub fn keepalive(&mut self) -> Result<(), Misuse> {
        self.ask_global(&GlobalRequest::Keepalive, Some(Asked::Keepalive))
    }

    fn ask_global(&mut self, request: &GlobalRequest, asked: Option<Asked>) -> Result<(), Misuse> {
        if matches!(request, GlobalRequest::Unknown { .. }) {
            return Err(Misuse::NotSendable);
        }
        let fields = request.fields();
        self.may_ask(fields.len())?;
        let limit = self.config.limits.replies_expected;
        if asked.is_some() && self.global_expected.len() >= limit {
            return Err(Misuse::TooManyRequests { limit });
        }
        self.global_expected.extend(asked);
        self.send(&messages::GlobalRequest {
            name: request.name(),
            want_reply: asked.is_some(),
            data: Rest(&fields),
        });
        Ok(())
    }

    /// Answers a request of the peer's about the connection: what it yields (nothing, for most), or `None` if it is not
    /// granted. It leaves when all before it have been answered.
    pub fn answer_global(&mut self, reply: GlobalReplyDue, answer: Option<Vec<u8>>) {
        self.global_due.answer(reply.number, answer);
        self.send_global_replies();
    }

    pub(super) fn received_request(
        &mut self,
        message: &messages::ChannelRequest<'_>,
    ) -> Result<(), Misbehaviour> {
        let id = ChannelId(message.recipient);
        let name = messages::ChannelRequest::NAME;
        let channel = self.channels.heard(id, name)?;
        if channel.hear(id, name)?.ours == Sending::Closed {
            return Ok(());
        }
        let mut reply = None;
        if message.want_reply {
            let limit = self.config.limits.replies_due;
            if channel.replies_due.len() >= limit {
                return Err(Misbehaviour::TooManyRequests { limit });
            }
            let number = channel.replies_due.expect();
            reply = Some(ReplyDue { id, number });
        }
        if message.request_type == global::KEEPALIVE {
            self.answer_if_due(reply, true);
            return Ok(());
        }
        let fields = message.data.0;
        if fields.len() > self.config.limits.request_bytes {
            self.answer_if_due(reply, false);
            return Ok(());
        }
        let request = match ChannelRequest::decode(message.request_type, fields) {
            Some(Ok(request)) => request,
            Some(Err(_)) | None => {
                self.answer_if_due(reply.take(), false);
                ChannelRequest::Unknown {
                    name: message.request_type.to_owned(),
                    data: fields.to_vec(),
                }
            }
        };
        self.events.push_back(Event::Request { id, request, reply });
        Ok(())
    }

    fn answer_if_due(&mut self, reply: Option<ReplyDue>, success: bool) {
        if let Some(reply) = reply {
            self.answer(reply, success);
        }
    }

    /// Sends the replies of a channel whose turn has come.
    fn send_replies(&mut self, id: ChannelId) {
        while let Some(channel) = self.channels.get_mut(id) {
            let Ok(recipient) = channel.speak(id).map(|link| link.number) else {
                return;
            };
            match channel.replies_due.next_ready() {
                Some(true) => self.send(&ChannelSuccess { recipient }),
                Some(false) => self.send(&ChannelFailure { recipient }),
                None => return,
            }
        }
    }

    pub(super) fn received_success(&mut self, message: &ChannelSuccess) -> Result<(), Misbehaviour> {
        self.received_reply(ChannelId(message.recipient), ChannelSuccess::NAME, true)
    }

    pub(super) fn received_failure(&mut self, message: &ChannelFailure) -> Result<(), Misbehaviour> {
        self.received_reply(ChannelId(message.recipient), ChannelFailure::NAME, false)
    }

    fn received_reply(
        &mut self,
        id: ChannelId,
        message: &'static str,
        success: bool,
    ) -> Result<(), Misbehaviour> {
        let channel = self.channels.heard(id, message)?;
        channel.hear(id, message)?;
        let Some(left) = channel.replies_expected.checked_sub(1) else {
            return self.unsolicited();
        };
        channel.replies_expected = left;
        if !channel.is_abandoned() {
            self.events.push_back(Event::Reply { id, success });
        }
        Ok(())
    }

    fn unsolicited(&mut self) -> Result<(), Misbehaviour> {
        let limit = self.config.limits.unsolicited_replies;
        self.unsolicited_replies = self.unsolicited_replies.saturating_add(1);
        if self.unsolicited_replies > limit {
            return Err(Misbehaviour::TooManyReplies { limit });
        }
        Ok(())
    }

    pub(super) fn received_global_request(
        &mut self,
        message: &messages::GlobalRequest<'_>,
    ) -> Result<(), Misbehaviour> {
        let mut reply = None;
        if message.want_reply {
            let limit = self.config.limits.replies_due;
            if self.global_due.len() >= limit {
                return Err(Misbehaviour::TooManyRequests { limit });
            }
            reply = Some(GlobalReplyDue {
                number: self.global_due.expect(),
            });
        }
        let fields = message.data.0;
        if message.name == global::KEEPALIVE {
            self.answer_global_if_due(reply, Some(Vec::new()));
            return Ok(());
        }
        if fields.len() > self.config.limits.request_bytes {
            self.answer_global_if_due(reply, None);
            return Ok(());
        }
        let request = match GlobalRequest::decode(message.name, fields) {
            Some(Ok(GlobalRequest::NoMoreSessions)) => {
                self.no_more_sessions = true;
                self.answer_global_if_due(reply.take(), Some(Vec::new()));
                GlobalRequest::NoMoreSessions
            }
            Some(Ok(request)) => request,
            Some(Err(_)) | None => {
                self.answer_global_if_due(reply.take(), None);
                GlobalRequest::Unknown {
                    name: message.name.to_owned(),
                    data: fields.to_vec(),
                }
            }
        };
        self.events.push_back(Event::GlobalRequest { request, reply });
        Ok(())
    }

    fn answer_global_if_due(&mut self, reply: Option<GlobalReplyDue>, answer: Option<Vec<u8>>) {
        if let Some(reply) = reply {
            self.answer_global(reply, answer);
        }
    }

    /// Sends the replies about the connection whose turn has come.
    fn send_global_replies(&mut self) {
        while let Some(answer) = self.global_due.next_ready() {
            match answer {
                Some(data) => self.send(&RequestSuccess { data: Rest(&data) }),
                None => self.send(&RequestFailure {}),
            }
        }
    }

    pub(super) fn received_global_success(
        &mut self,
        message: &RequestSuccess<'_>,
    ) -> Result<(), Misbehaviour> {
        self.received_global_reply(Some(message.data.0))
    }

    pub(super) fn received_global_failure(&mut self, _message: &RequestFailure) -> Result<(), Misbehaviour> {
        self.received_global_reply(None)
    }

    fn received_global_reply(&mut self, answer: Option<&[u8]>) -> Result<(), Misbehaviour> {
        match self.global_expected.pop_front() {
            None => return self.unsolicited(),
            Some(Asked::Keepalive) => self.events.push_back(Event::KeepaliveReply),
            Some(Asked::Application) => self
                .events
                .push_back(Event::GlobalReply(answer.map(<[u8]>::to_vec))),
        }
        Ok(())
    }
}
