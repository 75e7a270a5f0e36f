//! A front door over TCP, ours or the program's, and a peer that has logged in there and asks for whatever it likes.

use std::any::Any;
use std::collections::VecDeque;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use ssh_client::channel::messages::{
    ChannelData, ChannelOpen, ChannelOpenConfirmation, ChannelOpenFailure, ChannelWindowAdjust,
};
use ssh_client::kex::Role;
use ssh_client::keys::PublicKey;
use ssh_client::wire::{Packet, Writer, number};
use ssh_server::{Account, Application, Limits, Server};
use ssh_testkit::hostile::channels::{Line, close, confirmation, data, eof, open, request};
use ssh_testkit::hostile::{Peer, Target, Tcp, Traits, Victim};
use ssh_testkit::openssh::Keys;
use ssh_testkit::peers;
use tokio::runtime::Runtime;

use crate::bowline::{Sshd, bowline, usual_words};

/// A busy machine decides nothing: all that is waited for here has to come.
pub fn patient(target: Tcp) -> Tcp {
    target.patient(Duration::from_secs(120)).unwrap()
}

/// Whether this is the one key that logs in.
pub fn is_the_key(key: &PublicKey) -> bool {
    key == Victim::user_key().public()
}

/// The account of the tests with a shell that reads no file of its user's: what a program sees is what the server says.
pub fn account() -> Account {
    Account {
        shell: "/bin/sh".into(),
        ..Account::current().unwrap()
    }
}

/// A server and a peer that has logged in.
pub struct Visit {
    pub peer: Peer,
    pub target: Tcp,
    /// What came while something else was waited for.
    heard: VecDeque<Packet>,
    /// What keeps the server there.
    _house: Box<dyn Any>,
}

/// A channel that the server has opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    pub kind: String,
    pub fields: Vec<u8>,
    sender: u32,
}

impl Visit {
    /// A server with this application.
    pub fn to(application: impl Application) -> Self {
        Self::with(application, Limits::default())
    }

    /// The same with these limits.
    pub fn with(application: impl Application, limits: Limits) -> Self {
        let runtime = Runtime::new().unwrap();
        let builder = Server::builder().host_key(Victim::host_key()).limits(limits);
        let listening = runtime
            .block_on(builder.listen((Ipv4Addr::LOCALHOST, 0), application))
            .unwrap();
        let port = listening.local_addr().port();
        Self::through(port, Victim::USER, (listening, runtime))
    }

    /// `bowline sshd` with these settings, started by `command` where that is not the program itself.
    pub fn to_program(settings: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let keys = Keys::make();
        let own = Victim::user_key().public().to_openssh("");
        fs::write(keys.path("authorized_keys"), own + "\n").unwrap();
        let mut command = bowline(&["sshd", "-D", "-e", "-p", "0"]);
        for setting in settings {
            command.args(["-o", setting]);
        }
        command.args(usual_words(&keys));
        prepare(&mut command);
        let server = Sshd::run(&mut command, keys);
        Self::through(server.port, &peers::user(), server)
    }

    /// Another connection to a server at this port.
    pub fn through(port: u16, user: &str, house: impl Any) -> Self {
        let mut target = patient(Tcp::connect(port).unwrap());
        let mut peer = Peer::of(Role::Server, Traits::default());
        user.clone_into(&mut peer.user);
        peer.connect(&mut target);
        Self {
            peer,
            target,
            heard: VecDeque::new(),
            _house: Box::new(house),
        }
    }

    pub fn say(&mut self, payload: &[u8]) {
        self.peer.say(payload, &mut self.target);
    }

    /// The first packet that is wanted; others stay for those who want them.
    fn next(&mut self, wanted: impl Fn(&Packet) -> bool) -> Packet {
        if let Some(at) = self.heard.iter().position(&wanted) {
            return self.heard.remove(at).unwrap();
        }
        loop {
            let packet = self.peer.next(&mut self.target).expect("an answer comes");
            if wanted(&packet) {
                return packet;
            }
            // Who never answers is taken for dead.
            if packet.number() == number::GLOBAL_REQUEST && packet.payload.ends_with(&[1]) {
                self.say(&[number::REQUEST_FAILURE]);
            }
            self.heard.push_back(packet);
        }
    }

    /// The first packet of these numbers that is about the channel.
    fn about(&mut self, own: u32, numbers: &[u8]) -> Packet {
        self.next(|packet| {
            numbers.contains(&packet.number()) && packet.payload.get(1..5) == Some(&own.to_be_bytes())
        })
    }

    pub fn session(&mut self, own: u32) -> Line {
        self.open(own, "session", b"").unwrap()
    }

    /// Opens a channel; the reason where the server does not agree.
    pub fn open(&mut self, own: u32, kind: &str, fields: &[u8]) -> Result<Line, u32> {
        self.say(&open(own, kind, fields, 1 << 20));
        let answers = [number::CHANNEL_OPEN_CONFIRMATION, number::CHANNEL_OPEN_FAILURE];
        let packet = self.about(own, &answers);
        if packet.number() == number::CHANNEL_OPEN_FAILURE {
            let failure: ChannelOpenFailure<'_> = packet.decode().unwrap();
            return Err(failure.reason);
        }
        let confirmed: ChannelOpenConfirmation<'_> = packet.decode().unwrap();
        Ok(Line {
            own,
            theirs: confirmed.sender,
            window: confirmed.initial_window,
            max_packet: confirmed.max_packet,
        })
    }

    /// Asks for something about a channel; whether it was granted.
    pub fn ask(&mut self, line: Line, name: &str, fields: &[u8]) -> bool {
        self.say(&request(line.theirs, name, true, fields));
        self.answer(line)
    }

    /// The next answer to a request about a channel.
    pub fn answer(&mut self, line: Line) -> bool {
        let answers = [number::CHANNEL_SUCCESS, number::CHANNEL_FAILURE];
        self.about(line.own, &answers).number() == number::CHANNEL_SUCCESS
    }

    /// Starts a command in a session.
    pub fn exec(&mut self, line: Line, command: &str) {
        assert!(
            self.ask(line, "exec", &strings(&[command.as_bytes()])),
            "{command}"
        );
    }

    /// Asks for something about the connection; what comes with the agreement.
    pub fn global(&mut self, name: &str, fields: &[u8]) -> Option<Vec<u8>> {
        let mut payload = vec![number::GLOBAL_REQUEST];
        let mut writer = Writer::new(&mut payload);
        writer.string(name.as_bytes());
        writer.boolean(true);
        writer.raw(fields);
        self.say(&payload);
        let answers = [number::REQUEST_SUCCESS, number::REQUEST_FAILURE];
        let packet = self.next(|packet| answers.contains(&packet.number()));
        (packet.number() == number::REQUEST_SUCCESS).then(|| packet.payload[1..].to_vec())
    }

    /// Asks what nobody knows and hears that: what the server had said before has been heard by then.
    pub fn settle(&mut self) {
        assert_eq!(self.global("nobody@knows.this", b""), None);
    }

    /// The next channel that the server opens.
    pub fn opened(&mut self) -> Opened {
        let packet = self.next(|packet| packet.number() == number::CHANNEL_OPEN);
        let opened: ChannelOpen<'_> = packet.decode().unwrap();
        Opened {
            kind: opened.channel_type.to_owned(),
            fields: opened.data.0.to_vec(),
            sender: opened.sender,
        }
    }

    /// Whether one has been opened that nobody has looked at.
    pub fn has_opened(&self) -> bool {
        let is_open = |packet: &Packet| packet.number() == number::CHANNEL_OPEN;
        self.heard.iter().any(is_open)
    }

    /// Agrees to it.
    pub fn accept(&mut self, opened: &Opened, own: u32) -> Line {
        self.say(&confirmation(opened.sender, own, 1 << 20));
        Line {
            own,
            theirs: opened.sender,
            window: 0,
            max_packet: 0,
        }
    }

    /// Refuses it.
    pub fn refuse(&mut self, opened: &Opened) {
        let mut payload = vec![number::CHANNEL_OPEN_FAILURE];
        payload.extend_from_slice(&opened.sender.to_be_bytes());
        payload.extend_from_slice(&2_u32.to_be_bytes());
        payload.extend(strings(&[b"no such thing", b""]));
        self.say(&payload);
    }

    /// Says data. Few: nobody looks at the window.
    pub fn tell(&mut self, line: Line, bytes: &[u8]) {
        self.say(&data(line.theirs, bytes));
    }

    /// The next `count` bytes of a channel, and what came with the last of them.
    pub fn hear(&mut self, line: Line, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let packet = self.about(line.own, &[number::CHANNEL_DATA]);
            let said: ChannelData<'_> = packet.decode().unwrap();
            bytes.extend_from_slice(said.data);
        }
        bytes
    }

    /// The rest of a line of text from a channel.
    pub fn hear_line(&mut self, line: Line) -> String {
        let mut bytes = Vec::new();
        while bytes.last() != Some(&b'\n') {
            bytes.extend(self.hear(line, 1));
        }
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    }

    /// Everything a channel still says until it is closed; then it is closed on this side too.
    pub fn hear_all(&mut self, line: Line) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let packet = self.about(line.own, &[number::CHANNEL_DATA, number::CHANNEL_CLOSE]);
            if packet.number() == number::CHANNEL_CLOSE {
                self.say(&close(line.theirs));
                return bytes;
            }
            let said: ChannelData<'_> = packet.decode().unwrap();
            bytes.extend_from_slice(said.data);
        }
    }

    /// Closes a channel and hears that it is closed.
    pub fn close(&mut self, line: Line) {
        self.say(&eof(line.theirs));
        self.say(&close(line.theirs));
        self.about(line.own, &[number::CHANNEL_CLOSE]);
    }

    /// Says data and hears the same.
    pub fn echo(&mut self, line: &mut Line) {
        self.tell(*line, b"and back again");
        line.window = line.window.saturating_sub(14);
        assert_eq!(self.hear(*line, 14), b"and back again");
    }
}

/// The next bytes of data. Credit that comes before them counts.
pub fn heard(peer: &mut Peer, target: &mut dyn Target, line: &mut Line, count: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < count {
        let packet = peer.next(target).expect("data come");
        match packet.number() {
            number::CHANNEL_DATA => {
                let said: ChannelData<'_> = packet.decode().unwrap();
                assert_eq!(said.recipient, line.own);
                bytes.extend_from_slice(said.data);
            }
            number::CHANNEL_WINDOW_ADJUST => credit(line, &packet),
            _ => {}
        }
    }
    bytes
}

/// Counts credit that is this channel's.
pub fn credit(line: &mut Line, packet: &Packet) {
    let credit: ChannelWindowAdjust = packet.decode().unwrap();
    if credit.recipient == line.own {
        line.window += credit.bytes_to_add;
    }
}

/// Strings, one behind the other.
pub fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut writer = Writer::new(&mut fields);
    for part in parts {
        writer.string(part);
    }
    fields
}

/// A string and a number behind it.
pub fn string_and_number(text: &[u8], number: u32) -> Vec<u8> {
    [&strings(&[text])[..], &number.to_be_bytes()].concat()
}
