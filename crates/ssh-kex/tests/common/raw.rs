//! A peer played by hand: it frames, hashes and derives by itself (with `sha2`, not with what is being tested), so it can
//! do what no honest peer does, and at every step of an exchange.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use ssh_kex::keys::{PrivateKey, PublicKey, algorithm};
use ssh_kex::messages::{Disconnect, KexInit};
use ssh_kex::method::{ClientHalf, ClientStep, Context, Method, ServerStep, find};
use ssh_kex::wire::bytes::Buf;
use ssh_kex::wire::rand_core::Rng;
use ssh_kex::wire::{
    Cipher, Compression, DirectionKeys, Encode, NameList, Packet, Packetizer, Writer, cipher, compression,
    number, protection,
};
use ssh_kex::{Agreement, Role, SharedSecret, ext_info, strict};

use super::{Seat, host_key, seeded};

/// Where an exchange stands, seen from the machine under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Position {
    /// It has our identification and waits for our KEXINIT.
    Identified,
    /// KEXINITs are exchanged; it waits for our share (server) or our reply (client).
    Negotiated,
    /// It has our share or reply and has sent its NEWKEYS; it waits for ours.
    Agreed,
    /// Keys are in use.
    Keyed,
}

#[derive(Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) method: &'static Method,
    pub(crate) cipher: &'static Cipher,
    /// What it names, and inflates with. What it sends it does not compress by itself.
    pub(crate) compression: &'static Compression,
    /// Puts its marker for strict key exchange into its first KEXINIT.
    pub(crate) strict: bool,
    /// Puts `ext-info-c` into its first KEXINIT.
    pub(crate) ext_info: bool,
    /// Says that a guessed packet follows.
    pub(crate) follows: bool,
    /// The names in its KEXINIT, where they are not those of method and cipher.
    pub(crate) kex_list: Option<&'static str>,
    pub(crate) host_key_list: &'static str,
    /// As a server: spoils the signature.
    pub(crate) wrong_signature: bool,
    /// Its identification.
    pub(crate) line: &'static str,
    /// As a server: the seed of its host key.
    pub(crate) host_key: u64,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            method: find("curve25519-sha256").unwrap(),
            cipher: &cipher::AES128_GCM,
            compression: &compression::NONE,
            strict: true,
            ext_info: false,
            follows: false,
            kex_list: None,
            host_key_list: "ssh-ed25519",
            wrong_signature: false,
            line: "SSH-2.0-Raw_1.0",
            host_key: 1,
        }
    }
}

pub(crate) struct Raw {
    role: Role,
    pub(crate) traits: Traits,
    pub(crate) wire: Packetizer,
    rng: chacha20::ChaCha20Rng,
    pub(crate) key: PrivateKey,
    theirs: Option<String>,
    inits: [Vec<u8>; 2],
    half: Option<Box<dyn ClientHalf>>,
    next_keys: Option<[Vec<u8>; 4]>,
    pub(crate) session_id: Option<Vec<u8>>,
    pub(crate) seen_host_key: Option<PublicKey>,
}

impl Raw {
    /// The peer of a machine with the other role.
    pub(crate) fn new(role: Role, traits: Traits) -> Self {
        Self {
            role,
            traits,
            wire: Packetizer::new([5; 32]),
            rng: seeded(99),
            key: host_key(traits.host_key),
            theirs: None,
            inits: [Vec::new(), Vec::new()],
            half: None,
            next_keys: None,
            session_id: None,
            seen_host_key: None,
        }
    }

    /// Sends what is sealed and takes what comes back.
    pub(crate) fn exchange_bytes(&mut self, seat: &mut Seat) {
        let bytes = std::mem::take(self.wire.sealer.outbox());
        if !bytes.is_empty() {
            seat.receive(&bytes);
        }
        seat.settle();
        self.wire.opener.read_buffer().extend_from_slice(&seat.output());
        if self.theirs.is_none() {
            let unread = self.wire.opener.unread();
            let end = unread.windows(2).position(|pair| pair == b"\r\n").unwrap();
            self.theirs = Some(String::from_utf8(unread[..end].to_vec()).unwrap());
            unread.advance(end + 2);
        }
    }

    pub(crate) fn next_packet(&mut self) -> Option<Packet> {
        self.wire.opener.next().unwrap()
    }

    /// The next packet, which must have this number.
    pub(crate) fn expect(&mut self, number: u8) -> Packet {
        let packet = self
            .next_packet()
            .unwrap_or_else(|| panic!("nothing came where {number} was expected"));
        assert_eq!(packet.number(), number, "{:?}", packet.payload);
        packet
    }

    /// The code of the DISCONNECT among what came, if there is one.
    pub(crate) fn farewell(&mut self) -> Option<u32> {
        while let Some(packet) = self.next_packet() {
            if packet.number() == number::DISCONNECT {
                return Some(packet.decode::<Disconnect<'_>>().unwrap().reason_code);
            }
        }
        None
    }

    pub(crate) fn send(&mut self, payload: &[u8], seat: &mut Seat) {
        self.wire.sealer.seal_payload(payload);
        self.exchange_bytes(seat);
    }

    /// Goes through an exchange up to a position, from the start or (when keyed) as a rekey.
    pub(crate) fn advance(&mut self, from: Option<Position>, to: Position, seat: &mut Seat) {
        if from.is_none() {
            self.wire
                .sealer
                .outbox()
                .extend_from_slice(self.traits.line.as_bytes());
            self.wire.sealer.outbox().extend_from_slice(b"\r\n");
            self.exchange_bytes(seat);
        }
        let from = from
            .filter(|from| *from != Position::Keyed)
            .unwrap_or(Position::Identified);
        for (before, after) in [
            (Position::Identified, Position::Negotiated),
            (Position::Negotiated, Position::Agreed),
            (Position::Agreed, Position::Keyed),
        ] {
            if from <= before && after <= to {
                match after {
                    Position::Negotiated => self.negotiate(seat),
                    Position::Agreed => self.agree(seat),
                    _ => self.switch(seat),
                }
            }
        }
    }

    /// Up to keys in use.
    pub(crate) fn connect(&mut self, seat: &mut Seat) {
        self.advance(None, Position::Keyed, seat);
        assert!(seat.is_established(), "{:?}", seat.error);
    }

    /// A whole rekey that we begin.
    pub(crate) fn rekey(&mut self, seat: &mut Seat) {
        self.advance(Some(Position::Keyed), Position::Keyed, seat);
    }

    pub(crate) fn kexinit(&mut self) -> Vec<u8> {
        let mut cookie = [0; 16];
        self.rng.fill_bytes(&mut cookie);
        let mut kex = self.traits.kex_list.unwrap_or(self.traits.method.name).to_owned();
        if self.session_id.is_none() {
            let (extensions, marker) = match self.role {
                Role::Client => (ext_info::CLIENT_MARKER, strict::CLIENT_MARKER),
                Role::Server => (ext_info::SERVER_MARKER, strict::SERVER_MARKER),
            };
            for (wanted, name) in [(self.traits.ext_info, extensions), (self.traits.strict, marker)] {
                if wanted {
                    kex.push(',');
                    kex.push_str(name);
                }
            }
        }
        let list = |text| NameList::new(text).unwrap();
        KexInit {
            cookie,
            kex_algorithms: list(&kex),
            server_host_key_algorithms: list(self.traits.host_key_list),
            encryption_algorithms_client_to_server: list(self.traits.cipher.name),
            encryption_algorithms_server_to_client: list(self.traits.cipher.name),
            mac_algorithms_client_to_server: list(""),
            mac_algorithms_server_to_client: list(""),
            compression_algorithms_client_to_server: list(self.traits.compression.name),
            compression_algorithms_server_to_client: list(self.traits.compression.name),
            languages_client_to_server: list(""),
            languages_server_to_client: list(""),
            first_kex_packet_follows: self.traits.follows,
            reserved: 0,
        }
        .to_bytes()
    }

    pub(crate) fn negotiate(&mut self, seat: &mut Seat) {
        let ours = self.kexinit();
        self.send(&ours, seat);
        let theirs = self.expect(number::KEXINIT).payload.to_vec();
        self.inits = match self.role {
            Role::Client => [ours, theirs],
            Role::Server => [theirs, ours],
        };
    }

    /// As a client: the share, then the server's reply and NEWKEYS. As a server: the reply, then the client's NEWKEYS.
    pub(crate) fn agree(&mut self, seat: &mut Seat) {
        self.say_share(seat);
        match self.role {
            Role::Client => self.read_reply(),
            Role::Server => self.read_new_keys(),
        }
    }

    /// The share of a client or the reply of a server.
    pub(crate) fn say_share(&mut self, seat: &mut Seat) {
        let payload = match self.role {
            Role::Client => {
                let mut half = self.traits.method.client_half(&context(), &mut self.rng);
                if has_group(self.traits.method) {
                    self.send(&half.first_message(), seat);
                    let group = self.expect(31);
                    let Ok(ClientStep::Next(next)) = half.receive(&group.payload, &mut self.rng) else {
                        panic!("the server's group is refused")
                    };
                    half = next;
                }
                let first = half.first_message();
                self.half = Some(half);
                first
            }
            Role::Server => self.reply(seat),
        };
        self.send(&payload, seat);
    }

    fn reply(&mut self, seat: &mut Seat) -> Vec<u8> {
        let mut half = self.traits.method.server_half(&context(), &mut self.rng);
        let mut share_number = 30;
        if has_group(self.traits.method) {
            let request = self.expect(34);
            let Ok(ServerStep::Send(group, next)) = half.receive(&request.payload, &mut self.rng) else {
                panic!("the client's request is refused")
            };
            self.send(&group, seat);
            (half, share_number) = (next, 32);
        }
        let init = self.expect(share_number);
        let Ok(ServerStep::Agreed(agreement, form)) = half.receive(&init.payload, &mut self.rng) else {
            panic!("the client's share is refused")
        };
        let blob = self.key.public().blob().to_vec();
        let hash = self.hash(&blob, &agreement);
        let signed = if self.traits.wrong_signature {
            vec![0; 32]
        } else {
            hash.clone()
        };
        let signature = self.key.sign(&algorithm::ED25519, &signed).unwrap();
        self.prepare_keys(&agreement, hash);
        form.fill(&blob, &signature)
    }

    /// As a client: the reply, its signature, and NEWKEYS behind it.
    pub(crate) fn read_reply(&mut self) {
        let reply = self.expect(if has_group(self.traits.method) { 33 } else { 31 });
        let half = self.half.take().unwrap();
        let Ok(ClientStep::Agreed(agreement, proof)) = half.receive(&reply.payload, &mut self.rng) else {
            panic!("the server's reply is refused")
        };
        let key = PublicKey::from_blob(proof.host_key).unwrap();
        let hash = self.hash(proof.host_key, &agreement);
        let _ = key.verify(&algorithm::ED25519, &hash, proof.signature).unwrap();
        self.seen_host_key = Some(key);
        self.prepare_keys(&agreement, hash);
        self.read_new_keys();
    }

    /// Takes the machine's NEWKEYS, if it came (a client under test may still wait for a verdict).
    pub(crate) fn read_new_keys(&mut self) {
        let Some(packet) = self.next_packet() else { return };
        assert_eq!(packet.payload[..], [number::NEWKEYS]);
        let [key_c, iv_c, key_s, iv_s] = self.next_keys.as_ref().unwrap();
        let (key, iv) = match self.role {
            Role::Client => (key_s, iv_s),
            Role::Server => (key_c, iv_c),
        };
        let keys = DirectionKeys {
            cipher: self.traits.cipher,
            mac: None,
            key,
            iv,
            mac_key: &[],
        };
        self.wire
            .opener
            .set_protection(protection::opening(&keys).unwrap(), self.traits.strict);
        self.wire.opener.set_compression(self.traits.compression);
    }

    /// Sends our NEWKEYS and seals with the new keys from there.
    pub(crate) fn switch(&mut self, seat: &mut Seat) {
        self.wire.sealer.seal_payload(&[number::NEWKEYS]);
        let [key_c, iv_c, key_s, iv_s] = self.next_keys.as_ref().unwrap();
        let (key, iv) = match self.role {
            Role::Client => (key_c, iv_c),
            Role::Server => (key_s, iv_s),
        };
        let keys = DirectionKeys {
            cipher: self.traits.cipher,
            mac: None,
            key,
            iv,
            mac_key: &[],
        };
        self.wire
            .sealer
            .set_protection(protection::sealing(&keys).unwrap(), self.traits.strict);
        self.exchange_bytes(seat);
    }

    fn hash(&self, host_key: &[u8], agreement: &Agreement) -> Vec<u8> {
        let theirs = self.theirs.as_deref().unwrap();
        let (client, server) = match self.role {
            Role::Client => (self.traits.line, theirs),
            Role::Server => (theirs, self.traits.line),
        };
        let mut hashed = Vec::new();
        for part in [
            client.as_bytes(),
            server.as_bytes(),
            &self.inits[0],
            &self.inits[1],
            host_key,
        ] {
            hashed.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
            hashed.extend_from_slice(part);
        }
        digest(
            self.traits.method,
            &[&hashed, &agreement.exchanged, &encoded(&agreement.secret)],
        )
    }

    fn prepare_keys(&mut self, agreement: &Agreement, hash: Vec<u8>) {
        let session_id = self.session_id.get_or_insert_with(|| hash.clone()).clone();
        let secret = encoded(&agreement.secret);
        let (method, cipher) = (self.traits.method, self.traits.cipher);
        let derive = |letter: u8, length: usize| {
            let mut key = digest(method, &[&secret, &hash, &[letter], &session_id]);
            while key.len() < length {
                let more = digest(method, &[&secret, &hash, &key]);
                key.extend_from_slice(&more);
            }
            key.truncate(length);
            key
        };
        self.next_keys = Some([
            derive(b'C', cipher.key_bytes),
            derive(b'A', cipher.iv_bytes),
            derive(b'D', cipher.key_bytes),
            derive(b'B', cipher.iv_bytes),
        ]);
    }
}

/// Whether the group is agreed on first.
fn has_group(method: &Method) -> bool {
    method.name.contains("group-exchange")
}

/// For a client that asks for a group of 2048 bits.
fn context() -> Context {
    Context::default()
}

/// With the hash the method's name says (RFC 5656 §6.2.1 for those that only name a curve).
fn digest(method: &Method, parts: &[&[u8]]) -> Vec<u8> {
    let all = parts.concat();
    match method.name {
        "ecdh-sha2-nistp384" => Sha384::digest(all).to_vec(),
        "ecdh-sha2-nistp521" => Sha512::digest(all).to_vec(),
        name if name.ends_with("-sha1") => Sha1::digest(all).to_vec(),
        name if name.contains("-sha384") => Sha384::digest(all).to_vec(),
        name if name.contains("-sha512") => Sha512::digest(all).to_vec(),
        _ => Sha256::digest(all).to_vec(),
    }
}

fn encoded(secret: &SharedSecret) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    match secret {
        SharedSecret::Mpint(bytes) => writer.mpint(bytes),
        SharedSecret::String(bytes) => writer.string(bytes),
    }
    out
}
