//! One table for every foreign peer: a row per algorithm of our registries, beside companions the peer knows.
//!
//! ```text
//!  Offer   what the peer names in its KEXINIT, or says that it knows
//!  rows    each registered algorithm once at least: known to the peer, or not
//!  seats   the peer's client ──▶ our server, narrowed to the row;  our client, narrowed to the row ──▶ the peer's server
//! ```

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use ssh_client::channel::WindowPolicy;
use ssh_client::kex::messages::KexInit;
use ssh_client::kex::method::curve25519::CURVE25519_SHA256;
use ssh_client::kex::strict::SERVER_MARKER;
use ssh_client::kex::{Method, Negotiated, Preferences, method};
use ssh_client::keys::{SignatureAlgorithm, algorithm};
use ssh_client::wire::{Cipher, Compression, Mac, NameList, Packet, cipher, compression, mac};
use ssh_client::{Client, Config, Credentials, HostKeys};
use ssh_testkit::openssh::Keys;
use ssh_testkit::running::{Finished, Running, run_with};
use tokio::runtime::Runtime;

use crate::openssh_server::public_key;
use crate::ours::{Ours, PATIENCE};

/// How `ssh-keygen` makes a key of each type. Keys of security keys need one.
pub const KEY_TYPES: &[(&str, &[&str])] = &[
    ("ssh-ed25519", &["-t", "ed25519"]),
    ("ecdsa-sha2-nistp256", &["-t", "ecdsa", "-b", "256"]),
    ("ecdsa-sha2-nistp384", &["-t", "ecdsa", "-b", "384"]),
    ("ecdsa-sha2-nistp521", &["-t", "ecdsa", "-b", "521"]),
    ("ssh-rsa", &["-t", "rsa", "-b", "2048"]),
];

/// Rows that are tried at a time: more than processors, since each waits for programs to start.
const AT_ONCE: usize = 4;

/// The names somebody knows, of everything that is negotiated.
#[derive(Debug, Default)]
pub struct Offer {
    pub kex: BTreeSet<String>,
    pub host_keys: BTreeSet<String>,
    pub ciphers: BTreeSet<String>,
    pub macs: BTreeSet<String>,
    pub compression: BTreeSet<String>,
}

impl Offer {
    /// What stands in the first KEXINIT of a client, which is started with the port it is to connect to.
    pub fn of_client(client: impl FnOnce(u16) -> Command) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = Running::start(&mut client(listener.local_addr().unwrap().port()));
        listener.set_nonblocking(true).unwrap();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).unwrap();
                return Self::from_stream(stream);
            }
            assert!(client.is_alive(), "the client ended without a connection");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether a server that offers this has strict key exchange.
    pub fn is_strict(&self) -> bool {
        self.kex.contains(SERVER_MARKER)
    }

    /// What stands in the first KEXINIT of the server on `port`.
    pub fn of_server(port: u16) -> Self {
        Self::from_stream(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    /// What stands in the first KEXINIT that comes out of `stream`.
    fn from_stream(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"SSH-2.0-Reader_1.0\r\n").unwrap();
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while !line.starts_with(b"SSH-") {
            line.clear();
            assert_ne!(
                reader.read_until(b'\n', &mut line).unwrap(),
                0,
                "no identification"
            );
        }
        let mut head = [0; 5];
        reader.read_exact(&mut head).unwrap();
        let [length @ .., padding] = head;
        let mut payload = vec![0; u32::from_be_bytes(length) as usize - 1];
        reader.read_exact(&mut payload).unwrap();
        payload.truncate(payload.len() - usize::from(padding));
        let packet = Packet {
            sequence: 0,
            payload: payload.into(),
        };
        let told: KexInit<'_> = packet.decode().unwrap();
        Self {
            kex: names(&told.kex_algorithms),
            host_keys: names(&told.server_host_key_algorithms),
            ciphers: &names(&told.encryption_algorithms_client_to_server)
                & &names(&told.encryption_algorithms_server_to_client),
            macs: &names(&told.mac_algorithms_client_to_server)
                & &names(&told.mac_algorithms_server_to_client),
            compression: &names(&told.compression_algorithms_client_to_server)
                & &names(&told.compression_algorithms_server_to_client),
        }
    }

    /// The names of the row that are not here.
    fn missing(&self, row: &Row) -> Vec<&'static str> {
        let asked = [
            (&self.kex, Some(row.kex.name)),
            (&self.host_keys, Some(row.host_key.name)),
            (&self.ciphers, Some(row.cipher.name)),
            (&self.macs, row.mac.map(|mac| mac.name)),
            (&self.compression, Some(row.compression.name)),
        ];
        asked
            .into_iter()
            .filter_map(|(known, name)| name.filter(|name| !known.contains(*name)))
            .collect()
    }
}

fn names(list: &NameList<'_>) -> BTreeSet<String> {
    list.iter().map(str::to_owned).collect()
}

/// One connection: the algorithm it is about, and what stands beside it.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name it is about.
    pub subject: &'static str,
    pub kex: &'static Method,
    pub host_key: &'static SignatureAlgorithm,
    pub cipher: &'static Cipher,
    /// `None` beside a cipher that authenticates.
    pub mac: Option<&'static Mac>,
    pub compression: &'static Compression,
    /// Whether the peer knows all of it.
    pub known: bool,
}

impl Row {
    /// Nothing but this row.
    pub fn preferences(&self) -> Preferences {
        Preferences {
            kex: vec![self.kex],
            host_keys: vec![self.host_key],
            ciphers: vec![self.cipher],
            macs: self.mac.into_iter().collect(),
            compression: vec![self.compression],
        }
    }

    /// Whether this row, and nothing else, was agreed on.
    fn check(&self, agreed: &Negotiated) -> Result<(), String> {
        let both = [agreed.outgoing, agreed.incoming];
        let same = agreed.kex == self.kex
            && agreed.host_key == self.host_key
            && both.iter().all(|way| way.cipher == self.cipher)
            && both.iter().all(|way| way.mac == self.mac)
            && both.iter().all(|way| way.compression == self.compression);
        same.then_some(()).ok_or_else(|| format!("agreed on {agreed:?}"))
    }

    /// The file of the key that the row's host key algorithm signs with; the user logs in with a key of that type.
    pub fn key_file(&self, owner: &str) -> String {
        key_file(owner, self.host_key.plain().key_type)
    }
}

/// The key of this owner and type.
pub fn key_file(owner: &str, key_type: &str) -> String {
    format!("{owner}_{key_type}")
}

/// The known_hosts file, beside the keys, that holds nothing but the authority of the host certificates.
pub const KNOWN_AUTHORITY: &str = "known_authority";

/// Keys of every type for a host, with certificates, and for its user, who may log in with each: `host_ssh-ed25519` and
/// so on.
pub fn keys_of_every_type() -> Arc<Keys> {
    let keys = Keys::make();
    keys.add("ca", &["-t", "ed25519"]);
    for (key_type, arguments) in KEY_TYPES {
        let host = key_file("host", key_type);
        keys.add(&host, arguments);
        keys.certify(&host, "ca", &["-h", "-n", "127.0.0.1"]);
        keys.add(&key_file("user", key_type), arguments);
        keys.authorize(&key_file("user", key_type));
    }
    let authority = format!("@cert-authority * {}\n", keys.public("ca"));
    std::fs::write(keys.path(KNOWN_AUTHORITY), authority).unwrap();
    Arc::new(keys)
}

/// The host keys of [`keys_of_every_type`], as names of files.
pub fn host_key_files() -> Vec<String> {
    KEY_TYPES
        .iter()
        .map(|(key_type, _)| key_file("host", key_type))
        .collect()
}

/// The signature algorithms that [`keys_of_every_type`] can use. All that are missing are those of security keys,
/// which verify here and are held by hardware.
fn usable_host_keys() -> Vec<&'static SignatureAlgorithm> {
    let (usable, others): (Vec<_>, Vec<_>) = algorithm::ALL.iter().copied().partition(|algorithm| {
        KEY_TYPES
            .iter()
            .any(|(key_type, _)| *key_type == algorithm.plain().key_type)
    });
    for other in others {
        assert!(other.name.starts_with("sk-"), "{other} has no row");
    }
    usable
}

/// The table for a peer that knows `offer`: each registered algorithm, known or not, beside known ones. Ciphers without
/// authentication come with both kinds of MAC, MACs with one of those ciphers.
pub fn rows(offer: &Offer) -> Vec<Row> {
    let host_keys = usable_host_keys();
    let knows_mac = |mac: &Mac| offer.macs.contains(mac.name);
    let plain = choose(&cipher::AES128_CTR, cipher::ALL, |cipher| {
        cipher.needs_mac() && offer.ciphers.contains(cipher.name)
    });
    let mut macs = vec![&mac::HMAC_SHA2_256, &mac::HMAC_SHA2_256_ETM];
    if macs.iter().any(|mac| knows_mac(mac)) {
        macs.retain(|mac| knows_mac(mac));
    }
    let aead = choose(&cipher::CHACHA20_POLY1305, cipher::ALL, |cipher| {
        offer.ciphers.contains(cipher.name)
    });
    let usual = Row {
        subject: "",
        kex: choose(&CURVE25519_SHA256, method::ALL, |kex| {
            offer.kex.contains(kex.name)
        }),
        host_key: choose(&algorithm::ED25519, &host_keys, |algorithm| {
            offer.host_keys.contains(algorithm.name)
        }),
        cipher: aead,
        mac: aead.needs_mac().then_some(macs[0]),
        compression: &compression::NONE,
        known: false,
    };
    let mut table = Vec::new();
    let mut add = |subject, row: Row| {
        let known = offer.missing(&row).is_empty();
        table.push(Row {
            subject,
            known,
            ..row
        });
    };
    for kex in method::ALL.iter().copied() {
        add(kex.name, Row { kex, ..usual });
    }
    for host_key in host_keys.iter().copied() {
        add(host_key.name, Row { host_key, ..usual });
    }
    for cipher in cipher::ALL.iter().copied() {
        let beside: Vec<_> = if cipher.needs_mac() {
            macs.iter().copied().map(Some).collect()
        } else {
            vec![None]
        };
        for mac in beside {
            add(cipher.name, Row { cipher, mac, ..usual });
        }
    }
    for mac in mac::ALL.iter().copied() {
        let row = Row {
            cipher: plain,
            mac: Some(mac),
            ..usual
        };
        add(mac.name, row);
    }
    for compression in compression::ALL.iter().copied() {
        add(compression.name, Row { compression, ..usual });
    }
    table
}

/// `wanted` if it is known, or the first of all that is, or `wanted` all the same.
fn choose<T>(wanted: &'static T, all: &[&'static T], is_known: impl Fn(&T) -> bool) -> &'static T {
    let candidates = [&[wanted], all].concat();
    let known = candidates.into_iter().find(|each| is_known(each));
    known.unwrap_or(wanted)
}

/// Tries every row, some at a time, and fails with all that went wrong.
fn try_each(rows: &[Row], attempt: impl Fn(&Row) -> Result<(), String> + Sync) {
    let known: Vec<_> = rows
        .iter()
        .filter(|row| row.known)
        .map(|row| row.subject)
        .collect();
    assert!(!known.is_empty(), "the peer knows nothing: {rows:?}");
    println!(
        "{} rows, known to the peer {}: {}",
        rows.len(),
        known.len(),
        known.join(" ")
    );
    let (next, problems) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(problem) = attempt(row) {
                        problems
                            .lock()
                            .unwrap()
                            .push(format!("{}: {row:?}\n{problem}", row.subject));
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().unwrap();
    assert!(
        problems.is_empty(),
        "{} of {} rows:\n{}",
        problems.len(),
        rows.len(),
        problems.join("\n\n")
    );
}

/// Every name of our registries for a program's command line: key exchange methods, host keys, ciphers, MACs, compression
/// methods, with a colon between the lists.
pub fn every_name() -> String {
    fn join(names: impl Iterator<Item = &'static str>) -> String {
        names.collect::<Vec<_>>().join(",")
    }
    let lists = [
        join(method::ALL.iter().map(|each| each.name)),
        join(algorithm::ALL.iter().map(|each| each.name)),
        join(cipher::ALL.iter().map(|each| each.name)),
        join(mac::ALL.iter().map(|each| each.name)),
        join(compression::ALL.iter().map(|each| each.name)),
    ];
    lists.join(":")
}

/// What goes through a connection to the peer and back, and how often keys are changed meanwhile (promise 22).
#[derive(Debug, Clone, Copy)]
struct Load {
    /// Bytes in each direction: half text, half noise.
    bytes: usize,
    /// New keys are wanted after so many bytes in one direction.
    rekey_bytes: u64,
    /// Key exchanges there have to be at least, the first one included.
    exchanges: u64,
}

impl Load {
    /// Every row: its keys are changed once at least, even where the text is compressed.
    const LIGHT: Self = Self {
        bytes: 200_000,
        rekey_bytes: 80_000,
        exchanges: 2,
    };

    /// One row of every peer: a hundred times. While keys are changed no credit is given, so that at most a window and what
    /// wears keys out pass between two exchanges, 192 KiB.
    const HEAVY: Self = Self {
        bytes: 24 << 20,
        rekey_bytes: 64 * 1024,
        exchanges: 100,
    };

    fn data(self) -> Vec<u8> {
        let text = b"all work and no play makes a dull packet; ";
        let mut data = text.repeat(self.bytes / 2 / text.len());
        let mut seed = Sha256::digest(b"noise");
        while data.len() < self.bytes {
            data.extend_from_slice(&seed);
            seed = Sha256::digest(seed);
        }
        data
    }

    /// Small windows, which go round many times.
    const WINDOW: WindowPolicy = WindowPolicy {
        initial: 128 * 1024,
        max: 128 * 1024,
        budget: 64 << 20,
    };

    /// Whether there were enough exchanges.
    fn check(self, exchanges: u64) -> Result<(), String> {
        let enough = exchanges >= self.exchanges;
        enough
            .then_some(())
            .ok_or_else(|| format!("{exchanges} key exchanges, of {} at least", self.exchanges))
    }
}

/// The row that carries the heavy load: the first whose algorithms are the usual ones.
fn heavy(rows: &[Row]) -> Row {
    let row = rows.iter().find(|row| row.known);
    *row.expect("the peer knows something")
}

/// What has to be known of a peer's client.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// What it says where nothing is in common.
    pub refusal: &'static str,
    /// Whether it hears what comes back while it has more to say. One that does not can carry no more than windows and
    /// pipes hold.
    pub hears_while_it_speaks: bool,
}

/// The peer's client runs `cat` on servers of ours that know nothing but a row: all that goes in has to come back where
/// the peer knows the row, as `check` sees it, and its refusal has to be told where it does not.
pub fn into_ours(
    rows: &[Row],
    keys: &Arc<Keys>,
    nature: Nature,
    client: impl Fn(&Row, &Ours) -> Command + Sync,
    check: impl Fn(&Row, &Finished) -> Result<(), String> + Sync,
) {
    let attempt = |row: &Row, load: Load| {
        let ours = Ours::with_host_keys(Arc::clone(keys), &[&row.key_file("host")], |config| {
            config.transport.preferences = row.preferences();
            config.transport.rekey.bytes = load.rekey_bytes;
            config.connection.window = Load::WINDOW;
        });
        let data = load.data();
        let finished = run_with(&mut client(row, &ours), data.clone());
        let is_right = if row.known {
            finished.code == Some(0) && finished.stdout == data
        } else {
            finished.code != Some(0) && finished.stderr_text().contains(nature.refusal)
        };
        match (is_right, row.known) {
            (true, true) => load
                .check(ours.key_exchanges())
                .and_then(|()| check(row, &finished)),
            (true, false) => Ok(()),
            (false, _) => Err(format!(
                "{} bytes came back, code {:?}: {}",
                finished.stdout.len(),
                finished.code,
                finished.stderr_text()
            )),
        }
    };
    try_each(rows, |row| attempt(row, Load::LIGHT));
    if nature.hears_while_it_speaks {
        try_each(&[heavy(rows)], |row| attempt(row, Load::HEAVY));
    }
}

/// A server of the peer's, and how to log in there.
pub struct Theirs<'a> {
    pub port: u16,
    pub user: &'a str,
    pub keys: &'a Keys,
    pub offer: Offer,
    /// Whether it ends the connection before it has said a word, where nothing is in common.
    pub ends_silently: bool,
}

impl Theirs<'_> {
    /// Our client, narrowed to each row in turn, runs `cat` there: all that goes in has to come back where the server
    /// knows the row, and where it does not the lists have to have nothing in common.
    pub fn try_every_row(&self) {
        self.try_rows(|_| true);
        self.try_under_load();
    }

    /// The usual row, under the heavy load.
    pub fn try_under_load(&self) {
        let runtime = Runtime::new().unwrap();
        let row = heavy(&rows(&self.offer));
        try_each(&[row], |row| runtime.block_on(self.carry(row, Load::HEAVY)));
    }

    /// The same with some of the rows.
    pub fn try_rows(&self, wanted: impl Fn(&Row) -> bool) {
        let runtime = Runtime::new().unwrap();
        let mut rows = rows(&self.offer);
        rows.retain(wanted);
        try_each(&rows, |row| {
            let ended = runtime.block_on(self.carry(row, Load::LIGHT));
            let missing = self.offer.missing(row);
            let is_refusal = |problem: &str| {
                (problem.contains("in common") && missing.iter().any(|name| problem.contains(name)))
                    || (self.ends_silently && problem.contains("closed before the SSH identification"))
            };
            match ended {
                Err(problem) if !row.known && is_refusal(&problem) => Ok(()),
                ended if row.known => ended,
                ended => Err(format!("no {missing:?}, but {ended:?}")),
            }
        });
    }

    async fn carry(&self, row: &Row, load: Load) -> Result<(), String> {
        let mut config = Config::default();
        config.transport.preferences = row.preferences();
        config.transport.rekey.bytes = load.rekey_bytes;
        config.channels.window = Load::WINDOW;
        config.timeouts.identification = PATIENCE;
        config.timeouts.key_exchange = PATIENCE;
        config.timeouts.login = PATIENCE;
        let host_keys = if row.host_key.is_certificate() {
            HostKeys::known_hosts(self.keys.path(KNOWN_AUTHORITY))
        } else {
            HostKeys::pinned(public_key(self.keys, &row.key_file("host")))
        };
        let key = Credentials::key_file(self.keys.path(&row.key_file("user")));
        let address = (Ipv4Addr::LOCALHOST.to_string(), self.port);
        let client = Client::connect_with(&config, address, self.user, host_keys, key)
            .await
            .map_err(|error| error.to_string())?;
        let agreed = client.negotiated();
        row.check(&agreed)?;
        if agreed.strict != self.offer.is_strict() {
            return Err(format!("strict key exchange: {}", agreed.strict));
        }
        let data = load.data();
        let output = client.exec("cat").stdin(data.clone()).output().await;
        let output = output.map_err(|error| error.to_string())?;
        load.check(client.handle().key_exchanges())?;
        client.disconnect().await;
        if output.stdout == data && output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{} bytes came back, {}",
            output.stdout.len(),
            output.status
        ))
    }
}
