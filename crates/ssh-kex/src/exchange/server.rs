//! The server's state of an exchange: it waits for the client's share, then proves its host key.

use std::sync::Arc;

use crate::error::{Error, Incompatible, Misbehaviour, Negotiable};
use crate::exchange::{Exchange, Inits, Link, Setting, Settled, Terms, Trust, is_guess};
use crate::method::{Agreement, ReplyForm, ServerHalf, ServerStep};
use crate::negotiate::signer_for;
use crate::wire::Packet;

/// The KEXINITs agree; the client's share is not here yet.
pub(crate) struct ExpectInit {
    pub(super) terms: Terms,
    inits: Inits,
    half: Box<dyn ServerHalf>,
    skip_guess: bool,
}

impl ExpectInit {
    /// Makes our half at once: most methods have their key pair ready before the client's share arrives.
    pub(super) fn begin(link: &mut Link, terms: Terms, inits: Inits) -> Self {
        let context = terms.choice.context(&link.config, &link.tested);
        let half = terms.choice.kex.server_half(&context, &mut *link.rng);
        let skip_guess = terms.choice.skip_guess;
        Self {
            terms,
            inits,
            half,
            skip_guess,
        }
    }

    pub(super) fn receive(mut self, packet: &Packet, setting: &mut Setting<'_>) -> Result<Exchange, Error> {
        if is_guess(self.skip_guess, packet) {
            self.skip_guess = false;
            return Ok(Exchange::ExpectInit(self));
        }
        let link = &mut *setting.link;
        match self
            .half
            .receive(&packet.payload, &mut *link.rng)
            .map_err(Misbehaviour::from)?
        {
            ServerStep::Send(payload, half) => {
                link.wire.sealer.seal_payload(&payload);
                Ok(Exchange::ExpectInit(Self { half, ..self }))
            }
            ServerStep::Agreed(agreement, form) => sign(self.terms, &self.inits, agreement, &form, setting),
        }
    }
}

/// Signs the exchange hash with the host key that was agreed on and seals the reply, NEWKEYS right behind it.
fn sign(
    terms: Terms,
    inits: &Inits,
    agreement: Agreement,
    form: &ReplyForm,
    setting: &mut Setting<'_>,
) -> Result<Exchange, Error> {
    let algorithm = terms.choice.host_key;
    // Only algorithms that a key of ours can make were offered, so this finds one unless a signer changed its mind.
    let Some(signer) = signer_for(&setting.link.host_keys, algorithm).map(Arc::clone) else {
        return Err(Incompatible {
            what: Negotiable::HostKey,
            ours: Vec::new(),
            theirs: Vec::new(),
        }
        .into());
    };
    let host_key = match signer.certificate().filter(|_| algorithm.is_certificate()) {
        Some(certificate) => certificate.blob(),
        None => signer.public_key().blob(),
    };
    let exchange_hash = setting.exchange_hash(inits, terms.choice.kex.hash, host_key, &agreement);
    let signature = signer
        .sign(algorithm, exchange_hash.as_ref())
        .map_err(Error::Signing)?;
    setting
        .link
        .wire
        .sealer
        .seal_payload(&form.fill(host_key, &signature));
    let settled = Settled {
        terms,
        secret: agreement.secret,
        exchange_hash,
        host_key: host_key.to_vec(),
    };
    Ok(Exchange::ExpectNewKeys(
        settled.into_new_keys(Trust::Own, setting)?,
    ))
}
