//! The scripted peer: its own identification, its own KEXINITs, its own half of every method, hashing and deriving by
//! itself. Each step is a call of its own, so a test stops where it likes and says what it likes.

use bytes::Buf;
use chacha20::ChaCha20Rng;
use ssh_client::kex::messages::{Disconnect, KexInit};
use ssh_client::kex::method::{self, ClientHalf, ClientStep, Context, Method, ServerStep};
use ssh_client::kex::{Agreement, Hash, Role, SharedSecret, ext_info, strict};
use ssh_client::keys::PrivateKey;
use ssh_client::wire::rand_core::{Rng, SeedableRng};
use ssh_client::wire::{Encode, NameList, Packet, Packetizer, Writer, cipher, number};

use super::suite::{Keys, Suite};
use super::target::Target;
use super::victim::Victim;

/// Where an exchange stands, seen from the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// It has our identification and waits for our KEXINIT.
    Identified,
    /// KEXINITs are exchanged; it waits for our share (server) or our reply (client).
    Negotiated,
    /// It has our share or reply and has sent its NEWKEYS; it waits for ours.
    Agreed,
    /// Keys are in use.
    Keyed,
}

/// Makes the host key blob and the signature of a server's reply from its key and H.
pub type Forgery = fn(&PrivateKey, &[u8]) -> (Vec<u8>, Vec<u8>);

/// What a peer is like.
#[derive(Debug, Clone, Copy)]
pub struct Traits {
    /// Its identification line.
    pub identification: &'static str,
    /// The method it uses.
    pub method: &'static Method,
    /// The cipher and MAC it uses, in both directions.
    pub suite: Suite,
    /// The compression it names, in both directions.
    pub compression: &'static str,
    /// Puts its marker for strict key exchange into its first KEXINIT.
    pub strict: bool,
    /// Puts its marker for EXT_INFO into its first KEXINIT.
    pub ext_info: bool,
    /// Says that a guessed packet follows.
    pub follows: bool,
    /// The methods it names, where that is not the one it uses.
    pub kex_list: Option<&'static str>,
    /// The host key algorithms it names.
    pub host_key_list: &'static str,
    /// As a server: blob and signature to show, from its key and H, instead of right ones.
    pub forgery: Option<Forgery>,
}

impl Default for Traits {
    fn default() -> Self {
        Self {
            identification: "SSH-2.0-Hostile_1.0",
            method: method::find("curve25519-sha256").expect("a method of the registry"),
            suite: Suite {
                cipher: &cipher::AES128_GCM,
                mac: None,
            },
            compression: "none",
            strict: true,
            ext_info: false,
            follows: false,
            kex_list: None,
            host_key_list: "ssh-ed25519",
            forgery: None,
        }
    }
}

/// A peer that says what it is told to say.
pub struct Peer {
    role: Role,
    /// What it is like; may be changed between any two steps.
    pub traits: Traits,
    /// Its packets, both ways. What is sealed here by hand leaves with the next thing said.
    pub wire: Packetizer,
    /// As a server: its host key.
    pub key: PrivateKey,
    /// As a client: the name it logs in with.
    pub user: String,
    /// The session identifier, once there is one.
    pub session_id: Option<Vec<u8>>,
    /// H of the last exchange.
    pub exchange_hash: Vec<u8>,
    rng: ChaCha20Rng,
    theirs: Option<String>,
    inits: [Vec<u8>; 2],
    /// The last KEXINIT that came.
    heard_kexinit: Option<Vec<u8>>,
    half: Option<Box<dyn ClientHalf>>,
    /// Client to server, server to client.
    next_keys: Option<[Keys; 2]>,
}

impl Peer {
    /// The peer that plays `role`: its target plays the other one.
    pub fn new(role: Role, traits: Traits) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(99);
        Self {
            role,
            traits,
            wire: Packetizer::new([5; 32]),
            key: PrivateKey::generate_ed25519(&mut rng, "hostile"),
            user: Victim::USER.to_owned(),
            session_id: None,
            exchange_hash: Vec::new(),
            rng,
            theirs: None,
            inits: [Vec::new(), Vec::new()],
            heard_kexinit: None,
            half: None,
            next_keys: None,
        }
    }

    /// The peer of a machine with this role.
    pub fn of(target: Role, traits: Traits) -> Self {
        Self::new(other(target), traits)
    }

    /// Which side it plays.
    pub const fn role(&self) -> Role {
        self.role
    }

    // ---- saying and hearing ------------------------------------------------------------------------------------------

    /// Says bytes as they stand.
    pub fn say_bytes(&mut self, bytes: &[u8], target: &mut dyn Target) {
        self.wire.sealer.outbox().extend_from_slice(bytes);
        self.flush(target);
    }

    /// Says a payload in a packet, under whatever keys are in use.
    pub fn say(&mut self, payload: &[u8], target: &mut dyn Target) {
        self.wire.sealer.seal_payload(payload);
        self.flush(target);
    }

    fn flush(&mut self, target: &mut dyn Target) {
        let bytes = std::mem::take(self.wire.sealer.outbox());
        self.wire.sealer.transmitted(bytes.len());
        target.give(&bytes);
    }

    /// The next packet of the target; `None` if it says nothing more.
    ///
    /// # Panics
    /// What it says does not open.
    pub fn next(&mut self, target: &mut dyn Target) -> Option<Packet> {
        loop {
            if self.identified()
                && let Some(packet) = self.wire.opener.next().expect("the target's packets open")
            {
                if packet.number() == number::KEXINIT {
                    self.heard_kexinit = Some(packet.payload.to_vec());
                }
                return Some(packet);
            }
            let bytes = target.take();
            if bytes.is_empty() {
                return None;
            }
            self.wire.opener.read_buffer().extend_from_slice(&bytes);
        }
    }

    /// Whether the target's identification is here, which stands in front of its packets.
    fn identified(&mut self) -> bool {
        while self.theirs.is_none() {
            let unread = self.wire.opener.unread();
            let Some(end) = unread.iter().position(|byte| *byte == b'\n') else {
                return false;
            };
            let line = String::from_utf8_lossy(&unread[..end])
                .trim_end_matches('\r')
                .to_owned();
            unread.advance(end + 1);
            self.theirs = line.starts_with("SSH-").then_some(line);
        }
        true
    }

    /// Takes packets until one with this number comes.
    ///
    /// # Panics
    /// None does.
    pub fn until(&mut self, number: u8, target: &mut dyn Target) -> Packet {
        let mut passed = Vec::new();
        while let Some(packet) = self.next(target) {
            if packet.number() == number {
                return packet;
            }
            passed.push(packet.number());
        }
        panic!("message {number} was expected, but only {passed:?} came")
    }

    /// Everything the target still says.
    pub fn rest(&mut self, target: &mut dyn Target) -> Vec<Packet> {
        std::iter::from_fn(|| self.next(target)).collect()
    }

    /// The reason of the target's DISCONNECT, if it said one.
    ///
    /// # Panics
    /// Its DISCONNECT does not decode.
    pub fn farewell(&mut self, target: &mut dyn Target) -> Option<u32> {
        self.rest(target)
            .iter()
            .find(|packet| packet.number() == number::DISCONNECT)
            .map(|packet| {
                packet
                    .decode::<Disconnect<'_>>()
                    .expect("a DISCONNECT")
                    .reason_code
            })
    }

    // ---- the steps of an exchange ------------------------------------------------------------------------------------

    /// Says the identification line.
    pub fn greet(&mut self, target: &mut dyn Target) {
        let line = format!("{}\r\n", self.traits.identification);
        self.say_bytes(line.as_bytes(), target);
    }

    /// From the very beginning up to a position.
    pub fn start(&mut self, to: Position, target: &mut dyn Target) {
        self.greet(target);
        self.advance(Position::Identified, to, target);
    }

    /// From one position of an exchange up to another.
    pub fn advance(&mut self, from: Position, to: Position, target: &mut dyn Target) {
        if from <= Position::Identified && Position::Negotiated <= to {
            self.negotiate(target);
        }
        if from <= Position::Negotiated && Position::Agreed <= to {
            self.agree(target);
        }
        if from <= Position::Agreed && Position::Keyed <= to {
            self.switch(target);
        }
    }

    /// A whole exchange under keys, up to a position.
    pub fn rekey(&mut self, to: Position, target: &mut dyn Target) {
        self.advance(Position::Identified, to, target);
    }

    /// A whole exchange that the target began: its KEXINIT was heard already, with [`until`](Self::until).
    ///
    /// # Panics
    /// No KEXINIT was heard.
    pub fn rekey_in_answer(&mut self, target: &mut dyn Target) {
        let theirs = self.heard_kexinit.take().expect("the target's KEXINIT");
        let ours = self.kexinit();
        self.say(&ours, target);
        self.inits = match self.role {
            Role::Client => [ours, theirs],
            Role::Server => [theirs, ours],
        };
        self.advance(Position::Negotiated, Position::Keyed, target);
    }

    /// A KEXINIT of these traits.
    ///
    /// # Panics
    /// The traits hold a list that is none.
    pub fn kexinit(&mut self) -> Vec<u8> {
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
        let list = |text| NameList::new(text).expect("a name-list");
        let suite = self.traits.suite;
        let mac = suite.mac.map_or("", |mac| mac.name);
        KexInit {
            cookie,
            kex_algorithms: list(&kex),
            server_host_key_algorithms: list(self.traits.host_key_list),
            encryption_algorithms_client_to_server: list(suite.cipher.name),
            encryption_algorithms_server_to_client: list(suite.cipher.name),
            mac_algorithms_client_to_server: list(mac),
            mac_algorithms_server_to_client: list(mac),
            compression_algorithms_client_to_server: list(self.traits.compression),
            compression_algorithms_server_to_client: list(self.traits.compression),
            languages_client_to_server: list(""),
            languages_server_to_client: list(""),
            first_kex_packet_follows: self.traits.follows,
            reserved: 0,
        }
        .to_bytes()
    }

    /// Says KEXINIT and hears the target's.
    pub fn negotiate(&mut self, target: &mut dyn Target) {
        let ours = self.kexinit();
        self.say(&ours, target);
        self.hear_kexinit(ours, target);
    }

    /// Hears the target's KEXINIT, ours being `ours`.
    pub fn hear_kexinit(&mut self, ours: Vec<u8>, target: &mut dyn Target) {
        let theirs = self.until(number::KEXINIT, target).payload.to_vec();
        self.inits = match self.role {
            Role::Client => [ours, theirs],
            Role::Server => [theirs, ours],
        };
    }

    /// As a client: the share, then the server's reply and NEWKEYS. As a server: the reply, then the client's NEWKEYS.
    pub fn agree(&mut self, target: &mut dyn Target) {
        match self.role {
            Role::Client => {
                let share = self.share();
                self.say(&share, target);
                self.hear_reply(target);
            }
            Role::Server => {
                let reply = self.reply(target);
                self.say(&reply, target);
                self.hear_new_keys(target);
            }
        }
    }

    /// As a client: the first message of the method, of a fresh half.
    pub fn share(&mut self) -> Vec<u8> {
        let half = self.traits.method.client_half(&Context::default(), &mut self.rng);
        let first = half.first_message();
        self.half = Some(half);
        first
    }

    /// As a client: hears the server's side of the method to its end, and NEWKEYS behind it.
    ///
    /// # Panics
    /// What comes is not what the method says.
    pub fn hear_reply(&mut self, target: &mut dyn Target) {
        let mut half = self.half.take().expect("a share was made");
        loop {
            let packet = self.next(target).expect("an answer to the share");
            match half
                .receive(&packet.payload, &mut self.rng)
                .unwrap_or_else(|error| panic!("message {} in answer to the share: {error}", packet.number()))
            {
                ClientStep::Next(next) => {
                    half = next;
                    self.say(&half.first_message(), target);
                }
                ClientStep::Agreed(agreement, proof) => {
                    self.prepare_keys(&agreement, proof.host_key);
                    break;
                }
            }
        }
        self.hear_new_keys(target);
    }

    /// As a server: hears the client's side of the method and makes the reply, with the lies of the traits.
    ///
    /// # Panics
    /// What comes is not what the method says.
    pub fn reply(&mut self, target: &mut dyn Target) -> Vec<u8> {
        let mut half = self.traits.method.server_half(&Context::default(), &mut self.rng);
        loop {
            let packet = self.next(target).expect("the client's share");
            match half
                .receive(&packet.payload, &mut self.rng)
                .unwrap_or_else(|error| panic!("message {} as a share: {error}", packet.number()))
            {
                ServerStep::Send(payload, next) => {
                    half = next;
                    self.say(&payload, target);
                }
                ServerStep::Agreed(agreement, form) => {
                    let honest: Forgery = |key, hash| {
                        let signature = key.sign(key.algorithms()[0], hash).expect("a signature");
                        (key.public().blob().to_vec(), signature)
                    };
                    let forgery = self.traits.forgery.unwrap_or(honest);
                    // The blob enters the hash that is signed: make it first, of nothing.
                    let (blob, _) = forgery(&self.key, b"");
                    self.prepare_keys(&agreement, &blob);
                    let (blob, signature) = forgery(&self.key, &self.exchange_hash);
                    return form.fill(&blob, &signature);
                }
            }
        }
    }

    /// Hears the target's NEWKEYS and opens with the new keys from there; nothing happens if it does not come (a client
    /// may wait for a verdict).
    ///
    /// # Panics
    /// Something else comes.
    pub fn hear_new_keys(&mut self, target: &mut dyn Target) {
        let Some(packet) = self.next(target) else { return };
        assert_eq!(packet.payload[..], [number::NEWKEYS], "NEWKEYS was expected");
        let [up, down] = self.next_keys.as_ref().expect("keys are agreed");
        let keys = match self.role {
            Role::Client => down,
            Role::Server => up,
        };
        self.wire
            .opener
            .set_protection(keys.opening(), self.traits.strict);
    }

    /// Says NEWKEYS and seals with the new keys from there.
    pub fn switch(&mut self, target: &mut dyn Target) {
        self.say(&[number::NEWKEYS], target);
        self.seal_with_new_keys();
    }

    /// Seals with the new keys from now on, whatever was said.
    pub fn seal_with_new_keys(&mut self) {
        let sealing = self.own_keys().sealing();
        self.wire.sealer.set_protection(sealing, self.traits.strict);
    }

    /// The keys of its own direction, to lie with.
    ///
    /// # Panics
    /// None are agreed yet.
    pub fn own_keys(&self) -> &Keys {
        let [up, down] = self.next_keys.as_ref().expect("keys are agreed");
        match self.role {
            Role::Client => up,
            Role::Server => down,
        }
    }

    fn prepare_keys(&mut self, agreement: &Agreement, host_key: &[u8]) {
        let hash = self.traits.method.hash;
        let secret = encoded(&agreement.secret);
        let theirs = self.theirs.as_deref().unwrap_or_default();
        let (client, server) = match self.role {
            Role::Client => (self.traits.identification, theirs),
            Role::Server => (theirs, self.traits.identification),
        };
        let mut head = Vec::new();
        let mut writer = Writer::new(&mut head);
        for part in [
            client.as_bytes(),
            server.as_bytes(),
            &self.inits[0],
            &self.inits[1],
            host_key,
        ] {
            writer.string(part);
        }
        let exchange_hash = hash
            .digest(&[&head, &agreement.exchanged, &secret])
            .as_ref()
            .to_vec();
        let session_id = self
            .session_id
            .get_or_insert_with(|| exchange_hash.clone())
            .clone();
        let suite = self.traits.suite;
        let derive =
            |letter: u8, length: usize| derived(hash, [&secret, &exchange_hash, &session_id], letter, length);
        let keys = |[cipher, iv, mac]: [u8; 3]| Keys {
            suite,
            key: derive(cipher, suite.cipher.key_bytes),
            iv: derive(iv, suite.cipher.iv_bytes),
            mac_key: derive(mac, suite.mac.map_or(0, |mac| mac.key_bytes)),
        };
        self.next_keys = Some([keys(*b"CAE"), keys(*b"DBF")]);
        self.exchange_hash = exchange_hash;
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Peer")
            .field("role", &self.role)
            .field("traits", &self.traits)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}

const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// RFC 4253 §7.2, from K as it is hashed, H and the session identifier.
fn derived(
    hash: Hash,
    [secret, exchange_hash, session_id]: [&[u8]; 3],
    letter: u8,
    length: usize,
) -> Vec<u8> {
    let mut key = hash
        .digest(&[secret, exchange_hash, &[letter], session_id])
        .as_ref()
        .to_vec();
    while key.len() < length {
        let more = hash.digest(&[secret, exchange_hash, &key]);
        key.extend_from_slice(more.as_ref());
    }
    key.truncate(length);
    key
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
