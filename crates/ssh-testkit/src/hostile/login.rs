//! The scripted peer's side of a login: honest by default, every message to be had by itself.

use ssh_client::auth::messages::{ServiceAccept, ServiceRequest, UserauthRequest, UserauthSuccess};
use ssh_client::auth::service::{CONNECTION, USERAUTH};
use ssh_client::kex::Role;
use ssh_client::keys::PrivateKey;
use ssh_client::wire::{Encode, Rest, Writer, number};

use super::{Peer, Position, Target, Victim};

/// Asks for the service of logins.
pub fn service_request() -> Vec<u8> {
    ServiceRequest {
        service_name: USERAUTH,
    }
    .to_bytes()
}

/// Accepts it.
pub fn service_accept() -> Vec<u8> {
    ServiceAccept {
        service_name: USERAUTH,
    }
    .to_bytes()
}

/// A USERAUTH_REQUEST of any method with any fields.
pub fn request(method_name: &str, fields: &[u8]) -> Vec<u8> {
    request_of(Victim::USER, method_name, fields)
}

/// The same in the name of another user.
pub fn request_of(user: &str, method_name: &str, fields: &[u8]) -> Vec<u8> {
    UserauthRequest {
        user_name: user.as_bytes(),
        service_name: CONNECTION,
        method_name,
        method_fields: Rest(fields),
    }
    .to_bytes()
}

/// A login by password.
pub fn password(word: &[u8]) -> Vec<u8> {
    let mut fields = Vec::new();
    let mut writer = Writer::new(&mut fields);
    writer.boolean(false);
    writer.string(word);
    request("password", &fields)
}

/// A login by key; asks only whether a signature would help, or signs for a session.
///
/// # Panics
/// The key cannot sign.
pub fn public_key(key: &PrivateKey, session_id: Option<&[u8]>) -> Vec<u8> {
    public_key_of(Victim::USER, key, session_id)
}

/// The same in the name of another user.
///
/// # Panics
/// The key cannot sign.
pub fn public_key_of(user: &str, key: &PrivateKey, session_id: Option<&[u8]>) -> Vec<u8> {
    let algorithm = key.algorithms()[0];
    let mut fields = Vec::new();
    let mut writer = Writer::new(&mut fields);
    writer.boolean(session_id.is_some());
    writer.string(algorithm.name.as_bytes());
    writer.string(key.public().blob());
    if let Some(session_id) = session_id {
        let mut signed = Vec::new();
        let mut writer = Writer::new(&mut signed);
        writer.string(session_id);
        writer.raw(&request_of(user, "publickey", &fields));
        let signature = key.sign(algorithm, &signed).expect("a signature");
        Writer::new(&mut fields).string(&signature);
    }
    request_of(user, "publickey", &fields)
}

impl Peer {
    /// From keys in use to somebody logged in.
    ///
    /// # Panics
    /// The target does not play along.
    pub fn log_in(&mut self, target: &mut dyn Target) {
        match self.role() {
            Role::Client => {
                self.say(&service_request(), target);
                self.until(number::SERVICE_ACCEPT, target);
                let session_id = self.session_id.clone();
                let request = public_key_of(&self.user, &Victim::user_key(), session_id.as_deref());
                self.say(&request, target);
                self.until(number::USERAUTH_SUCCESS, target);
            }
            Role::Server => {
                self.until(number::SERVICE_REQUEST, target);
                self.say(&service_accept(), target);
                self.until(number::USERAUTH_REQUEST, target);
                self.say(&UserauthSuccess {}.to_bytes(), target);
            }
        }
    }

    /// From the first byte to somebody logged in.
    pub fn connect(&mut self, target: &mut dyn Target) {
        self.start(Position::Keyed, target);
        self.log_in(target);
    }
}
