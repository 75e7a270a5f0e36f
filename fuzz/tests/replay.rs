//! Every file of every corpus through its body, on the stable toolchain, and a run of cheap mutations of each: cut at
//! every length, each byte changed once. What a fuzzer found once never comes back unseen.

use std::fs;
use std::path::Path;

use bowline_fuzz::TARGETS;

/// Bytes whose changes are tried in one file; a longer file is tried at as many places, evenly spread.
const MOST_PLACES: usize = 400;
/// The same where each change costs an exchange of keys.
const FEW_PLACES: usize = 24;

#[test]
fn every_target_has_a_shim_and_a_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut shims: Vec<String> = fs::read_dir(folder.join("fuzz_targets"))
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    shims.sort();
    let mut bodies: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    bodies.sort_unstable();
    assert_eq!(shims, bodies);
    for name in bodies {
        let files = fs::read_dir(folder.join("corpus").join(name))
            .map(Iterator::count)
            .unwrap_or(0);
        assert!(files > 0, "corpus/{name} is empty");
    }
}

#[test]
fn a_byte_chooses_among_all_protections_twice() {
    use ssh_client::wire::{cipher, mac};
    let all: Vec<_> = bowline_fuzz::protections().collect();
    assert!(2 * all.len() <= 256, "{} protections", all.len());
    for cipher in cipher::ALL {
        let macs = all.iter().flatten().filter(|(each, _)| each == cipher);
        let expected = if cipher.needs_mac() { mac::ALL.len() } else { 1 };
        assert_eq!(macs.count(), expected, "{cipher:?}");
    }
}

#[test]
fn a_byte_chooses_among_all_methods_twice() {
    use ssh_client::kex::method;
    assert!(2 * method::ALL.len() <= 256);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["kex_client", "kex_server"] {
        let mut bytes = 0;
        for entry in fs::read_dir(folder.join(target)).unwrap() {
            bytes += entry.unwrap().metadata().unwrap().len();
        }
        assert!(bytes < 50 * 1024, "{target}: {bytes} bytes");
        for (choice, method) in (0..).zip(method::ALL) {
            let data = fs::read(folder.join(target).join(method.name)).unwrap();
            assert_eq!(data[0], choice, "{target}: {method:?}");
        }
    }
}

#[test]
fn the_corpora_of_exchanges_end_in_agreement() {
    use bowline_fuzz::kex::{context, messages, rng};
    use ssh_client::kex::method::{self, ClientStep, ServerStep};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for method in method::ALL {
        let heard = |target: &str| fs::read(folder.join(target).join(method.name)).unwrap();
        let (mut rng, data) = (rng(), heard("kex_client"));
        let mut half = Some(method.client_half(&context(), &mut *rng));
        for message in messages(&data[1..]) {
            match half.take().unwrap().receive(message, &mut *rng).unwrap() {
                ClientStep::Next(next) => half = Some(next),
                ClientStep::Agreed(..) => {}
            }
        }
        assert!(half.is_none(), "{method:?}: a client half still waits");
        let (mut rng, data) = (bowline_fuzz::kex::rng(), heard("kex_server"));
        let mut half = Some(method.server_half(&context(), &mut *rng));
        for message in messages(&data[1..]) {
            match half.take().unwrap().receive(message, &mut *rng).unwrap() {
                ServerStep::Send(_, next) => half = Some(next),
                ServerStep::Agreed(..) => {}
            }
        }
        assert!(half.is_none(), "{method:?}: a server half still waits");
    }
}

#[test]
fn corpora_replay() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for (name, body) in TARGETS {
        for entry in fs::read_dir(folder.join(name)).unwrap() {
            let data = fs::read(entry.unwrap().path()).unwrap();
            body(&data);
            let places = if name.starts_with("kex_") || *name == "channel_operations" {
                FEW_PLACES
            } else {
                MOST_PLACES
            };
            let step = data.len().div_ceil(places).max(1);
            for place in (0..data.len()).step_by(step) {
                body(&data[..place]);
                let mut changed = data.clone();
                changed[place] ^= 1 << (place % 8);
                body(&changed);
            }
        }
    }
}
