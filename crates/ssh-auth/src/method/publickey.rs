//! Method `publickey` (RFC 4252 §7, algorithm names RFC 8332 §3.2).
//!
//! ```text
//!  client                                              server
//!    50 publickey FALSE, algorithm, key ──────────────▶ PublicKeyQuery: would it help?
//!    SigningRequest ◀───────────────── 60 PK_OK ─────── yes
//!    50 publickey TRUE, algorithm, key, signature ────▶ signature checked ─▶ PublicKeyAttempt
//! ```
//!
//! Under the name [`HOSTBOUND`] the same request holds the server's host key behind the user's, so the signature says
//! which server it is for, and an agent or a key on a card can tell (OpenSSH `PROTOCOL` §3.1). A client uses that name with
//! servers that announced it; a server refuses a request that names another host key than the one of its first exchange.
//!
//! The query may be left out; a client with one key does. A query proves nothing and is forgotten as soon as it is
//! answered: who a session belongs to depends on the key that signed, and on no other (CVE-2024-45337).

use super::{Conversation, Dialogue, Event, Judgement, Method, Outbox, Request, Step, Weight};
use crate::client;
use crate::error::{Misbehaviour, Place};
use crate::kex::{Extensions, Quirk, Quirks, SendError, Transport};
use crate::keys::{
    Demands, PublicKey, SecurityKeyUse, SignatureAlgorithm, SignatureError, SignatureValid, Signer,
};
use crate::messages::UserauthRequest;
use crate::server::{Claim, Verdict};
use crate::session::Factor;
use crate::ticket::Ticket;
use crate::wire::{DecodeError, Encode, Message, Packet, Reader, Tier, Writer, message};

/// Method `publickey`.
pub(super) static METHOD: Method = Method {
    name: "publickey",
    forms: &[HOSTBOUND],
    request: requested,
};

/// The name of requests that hold the server's host key.
pub(super) const HOSTBOUND: &str = "publickey-hostbound-v00@openssh.com";

message! {
    /// RFC 4252 §7, server to client: a signature by this key would help.
    pub struct PkOk<'a> = 60, "SSH_MSG_USERAUTH_PK_OK" {
        /// The algorithm that was asked about.
        pub algorithm_name: &'a str,
        /// The blob of the key that was asked about.
        pub public_key_blob: &'a [u8],
    }
}

/// The method's own fields in USERAUTH_REQUEST: `boolean`, algorithm, key, the server's host key if the form is the one
/// that holds it, and after TRUE a signature.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fields<'a> {
    algorithm_name: &'a str,
    public_key_blob: &'a [u8],
    host_key: Option<&'a [u8]>,
    signature: Option<&'a [u8]>,
}

impl Encode for Fields<'_> {
    fn encode(&self, writer: &mut Writer<'_>) {
        write_fields(
            writer,
            self.signature.is_some(),
            self.algorithm_name,
            self.public_key_blob,
            self.host_key,
        );
        if let Some(signature) = &self.signature {
            signature.encode(writer);
        }
    }
}

impl<'a> Fields<'a> {
    /// Reads all of `bytes`; the form says whether a host key stands in them.
    fn read(bytes: &'a [u8], form: &str) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let signed = reader.boolean()?;
        let algorithm_name = reader.utf8()?;
        let public_key_blob = reader.string()?;
        let host_key = if form == HOSTBOUND {
            Some(reader.string()?)
        } else {
            None
        };
        let signature = if signed { Some(reader.string()?) } else { None };
        reader.finish()?;
        Ok(Self {
            algorithm_name,
            public_key_blob,
            host_key,
            signature,
        })
    }
}

/// The name of the request's form.
const fn form(host_key: Option<&[u8]>) -> &'static str {
    match host_key {
        Some(_) => HOSTBOUND,
        None => METHOD.name,
    }
}

/// The fields without the signature: what is sent before it, and the end of what it is made over.
fn write_fields(
    writer: &mut Writer<'_>,
    signed: bool,
    algorithm_name: &str,
    public_key_blob: &[u8],
    host_key: Option<&[u8]>,
) {
    writer.boolean(signed);
    writer.string(algorithm_name.as_bytes());
    writer.string(public_key_blob);
    if let Some(host_key) = host_key {
        writer.string(host_key);
    }
}

/// What a login by `key` signs: the session identifier, then the request as it is sent, up to the signature.
fn signed_data(
    session_id: &[u8],
    user: &str,
    algorithm: &SignatureAlgorithm,
    key: &PublicKey,
    host_key: Option<&[u8]>,
) -> Vec<u8> {
    let mut fields = Vec::new();
    write_fields(
        &mut Writer::new(&mut fields),
        true,
        algorithm.name,
        key.blob(),
        host_key,
    );
    let request: UserauthRequest<'_> = super::request(user, form(host_key), &fields);
    let mut data = Vec::new();
    let mut writer = Writer::new(&mut data);
    writer.string(session_id);
    request.encode(&mut writer);
    data
}

fn requested(request: Request<'_>) -> Result<Judgement, DecodeError> {
    let fields = Fields::read(request.fields, request.method_name)?;
    let weight = if fields.signature.is_some() {
        Weight::Attempt
    } else {
        Weight::Query
    };
    let Some((algorithm, key)) = usable(&request, &fields) else {
        return Ok(Judgement::Refuse(weight, None));
    };
    let Some(signature) = fields.signature else {
        return Ok(Judgement::Ask(
            PublicKeyQuery {
                claim: request.claim,
                key,
                algorithm,
            }
            .into(),
            weight,
        ));
    };
    // Whoever is named, the signature is checked first: what it costs says nothing about the user.
    let user = request.claim.user();
    let data = signed_data(request.session_id, user, algorithm, &key, fields.host_key);
    // What the owner of a security key had to do for it, the application says when it accepts.
    Ok(
        match key.verify_demanding(algorithm, &data, signature, &Demands::NONE) {
            Ok(proof) => Judgement::Ask(
                PublicKeyAttempt {
                    claim: request.claim,
                    key,
                    algorithm,
                    proof,
                }
                .into(),
                weight,
            ),
            Err(_) => Judgement::Refuse(weight, Some(key)),
        },
    )
}

/// The algorithm and key of a request, if they are ones this server takes, and the request is not meant for another
/// server. A key that this user has already proved is not taken: two factors must be two.
fn usable(request: &Request<'_>, fields: &Fields<'_>) -> Option<(&'static SignatureAlgorithm, PublicKey)> {
    if fields.host_key.is_some_and(|named| named != request.host_key) {
        return None;
    }
    let mut algorithms = request.key_algorithms.iter().copied();
    let algorithm = algorithms.find(|each| each.name == fields.algorithm_name)?;
    let key = PublicKey::from_blob(fields.public_key_blob).ok()?;
    key.check_rsa_bits(request.required_rsa_bits).ok()?;
    let repeated = request.proved.iter().any(|factor| factor.key() == Some(&key));
    (key.key_type() == algorithm.key_type && !repeated).then_some((algorithm, key))
}

/// Somebody asks whether a signature by a key would help. That they hold the key is not proved.
#[derive(Debug)]
#[must_use = "the peer waits until a verdict is handed to `answer`"]
pub struct PublicKeyQuery {
    claim: Claim,
    key: PublicKey,
    algorithm: &'static SignatureAlgorithm,
}

impl PublicKeyQuery {
    /// Who, as they say.
    pub fn user(&self) -> &str {
        self.claim.user()
    }

    /// The key asked about. Not an identity: nothing shows that the peer holds it.
    pub const fn key_asked_about(&self) -> &PublicKey {
        &self.key
    }

    /// The algorithm the signature would be made with.
    pub const fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }

    /// It would help. This logs nobody in.
    pub fn accept(self) -> Verdict {
        self.claim.reply(Box::new(KeyAcceptable {
            key: self.key,
            algorithm: self.algorithm,
        }))
    }

    /// It would not.
    pub fn reject(self) -> Verdict {
        self.claim.reject()
    }
}

#[derive(Debug)]
struct KeyAcceptable {
    key: PublicKey,
    algorithm: &'static SignatureAlgorithm,
}

impl Dialogue for KeyAcceptable {
    fn method(&self) -> &'static Method {
        &METHOD
    }

    fn send(&self, transport: &mut Transport) -> Result<(), SendError> {
        transport.send(&PkOk {
            algorithm_name: self.algorithm.name,
            public_key_blob: self.key.blob(),
        })
    }
}

/// Somebody has proved to hold a key. Whether the key may log this user in is the question.
#[derive(Debug)]
#[must_use = "the peer waits until a verdict is handed to `answer`"]
pub struct PublicKeyAttempt {
    claim: Claim,
    key: PublicKey,
    algorithm: &'static SignatureAlgorithm,
    proof: SignatureValid,
}

impl PublicKeyAttempt {
    /// Who, as they say.
    pub fn user(&self) -> &str {
        self.claim.user()
    }

    /// The key that signed.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The algorithm it signed with.
    pub const fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }

    /// What a security key said of the signature it made; `None` for other keys.
    pub const fn security_key(&self) -> Option<&SecurityKeyUse> {
        self.proof.security_key()
    }

    /// Whether the owner of a security key did what is demanded. Of other keys nothing is asked.
    ///
    /// # Errors
    /// [`SignatureError::NotTouched`] or [`SignatureError::NotVerified`].
    pub fn meets(&self, demands: &Demands) -> Result<(), SignatureError> {
        self.proof.meets(demands)
    }

    /// The key may log this user in. A security key must have been touched for it, or this is a no.
    pub fn accept(self) -> Verdict {
        self.accept_demanding(&Demands::default())
    }

    /// The key may log this user in if the owner of a security key did what is demanded; otherwise this is a no. Other
    /// keys meet every demand: see [`PublicKey::is_security_key`].
    pub fn accept_demanding(self, demands: &Demands) -> Verdict {
        let Self {
            claim, key, proof, ..
        } = self;
        match proof.meets(demands) {
            Ok(()) => claim.accept(proved(key, proof)),
            Err(_) => claim.reject(),
        }
    }

    /// The key is good for this user, and one of these methods must succeed too. A security key must have been touched.
    pub fn partial(self, methods: &[&'static Method]) -> Verdict {
        let Self {
            claim, key, proof, ..
        } = self;
        match proof.meets(&Demands::default()) {
            Ok(()) => claim.partial(proved(key, proof), methods),
            Err(_) => claim.reject(),
        }
    }

    /// No.
    pub fn reject(self) -> Verdict {
        self.claim.reject()
    }
}

/// On the server a key is a factor only together with the proof that it signed.
fn proved(key: PublicKey, _proof: SignatureValid) -> Factor {
    Factor::new(&METHOD, Some(key))
}

/// The algorithm to sign with: the first of the signer's that the server named in `server-sig-algs` (RFC 8308 §3.1).
/// Legacy ones are never chosen for a login, whatever a server names, nor those of certificates: a request holds the bare
/// key.
///
/// A server that named none is tried with the signer's first. So is a key that knows one algorithm only: some servers
/// list just the algorithms they think need telling, and a refusal costs no more than not trying. Nor does the list of a
/// server count that is known to leave out what it takes ([`Quirk::HidesRsaSha2`]).
pub fn choose_algorithm(
    signer: &dyn Signer,
    server: &Extensions,
    quirks: Quirks,
) -> Option<&'static SignatureAlgorithm> {
    let mut algorithms = signer
        .algorithms()
        .iter()
        .copied()
        .filter(|each| each.tier != Tier::Legacy && !each.is_certificate());
    if quirks.has(Quirk::HidesRsaSha2) && signer.public_key().key_type() == "ssh-rsa" {
        return algorithms.next();
    }
    match &server.server_sig_algs {
        Some(names) if algorithms.clone().count() > 1 => {
            algorithms.find(|algorithm| names.iter().any(|name| name == algorithm.name))
        }
        _ => algorithms.next(),
    }
}

impl client::Turn {
    /// Tries a key by signing at once: one round trip. Right where there is one key, or its use costs nobody a touch.
    pub fn publickey(self, key: PublicKey, algorithm: &'static SignatureAlgorithm) -> client::Attempt {
        self.start(Box::new(DirectRequest(Offer::new(key, algorithm))))
    }

    /// Tries a key by asking first whether the server takes it: a signature is wanted only if it does.
    pub fn publickey_query(self, key: PublicKey, algorithm: &'static SignatureAlgorithm) -> client::Attempt {
        self.start(Box::new(QueryRequest(Offer::new(key, algorithm))))
    }
}

/// A key and how it would sign.
#[derive(Debug, Clone)]
struct Offer {
    key: PublicKey,
    algorithm: &'static SignatureAlgorithm,
    /// The server's host key, where the request is to hold it.
    host_key: Option<Vec<u8>>,
}

impl Offer {
    const fn new(key: PublicKey, algorithm: &'static SignatureAlgorithm) -> Self {
        Self {
            key,
            algorithm,
            host_key: None,
        }
    }

    /// Names the server's host key in the request, if the server takes that.
    fn bind(self, transport: &Transport) -> Self {
        let bound = transport.extensions().publickey_hostbound;
        Self {
            host_key: bound.then(|| transport.initial_host_key().to_vec()),
            ..self
        }
    }

    fn request(&self, signature: Option<&[u8]>, outbox: &mut Outbox<'_>) -> Result<(), SendError> {
        outbox.request(form(self.host_key.as_deref()), &self.fields(signature))
    }

    fn factor(&self) -> Factor {
        Factor::new(&METHOD, Some(self.key.clone()))
    }

    /// Asks the application for the signature.
    fn ask(self, outbox: &Outbox<'_>) -> Step {
        let session_id = outbox.transport.session_id();
        let user = outbox.user.as_str();
        let host_key = self.host_key.as_deref();
        let data = signed_data(session_id, user, self.algorithm, &self.key, host_key);
        Step::Ask(Event::SignatureWanted(SigningRequest {
            ticket: outbox.ticket.clone(),
            data,
            offer: self,
        }))
    }

    fn fields<'a>(&'a self, signature: Option<&'a [u8]>) -> Vec<u8> {
        let fields = Fields {
            algorithm_name: self.algorithm.name,
            public_key_blob: self.key.blob(),
            host_key: self.host_key.as_deref(),
            signature,
        };
        fields.to_bytes()
    }
}

/// Signs without asking first.
#[derive(Debug)]
struct DirectRequest(Offer);

impl Conversation for DirectRequest {
    fn factor(&self) -> Factor {
        self.0.factor()
    }

    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError> {
        Ok(self.0.bind(outbox.transport).ask(outbox))
    }

    fn message(self: Box<Self>, packet: &Packet, _outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour> {
        Err(out_of_place(packet))
    }
}

/// Asks first.
#[derive(Debug)]
struct QueryRequest(Offer);

impl Conversation for QueryRequest {
    fn factor(&self) -> Factor {
        self.0.factor()
    }

    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError> {
        let offer = self.0.bind(outbox.transport);
        offer.request(None, outbox)?;
        Ok(Step::ExpectReply(Box::new(Self(offer))))
    }

    fn message(self: Box<Self>, packet: &Packet, outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour> {
        if packet.number() != PkOk::NUMBER {
            return Err(out_of_place(packet));
        }
        let ok: PkOk<'_> = packet.decode().map_err(Misbehaviour::malformed(PkOk::NAME))?;
        // The algorithm is not compared: it is not used, and some servers answer `ssh-rsa` to every RSA key.
        if ok.public_key_blob != self.0.key.blob() {
            return Err(Misbehaviour::WrongKey);
        }
        Ok(self.0.ask(outbox))
    }
}

/// Sends the signature.
#[derive(Debug)]
struct SignedRequest {
    offer: Offer,
    signature: Vec<u8>,
}

impl Conversation for SignedRequest {
    fn factor(&self) -> Factor {
        self.offer.factor()
    }

    fn start(self: Box<Self>, outbox: &mut Outbox<'_>) -> Result<Step, SendError> {
        self.offer.request(Some(&self.signature), outbox)?;
        Ok(Step::ExpectReply(self))
    }

    fn message(self: Box<Self>, packet: &Packet, _outbox: &mut Outbox<'_>) -> Result<Step, Misbehaviour> {
        Err(out_of_place(packet))
    }
}

fn out_of_place(packet: &Packet) -> Misbehaviour {
    Misbehaviour::Unexpected {
        number: packet.message_number(),
        place: Place::Login,
    }
}

/// A signature is needed: by whom, and over what.
#[derive(Debug)]
#[must_use = "the login waits until the signature is handed to `signed`"]
pub struct SigningRequest {
    ticket: Ticket,
    data: Vec<u8>,
    offer: Offer,
}

impl SigningRequest {
    /// What is to be signed.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The key that is to sign.
    pub const fn key(&self) -> &PublicKey {
        &self.offer.key
    }

    /// The algorithm it is to sign with.
    pub const fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.offer.algorithm
    }

    /// The signature, as a blob of algorithm name and bytes (what [`Signer::sign`] returns).
    pub fn signed(self, signature: Vec<u8>) -> client::Signed {
        client::Signed::start(
            self.ticket,
            Box::new(SignedRequest {
                offer: self.offer,
                signature,
            }),
        )
    }

    /// No signature can be had: the next turn follows, and the server never hears of it.
    pub fn failed(self) -> client::Signed {
        client::Signed::skip(self.ticket, &METHOD)
    }

    /// Signs with `signer`, here and now. On an error there is no signature: the login goes on with
    /// [`failed`](SigningRequest::failed), which is the second value.
    pub fn sign_with(self, signer: &dyn Signer) -> Result<client::Signed, (SignatureError, client::Signed)> {
        match signer.sign(self.offer.algorithm, &self.data) {
            Ok(signature) => Ok(self.signed(signature)),
            Err(error) => Err((error, self.failed())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_as_in_the_rfc() {
        let query = Fields {
            algorithm_name: "alg",
            public_key_blob: b"key",
            host_key: None,
            signature: None,
        };
        assert_eq!(query.to_bytes(), b"\0\0\0\0\x03alg\0\0\0\x03key");
        let signed = Fields {
            signature: Some(b"sig"),
            ..query.clone()
        };
        assert_eq!(signed.to_bytes(), b"\x01\0\0\0\x03alg\0\0\0\x03key\0\0\0\x03sig");
        let bound = Fields {
            host_key: Some(b"host"),
            ..signed.clone()
        };
        assert_eq!(
            bound.to_bytes(),
            b"\x01\0\0\0\x03alg\0\0\0\x03key\0\0\0\x04host\0\0\0\x03sig"
        );
        for fields in [query, signed, bound] {
            let form = form(fields.host_key);
            let bytes = fields.to_bytes();
            for cut in 0..bytes.len() {
                assert!(Fields::read(&bytes[..cut], form).is_err(), "{cut}");
            }
            assert!(Fields::read(&[&bytes[..], b"x"].concat(), form).is_err());
            assert_eq!(Fields::read(&bytes, form), Ok(fields));
        }
    }
}
