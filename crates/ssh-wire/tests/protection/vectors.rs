//! The vector files: packets and examples that this project's code did not make (`tests/vectors/generate.py`).

use std::fs;
use std::path::PathBuf;

use ssh_wire::{DirectionKeys, Opener, cipher, mac, protection};

/// One section of a vector file: what it holds, and its fields in order.
struct Section {
    kind: String,
    fields: Vec<(String, String)>,
}

impl Section {
    fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|field| field.0 == name)
            .map(|field| field.1.as_str())
            .collect()
    }

    fn text(&self, name: &str) -> &str {
        self.all(name).first().copied().unwrap_or_default()
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        unhex(self.text(name))
    }
}

fn unhex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// The vector file of an algorithm; that there is one is part of every test here.
fn sections(algorithm: &str) -> Vec<Section> {
    let name = algorithm.strip_suffix("@openssh.com").unwrap_or(algorithm);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{name}.txt"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut found = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(kind) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            found.push(Section {
                kind: kind.to_owned(),
                fields: Vec::new(),
            });
        } else {
            let (name, value) = line.split_once(" =").unwrap();
            let field = (name.to_owned(), value.trim_start().to_owned());
            found.last_mut().unwrap().fields.push(field);
        }
    }
    for section in &found {
        assert!(
            !section.text("source").is_empty(),
            "{name}: every section names its source"
        );
    }
    found
}

fn check_packets(section: &Section) {
    let (key, iv, mac_key) = (
        section.bytes("key"),
        section.bytes("iv"),
        section.bytes("mac_key"),
    );
    let keys = DirectionKeys {
        cipher: cipher::find(section.text("cipher")).unwrap(),
        mac: mac::find(section.text("mac")),
        key: &key,
        iv: &iv,
        mac_key: &mac_key,
    };
    let mut sealing = protection::sealing(&keys).unwrap();
    let mut opener = Opener::new();
    opener.set_protection(protection::opening(&keys).unwrap(), true);
    let mut sequence: u32 = section.text("sequence").parse().unwrap();
    opener.set_sequence(sequence);
    let packets = section.all("plain").into_iter().zip(section.all("sealed"));
    assert!(packets.len() > 2, "{keys:?}");
    for (plain, expected) in packets.map(|(plain, sealed)| (unhex(plain), unhex(sealed))) {
        let mut packet = plain.clone();
        packet.resize(plain.len() + sealing.shape().tag_bytes, 0);
        sealing.seal(sequence, &mut packet).unwrap();
        assert_eq!(packet, expected, "{keys:?}: sealed");

        opener.read_buffer().extend_from_slice(&expected);
        let opened = opener.next().unwrap().unwrap();
        assert_eq!(opened.sequence, sequence, "{keys:?}");
        assert_eq!(
            opened.payload,
            plain[5..plain.len() - usize::from(plain[4])],
            "{keys:?}: opened"
        );
        sequence = sequence.wrapping_add(1);
    }
}

fn check_content(section: &Section) {
    let cipher = cipher::find(section.text("cipher")).unwrap();
    let (key, iv, plain, sealed) = (
        section.bytes("key"),
        section.bytes("iv"),
        section.bytes("plain"),
        section.bytes("sealed"),
    );
    let mut data = plain.clone();
    assert_eq!(
        cipher.encrypt_file(&key, &iv, &mut data).unwrap(),
        section.bytes("tag"),
        "{cipher:?}"
    );
    assert_eq!(data, sealed, "{cipher:?}");
    cipher
        .decrypt_file(&key, &iv, &mut data, &section.bytes("tag"))
        .unwrap();
    assert_eq!(data, plain, "{cipher:?}");
}

fn check_mac(section: &Section) {
    let mac = mac::find(section.text("mac")).unwrap();
    let mut keyed = mac.construction.keyed(&section.bytes("mac_key")).unwrap();
    // The sequence number is the first four bytes of what is authenticated.
    let data = section.bytes("plain");
    let (sequence, packet) = data.split_first_chunk().unwrap();
    let mut tag = vec![0; mac.mac_bytes];
    keyed.tag(u32::from_be_bytes(*sequence), packet, &mut tag);
    assert_eq!(tag, section.bytes("tag"), "{mac:?}");
}

fn check(algorithm: &str, field: &str) {
    let sections = sections(algorithm);
    let about_it = |section: &&Section| section.kind == "packets" && section.text(field) == algorithm;
    assert!(
        sections.iter().any(|section| about_it(&section)),
        "{algorithm}: whole packets are among its vectors"
    );
    for section in &sections {
        match section.kind.as_str() {
            "packets" => check_packets(section),
            "content" => check_content(section),
            "mac" => check_mac(section),
            other => panic!("{algorithm}: a section [{other}]"),
        }
    }
}

#[test]
fn every_registered_cipher_agrees_with_its_vectors() {
    for cipher in cipher::ALL {
        check(cipher.name, "cipher");
    }
}

#[test]
fn every_registered_mac_agrees_with_its_vectors() {
    for mac in mac::ALL {
        check(mac.name, "mac");
    }
}
