//! What is told beside the conversation: EXT_INFO of both sides, pings, DEBUG, IGNORE, UNIMPLEMENTED; and peers whose
//! software needs care.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a test says what must be true by panicking"
)]

mod common;

use std::time::Duration;

use common::raw::{Position, Raw, Traits};
use common::{Cuts, Seat, connected, logged_in, pump};
use ssh_kex::keys::algorithm;
use ssh_kex::messages::{Debug, Ignore, Ping, Pong, Unimplemented};
use ssh_kex::wire::{Encode, Layer, Writer, number};
use ssh_kex::{
    Config, Error, Extensions, MAX_PINGS, Misbehaviour, PingError, Quirk, RekeyPolicy, Role, method,
};

/// Cheap exchanges.
fn quick() -> Config {
    let mut config = Config::default();
    config.preferences.kex = vec![method::find("curve25519-sha256").unwrap()];
    config
}

/// An EXT_INFO with these extensions.
fn ext_info(extensions: &[(&str, &str)]) -> Vec<u8> {
    let mut payload = vec![number::EXT_INFO];
    let mut writer = Writer::new(&mut payload);
    writer.uint32(u32::try_from(extensions.len()).unwrap());
    for (name, value) in extensions {
        writer.string(name.as_bytes());
        writer.string(value.as_bytes());
    }
    payload
}

/// A raw peer of this role and our machine, with keys in use.
fn met(raw_role: Role, traits: Traits) -> (Raw, Seat) {
    let role = match raw_role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    };
    let mut seat = Seat::of(role, quick(), 4);
    let mut raw = Raw::new(raw_role, traits);
    raw.connect(&mut seat);
    (raw, seat)
}

#[test]
fn both_sides_tell_their_extensions_to_each_other() {
    let (mut client, mut server) = connected(Config::default(), Config::default());
    let offered = Config::default().login_signatures;
    let names = offered.iter().map(|each| each.name.to_owned()).collect();
    let of_server = Extensions {
        server_sig_algs: Some(names),
        ping: true,
        publickey_hostbound: true,
        ..Extensions::default()
    };
    let of_client = Extensions {
        ping: true,
        ext_info_in_auth: true,
        ..Extensions::default()
    };
    assert_eq!(client.extensions.as_ref(), Some(&of_server));
    assert_eq!(server.extensions.as_ref(), Some(&of_client));
    assert_eq!(client.transport().extensions(), &of_server);
    assert_eq!(server.transport().extensions(), &of_client);
}

#[test]
fn a_client_tells_its_extensions_to_whoever_asks_once_and_behind_its_new_keys() {
    for asks in [true, false] {
        let traits = Traits {
            ext_info: asks,
            ..Traits::default()
        };
        let (mut raw, mut seat) = met(Role::Server, traits);
        let next = raw.next_packet();
        assert_eq!(
            next.map(|packet| (packet.number(), packet.sequence)),
            asks.then_some((number::EXT_INFO, 0))
        );
        assert_eq!(raw.next_packet(), None, "one at most");
        raw.rekey(&mut seat);
        assert_eq!(raw.next_packet(), None, "and none on a rekey");
    }
}

#[test]
fn a_server_tells_signatures_again_to_those_who_can_take_it_and_once() {
    let again = [&algorithm::ED25519];
    // A client that said so.
    let (mut client, mut server) = connected(quick(), quick());
    assert!(server.transport().tell_login_signatures(&again));
    assert!(
        !server.transport().tell_login_signatures(&again),
        "the client takes no third EXT_INFO"
    );
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.error, None);
    let told = client.extensions.clone().unwrap();
    assert_eq!(told.server_sig_algs, Some(vec!["ssh-ed25519".to_owned()]));
    assert!(
        told.ping && told.publickey_hostbound,
        "what was told before stands"
    );
    // After the login it is too late, and a client has nothing to tell.
    let (mut client, mut server) = logged_in(quick(), quick());
    assert!(!server.transport().tell_login_signatures(&again));
    assert!(!client.transport().tell_login_signatures(&again));
    // One that said nothing, or something nobody knows.
    for (version, taken) in [("0", true), ("1", false), ("", false)] {
        let (mut raw, mut seat) = met(Role::Client, Traits::default());
        assert!(!seat.transport().tell_login_signatures(&again), "not announced");
        raw.send(&ext_info(&[("ext-info-in-auth@openssh.com", version)]), &mut seat);
        assert_eq!(
            seat.transport().tell_login_signatures(&again),
            taken,
            "{version:?}"
        );
        raw.exchange_bytes(&mut seat);
        assert_eq!(
            raw.next_packet().map(|packet| packet.number()),
            taken.then_some(7)
        );
    }
}

#[test]
fn pings_are_answered_after_login_by_both_sides() {
    let (mut client, mut server) = connected(quick(), quick());
    assert_eq!(client.transport().ping(b"early"), Err(PingError::BeforeLogin));
    client.transport().authenticated();
    server.transport().authenticated();
    client.transport().ping(b"up").unwrap();
    server.transport().ping(b"down").unwrap();
    pump(&mut client, &mut server, &mut Cuts::Bytes);
    assert_eq!(client.pongs, [b"up".to_vec()]);
    assert_eq!(server.pongs, [b"down".to_vec()]);
    // One nobody asked for is passed over.
    server.transport().send(&Pong { data: b"unasked" }).unwrap();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((client.pongs.len(), &client.error), (1, &None));
    // A peer that announced nothing is not pinged.
    let (_, mut seat) = met(Role::Server, Traits::default());
    seat.transport().authenticated();
    assert_eq!(seat.transport().ping(b"x"), Err(PingError::NotAnnounced));
}

#[test]
fn pings_that_wait_are_bounded() {
    let (mut client, mut server) = logged_in(quick(), quick());
    for _ in 0..MAX_PINGS {
        client.transport().ping(b"x").unwrap();
    }
    assert_eq!(client.transport().ping(b"x"), Err(PingError::TooMany));
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!(client.pongs.len(), MAX_PINGS as usize);
    client.transport().ping(b"x").unwrap();
}

#[test]
fn a_ping_that_meets_a_change_of_keys_is_answered_behind_it() {
    let (mut client, mut server) = logged_in(quick(), quick());
    let now = server.now;
    server.transport().start_rekey(now);
    client.transport().ping(b"crossing").unwrap();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((&client.error, client.pongs.len(), client.rekeyed), (&None, 1, 1));
    // One that is sent during a change of keys waits for the new ones.
    client.transport().start_rekey(now);
    client.transport().ping(b"held").unwrap();
    pump(&mut client, &mut server, &mut Cuts::Whole);
    assert_eq!((&client.error, client.pongs.len(), client.rekeyed), (&None, 2, 2));
}

#[test]
fn pings_without_end_during_a_change_of_keys_cost_their_answers_and_nothing_else() {
    let (mut raw, mut seat) = met(Role::Client, Traits::default());
    seat.transport().authenticated();
    let now = seat.now;
    seat.transport().start_rekey(now);
    let limit = Config::default().limits.hold_queue_bytes;
    let ping = Ping { data: &[7; 1000] }.to_bytes();
    for _ in 0..4 * limit / 1000 {
        raw.send(&ping, &mut seat);
    }
    assert_eq!(seat.error, None);
    raw.rekey(&mut seat);
    let mut pongs = 0;
    while let Some(packet) = raw.next_packet() {
        pongs += usize::from(packet.number() == number::PONG);
    }
    assert!(pongs > 10 && pongs <= limit / 2 / 1000, "{pongs}");
}

#[test]
fn debug_messages_are_told_ignore_is_counted_unimplemented_says_which() {
    for raw_role in [Role::Client, Role::Server] {
        let (mut raw, mut seat) = met(raw_role, Traits::default());
        for logged_in in [false, true] {
            if logged_in {
                seat.transport().authenticated();
            }
            let before = (
                seat.debugs.len(),
                seat.unimplemented.len(),
                seat.transport().ignored(),
            );
            let debug = Debug {
                always_display: logged_in,
                message: b"look\x1b[2J",
                language_tag: b"",
            };
            raw.send(&debug.to_bytes(), &mut seat);
            raw.send(&Ignore { data: &[0; 3000] }.to_bytes(), &mut seat);
            raw.send(&[number::IGNORE], &mut seat);
            raw.send(&[number::DEBUG], &mut seat);
            raw.send(&Unimplemented { sequence_number: 77 }.to_bytes(), &mut seat);
            assert_eq!(seat.error, None);
            let message = seat.debugs.last().unwrap();
            assert_eq!(
                (message.always_display, message.text.as_str()),
                (logged_in, "look\\u{1b}[2J")
            );
            assert_eq!(seat.unimplemented.last(), Some(&77));
            let after = (
                seat.debugs.len(),
                seat.unimplemented.len(),
                seat.transport().ignored(),
            );
            assert_eq!(after, (before.0 + 1, before.1 + 1, before.2 + 3));
            let answers = std::iter::from_fn(|| raw.next_packet()).any(|packet| packet.number() == 3);
            assert!(!answers, "nothing of this is answered");
        }
    }
}

#[test]
fn what_we_tell_arrives() {
    let (mut client, mut server) = logged_in(quick(), quick());
    client.transport().send_debug(true, "to people").unwrap();
    client.transport().send_ignore(&[1; 500]).unwrap();
    pump(&mut client, &mut server, &mut Cuts::Bytes);
    assert_eq!(server.debugs[0].text, "to people");
    assert!(server.debugs[0].always_display);
    assert_eq!(server.transport().ignored(), 1);
    assert_eq!(server.error, None);
}

#[test]
fn the_host_key_of_the_first_exchange_is_the_same_on_both_sides() {
    let (mut client, mut server) = logged_in(quick(), quick());
    let blob = common::host_key(1).public().blob().to_vec();
    assert_eq!(client.transport().initial_host_key(), blob);
    assert_eq!(server.transport().initial_host_key(), blob);
    // Another one later changes nothing.
    let (mut raw, mut seat) = met(Role::Server, Traits::default());
    let first = seat.transport().initial_host_key().to_vec();
    seat.transport().authenticated();
    raw.key = common::host_key(9);
    raw.rekey(&mut seat);
    assert_eq!((seat.rekeyed, &seat.error), (1, &None));
    assert_ne!(seat.transport().host_key().unwrap().blob(), first);
    assert_eq!(seat.transport().initial_host_key(), first);
}

#[test]
fn quirk_curve25519_is_refused_with_software_that_pads_it() {
    for (line, role, refused) in [
        ("SSH-2.0-OpenSSH_6.6p1 Ubuntu-2", Role::Server, true),
        ("SSH-2.0-OpenSSH_6.5", Role::Client, true),
        ("SSH-2.0-OpenSSH_6.6.1p1", Role::Server, false),
    ] {
        let seat_role = match role {
            Role::Client => Role::Server,
            Role::Server => Role::Client,
        };
        let mut seat = Seat::of(seat_role, quick(), 4);
        let traits = Traits {
            line,
            ..Traits::default()
        };
        let mut raw = Raw::new(role, traits);
        raw.advance(None, Position::Negotiated, &mut seat);
        let unreliable = matches!(&seat.error, Some(Error::Unreliable { software, algorithm })
            if line.contains(software.as_str()) && *algorithm == "curve25519-sha256");
        assert_eq!(unreliable, refused, "{line}: {:?}", seat.error);
    }
    // Any other method is taken.
    let mut config = Config::default();
    config.preferences.edit_kex("ecdh-sha2-nistp256").unwrap();
    let mut seat = Seat::client(config, 4);
    let traits = Traits {
        line: "SSH-2.0-OpenSSH_6.6p1",
        method: method::find("ecdh-sha2-nistp256").unwrap(),
        ..Traits::default()
    };
    Raw::new(Role::Server, traits).connect(&mut seat);
}

#[test]
fn quirk_group_exchange_is_refused_with_software_that_asks_for_it_in_the_old_form() {
    for name in [
        "diffie-hellman-group-exchange-sha256",
        "diffie-hellman-group-exchange-sha1",
    ] {
        for (line, refused) in [
            ("SSH-2.0-PuTTY_Release_0.64", true),
            ("SSH-2.0-WinSCP_release_5.7.4", true),
            ("SSH-2.0-PuTTY_Release_0.65", false),
        ] {
            let mut config = Config::default();
            config.preferences.edit_kex(name).unwrap();
            let mut seat = Seat::server(config, 4);
            let traits = Traits {
                line,
                method: method::find(name).unwrap(),
                ..Traits::default()
            };
            let mut raw = Raw::new(Role::Client, traits);
            raw.advance(None, Position::Negotiated, &mut seat);
            if !refused {
                // As far as the old request, which it would not send.
                assert_eq!(seat.error, None, "{line}");
                raw.send(&[30, 0, 0, 8, 0], &mut seat);
                assert!(
                    matches!(seat.error, Some(Error::PeerMisbehaved(_))),
                    "{line}: {:?}",
                    seat.error
                );
                continue;
            }
            let told = seat.error.as_ref().unwrap().to_string();
            assert!(
                matches!(&seat.error, Some(Error::Unreliable { software, algorithm })
                    if line.contains(software.as_str()) && *algorithm == name),
                "{line}: {told}"
            );
            assert!(told.contains(name) && told.contains("leave it out"), "{told}");
        }
    }
    // Its other methods are taken.
    let mut config = Config::default();
    config
        .preferences
        .edit_kex("diffie-hellman-group14-sha256")
        .unwrap();
    let mut seat = Seat::server(config, 4);
    let traits = Traits {
        line: "SSH-2.0-PuTTY_Release_0.64",
        method: method::find("diffie-hellman-group14-sha256").unwrap(),
        ..Traits::default()
    };
    Raw::new(Role::Client, traits).connect(&mut seat);
}

#[test]
fn quirk_keys_are_not_changed_with_software_that_cannot() {
    let hour = Duration::from_secs(3600);
    for (line, changes) in [("SSH-2.0-Sun_SSH_1.0.1", false), ("SSH-2.0-Sun_SSH_2.0", true)] {
        let mut config = quick();
        config.rekey = RekeyPolicy {
            bytes: 1000,
            time: Some(hour),
            ..RekeyPolicy::default()
        };
        let mut seat = Seat::client(config, 4);
        let traits = Traits {
            line,
            ..Traits::default()
        };
        let mut raw = Raw::new(Role::Server, traits);
        raw.connect(&mut seat);
        seat.transport().authenticated();
        assert_eq!(seat.deadline().is_some(), changes, "{line}");
        // From here on limits as low as that count, whatever was sent.
        seat.wait(Duration::from_millis(100));
        raw.send(&Ignore { data: &[0; 2000] }.to_bytes(), &mut seat);
        if !changes {
            seat.wait(2 * hour);
        }
        raw.exchange_bytes(&mut seat);
        assert_eq!(
            raw.next_packet().map(|packet| packet.number()),
            changes.then_some(number::KEXINIT),
            "{line}"
        );
        assert_eq!(seat.transport().quirks().has(Quirk::CannotRekey), !changes);
    }
}

#[test]
fn a_client_s_ext_info_floods_end_at_once() {
    let many: Vec<String> = (0..=ssh_kex::ext_info::MAX_EXTENSIONS)
        .map(|index| format!("x{index}"))
        .collect();
    let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
    let (mut raw, mut seat) = met(Role::Client, Traits::default());
    raw.send(&ext_info(&many), &mut seat);
    assert!(
        matches!(
            seat.error,
            Some(Error::PeerMisbehaved(Misbehaviour::Malformed { .. }))
        ),
        "{:?}",
        seat.error
    );
    assert!(seat.output().len() < 1000);
}

#[test]
fn what_was_agreed_on_tells_whether_it_outlives_quantum_computers() {
    for method in method::ALL {
        let mut config = Config::default();
        config.preferences.kex = vec![*method];
        let (mut client, mut server) = connected(config.clone(), config);
        let hybrid = method.name.contains("mlkem") || method.name.contains("sntrup");
        assert_eq!(
            client.transport().negotiated().is_post_quantum(),
            hybrid,
            "{method:?}"
        );
        assert_eq!(
            server.transport().negotiated().is_post_quantum(),
            hybrid,
            "{method:?}"
        );
        let _ = client.transport().transmit();
    }
}
