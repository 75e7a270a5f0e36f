//! The client's states of an exchange: its share is on its way; then a verdict on the host key is due.

use crate::error::{Error, Misbehaviour};
use crate::exchange::{
    Exchange, ExpectNewKeys, Inits, Link, Occasion, Prepared, Setting, Settled, Step, Terms, Trust, is_guess,
};
use crate::exchange_hash::Digest;
use crate::host_key::{Decision, HostKeyOffer, HostKeyVerdict, ShownHostKey};
use crate::keys::Demands;
use crate::method::{Agreement, ClientHalf, ClientStep, HostKeyProof};
use crate::wire::Packet;

/// Our share is sealed; the server's reply is not here yet.
pub(crate) struct ExpectReply {
    pub(super) terms: Terms,
    inits: Inits,
    half: Box<dyn ClientHalf>,
    skip_guess: bool,
}

impl ExpectReply {
    /// Seals the method's first message. A share prepared for another method is dropped unused.
    pub(super) fn begin(link: &mut Link, terms: Terms, inits: Inits, prepared: Option<Prepared>) -> Self {
        let (half, first_message) = match prepared {
            Some(prepared) if *prepared.method == *terms.choice.kex => {
                (prepared.half, prepared.first_message)
            }
            _ => {
                let context = terms.choice.context(&link.config, &link.tested);
                let half = terms.choice.kex.client_half(&context, &mut *link.rng);
                let first_message = half.first_message();
                (half, first_message)
            }
        };
        link.wire.sealer.seal_payload(&first_message);
        let skip_guess = terms.choice.skip_guess;
        Self {
            terms,
            inits,
            half,
            skip_guess,
        }
    }

    pub(super) fn receive(mut self, packet: &Packet, setting: &mut Setting<'_>) -> Result<Step, Error> {
        if is_guess(self.skip_guess, packet) {
            self.skip_guess = false;
            return Ok(Step::Next(Exchange::ExpectReply(self)));
        }
        match self
            .half
            .receive(&packet.payload, &mut *setting.link.rng)
            .map_err(Misbehaviour::from)?
        {
            ClientStep::Next(half) => {
                setting.link.wire.sealer.seal_payload(&half.first_message());
                Ok(Step::Next(Exchange::ExpectReply(Self { half, ..self })))
            }
            ClientStep::Agreed(agreement, proof) => {
                verify(self.terms, &self.inits, agreement, &proof, setting)
            }
        }
    }
}

/// Checks that the server holds the host key it shows, then whether that key has to be asked about.
fn verify(
    terms: Terms,
    inits: &Inits,
    agreement: Agreement,
    proof: &HostKeyProof<'_>,
    setting: &mut Setting<'_>,
) -> Result<Step, Error> {
    let algorithm = terms.choice.host_key;
    let shown = ShownHostKey::read(proof.host_key, algorithm)?;
    // Before its signature is checked: a key that is too small proves nothing.
    shown
        .key
        .check_rsa_bits(setting.link.config.required_rsa_bits)
        .map_err(|error| Misbehaviour::HostKey(error.to_string()))?;
    let exchange_hash = setting.exchange_hash(inits, terms.choice.kex.hash, proof.host_key, &agreement);
    let valid = shown
        .key
        .verify_demanding(
            algorithm.plain(),
            exchange_hash.as_ref(),
            proof.signature,
            // A host has nobody who touches its security key at each connection; OpenSSH asks for no touch either.
            &Demands::NONE,
        )
        .map_err(Misbehaviour::HostKeySignature)?;
    let settled = Settled {
        terms,
        secret: agreement.secret,
        exchange_hash,
        host_key: proof.host_key.to_vec(),
    };
    let (valid, replaced) = match &setting.occasion {
        Occasion::Rekey {
            trust: Trust::Accepted(known),
            ..
        } => match known.again(&shown.key, valid) {
            Ok(again) => {
                let next = settled.into_new_keys(Trust::Accepted(again), setting)?;
                return Ok(Step::Next(Exchange::ExpectNewKeys(next)));
            }
            Err(valid) => (valid, Some(known.key().clone())),
        },
        Occasion::Rekey {
            trust: Trust::Own, ..
        }
        | Occasion::First => (valid, None),
    };
    let offer = HostKeyOffer::new(shown, algorithm, replaced, exchange_hash, valid);
    Ok(Step::Ask(ExpectVerdict { settled }, offer))
}

/// The server proved its host key; whether it is trusted is for the application to say. Nothing is taken from the peer
/// and nothing that depends on the keys is sent until it has.
pub(crate) struct ExpectVerdict {
    settled: Settled,
}

impl ExpectVerdict {
    pub(crate) fn decide(
        self,
        verdict: HostKeyVerdict,
        setting: &mut Setting<'_>,
    ) -> Result<ExpectNewKeys, Error> {
        let about: Digest = self.settled.exchange_hash;
        match verdict.about(&about) {
            Decision::Accepted(accepted) => self.settled.into_new_keys(Trust::Accepted(accepted), setting),
            Decision::Rejected(why) => Err(Error::HostKeyRejected { why }),
        }
    }
}
