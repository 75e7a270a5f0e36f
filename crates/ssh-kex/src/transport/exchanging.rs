//! A transport's side of a change of keys: when one begins, how it goes on, what it costs a stranger.

use std::time::Instant;

use super::{MAX_EARLY_EXCHANGES, Transport, TransportEvent};
use crate::error::{Error, Misbehaviour, Phase, Place};
use crate::exchange::{Exchange, ExpectKexInit, Occasion, Setting, Step};
use crate::rekey::Wear;
use crate::wire::{Layer, Packet};

impl Transport {
    /// How many key exchanges were completed so far: the one every connection begins with, and one for each time keys
    /// were changed since.
    pub const fn key_exchanges(&self) -> u64 {
        self.key_exchanges
    }

    /// An exchange costs far more to answer than to ask for: who has not logged in gets a few.
    pub(super) fn count_early_exchange(&mut self) -> Result<(), Misbehaviour> {
        if self.settled == Place::BeforeLogin {
            self.early_exchanges = self.early_exchanges.saturating_add(1);
            if self.early_exchanges > MAX_EARLY_EXCHANGES {
                return Err(Misbehaviour::TooMany {
                    what: "changes of keys before login",
                    limit: MAX_EARLY_EXCHANGES,
                });
            }
        }
        Ok(())
    }

    /// Says our KEXINIT, whether we ask for new keys or answer a peer that does.
    pub(super) fn begin_exchange(&mut self, now: Instant) {
        self.exchange = Exchange::ExpectKexInit(ExpectKexInit::begin(&mut self.link, false));
        self.since = now;
        self.carried_bulk = false;
    }

    /// Whether we should ask for new keys. Before a login nobody does: some peers cannot take it there.
    pub(super) fn is_worn(&self, now: Instant) -> bool {
        let wear = Wear {
            since: self.since,
            carried_bulk: self.carried_bulk,
        };
        matches!(self.exchange, Exchange::Idle)
            && self.settled == Place::AfterLogin
            && self.rekey.is_due(&self.link.wire, &self.negotiated, wear, now)
    }

    fn setting(&mut self) -> (Setting<'_>, &mut Exchange) {
        let occasion = Occasion::Rekey {
            session_id: self.session_id,
            strict: self.strict,
            trust: &self.trust,
        };
        (
            Setting {
                link: &mut self.link,
                peer: &self.peer,
                occasion,
            },
            &mut self.exchange,
        )
    }

    pub(super) fn advance(&mut self, packet: &Packet, now: Instant) -> Result<Option<TransportEvent>, Error> {
        let (mut setting, exchange) = self.setting();
        let event = match std::mem::take(exchange).receive(packet, &mut setting)? {
            Step::Next(next) => {
                *exchange = next;
                None
            }
            Step::Ask(state, offer) => {
                *exchange = Exchange::ExpectVerdict(state);
                Some(TransportEvent::HostKey(offer))
            }
            Step::Done(completed) => {
                self.negotiated = completed.negotiated;
                self.trust = completed.trust;
                self.since = now;
                self.key_exchanges = self.key_exchanges.saturating_add(1);
                if self.settled == Place::AfterLogin {
                    self.link.wire.opener.log_in();
                }
                Some(TransportEvent::Rekeyed)
            }
        };
        self.release_held();
        Ok(event)
    }

    /// Goes on with the application's verdict, if one is due and there.
    pub(super) fn take_verdict(&mut self, now: Instant) -> Result<(), Error> {
        let Some(verdict) = self.verdict.take() else {
            return Ok(());
        };
        let (mut setting, exchange) = self.setting();
        match std::mem::take(exchange) {
            Exchange::ExpectVerdict(state) => {
                *exchange = Exchange::ExpectNewKeys(state.decide(verdict, &mut setting)?);
                self.since = now;
                self.release_held();
            }
            // Nothing was asked: the verdict is about some other connection.
            other => *exchange = other,
        }
        Ok(())
    }

    /// Sends what was held back, as soon as our NEWKEYS is sealed.
    fn release_held(&mut self) {
        if !self.exchange.holds_messages() {
            self.held.flush(&mut self.link.wire.sealer);
        }
    }

    pub(super) fn check_deadline(&self, now: Instant) -> Result<(), Error> {
        match self.deadline() {
            Some(deadline) if self.is_exchanging() && now >= deadline => Err(Error::Timeout {
                phase: Phase::Rekey,
                limit: self.link.config.limits.rekey_deadline,
            }),
            _ => Ok(()),
        }
    }
}
