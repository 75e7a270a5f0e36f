//! Where a client asks for listening, and asks for its end: one request after the other, in their order.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::arrivals::{Purpose, lead};
use super::bind::{Listener, tcp, unix};
use super::{Bindings, Listen, ListenSocket, ListenTarget, SocketPolicy};
use crate::application::Application;
use crate::channel::{ForwardedStreamlocal, ForwardedTcpip, GlobalRequest, bound_port_reply};
use crate::lookup::lookup;
use crate::peer::Printable;
use crate::tokio_driver::IncomingGlobal;
use crate::visit::Visit;

/// A place as the client names it when it asks for its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// The address as it was asked for, and the port that was bound.
    Tcp(String, u16),
    Unix(Vec<u8>),
}

/// Serves a connection's global requests until it is over.
pub(crate) async fn attend<A: Application>(
    visit: Arc<Visit<A>>,
    mut requests: mpsc::Receiver<IncomingGlobal>,
) {
    let mut desk = Desk {
        visit: Arc::clone(&visit),
        open: HashMap::new(),
        tasks: JoinSet::new(),
    };
    loop {
        tokio::select! {
            request = requests.recv() => match request {
                Some(request) => tokio::select! {
                    () = desk.answer(request) => {}
                    _why = visit.handle.closed() => break,
                },
                None => break,
            },
            Some(ended) = desk.tasks.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "listening for a client failed");
                }
            }
            _why = visit.handle.closed() => break,
        }
    }
    desk.open.clear();
    while desk.tasks.join_next().await.is_some() {}
}

struct Desk<A> {
    visit: Arc<Visit<A>>,
    open: HashMap<Place, Open>,
    tasks: JoinSet<()>,
}

/// A place that is listened at. Dropped, it is no more, as soon as its task has looked.
struct Open {
    /// Ends the listening when it is dropped.
    kept: oneshot::Sender<()>,
    /// Fails when it has ended.
    gone: oneshot::Receiver<()>,
}

impl<A: Application> Desk<A> {
    async fn answer(&mut self, asked: IncomingGlobal) {
        match asked.request().clone() {
            GlobalRequest::TcpipForward(wanted) => {
                let target = ListenTarget {
                    address: wanted.address,
                    port: wanted.port,
                };
                match self.listen_tcp(&target).await {
                    // The port is told only to those who cannot know it.
                    Some(port) if target.port == 0 => asked.accept(&bound_port_reply(port)),
                    Some(_) => asked.accept(&[]),
                    None => asked.refuse(),
                }
            }
            GlobalRequest::StreamlocalForward(wanted) => match self.listen_unix(wanted.path).await {
                Some(()) => asked.accept(&[]),
                None => asked.refuse(),
            },
            GlobalRequest::CancelTcpipForward(what) => {
                self.cancel(&Place::Tcp(what.address, what.port), asked).await;
            }
            GlobalRequest::CancelStreamlocalForward(what) => {
                self.cancel(&Place::Unix(what.path), asked).await;
            }
            other => tracing::debug!(peer = %self.visit.login.peer, request = other.name(), "refused"),
        }
    }

    /// Agrees when the place is free: the client's next request may ask for it again.
    async fn cancel(&mut self, place: &Place, asked: IncomingGlobal) {
        // Connections that have come stay.
        if let Some(Open { kept, gone }) = self.open.remove(place) {
            drop(kept);
            let _gone = gone.await;
            asked.accept(&[]);
        }
    }

    /// Whether another place may be listened at.
    fn has_room(&self) -> bool {
        self.open.len() < self.visit.shared.limits.max_listeners
    }

    async fn listen_tcp(&mut self, target: &ListenTarget) -> Option<u16> {
        let visit = Arc::clone(&self.visit);
        let (peer, host) = (&visit.login.peer, Printable(target.address.as_bytes()));
        let is_taken = target.port != 0
            && self
                .open
                .contains_key(&Place::Tcp(target.address.clone(), target.port));
        let permitted = visit.login.permissions.may_listen(&target.address, target.port);
        let answer = if permitted && self.has_room() && !is_taken {
            visit.shared.application.tcpip_forward(&visit.login, target).await
        } else {
            Listen::Refuse
        };
        let bound = match answer {
            Listen::Refuse => {
                tracing::info!(%peer, %host, port = target.port, "listening refused");
                return None;
            }
            Listen::Bind(gateway) => self.bind(gateway.bindings(&target.address), target.port).await,
            Listen::BindTo(addresses) => bind_to(&addresses, target.port),
        };
        match bound {
            Ok((listener, port)) => {
                tracing::info!(%peer, %host, port, "listening");
                let address = target.address.clone();
                let channel = move |arrival: &super::bind::Arrival| {
                    ForwardedTcpip {
                        address: address.clone(),
                        port,
                        originator: arrival.originator.clone(),
                        originator_port: arrival.port,
                    }
                    .into()
                };
                let purpose = Purpose {
                    channel: Box::new(channel),
                    timeout: ForwardedTcpip::NAME,
                    single: false,
                    own_user_only: false,
                };
                self.begin(Place::Tcp(target.address.clone(), port), listener, purpose);
                Some(port)
            }
            Err(error) => {
                tracing::info!(%peer, %host, port = target.port, %error, "cannot listen");
                None
            }
        }
    }

    async fn bind(&self, bindings: Bindings, port: u16) -> io::Result<(Listener, u16)> {
        let addresses: Vec<IpAddr> = match bindings {
            Bindings::Addresses(addresses) => addresses,
            Bindings::Name(name) => {
                let limit = self.visit.shared.limits.forward_connect_time;
                let found = timeout(limit, lookup(&name, port))
                    .await
                    .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))?;
                found.iter().map(SocketAddr::ip).take(MAX_ADDRESSES).collect()
            }
        };
        tcp(&addresses, port, false)
    }

    async fn listen_unix(&mut self, asked: Vec<u8>) -> Option<()> {
        let visit = Arc::clone(&self.visit);
        let path = PathBuf::from(OsString::from_vec(asked.clone()));
        let (peer, shown) = (&visit.login.peer, Printable(&asked));
        let place = Place::Unix(asked.clone());
        // Where a relative path leads to would depend on where the server was started. And a socket that is listened at
        // does not make way for its like.
        let permitted = visit.login.permissions.may_listen_socket()
            && path.is_absolute()
            && !self.open.contains_key(&place);
        let answer = if permitted && self.has_room() {
            visit
                .shared
                .application
                .streamlocal_forward(&visit.login, &path)
                .await
        } else {
            ListenSocket::Refuse
        };
        let bound = match answer {
            ListenSocket::Refuse => {
                tracing::info!(%peer, path = %shown, "listening refused");
                return None;
            }
            ListenSocket::Bind(policy) => self.bind_unix(path, policy).await,
            ListenSocket::BindTo(elsewhere, policy) => self.bind_unix(elsewhere, policy).await,
        };
        match bound {
            Ok(listener) => {
                tracing::info!(%peer, path = %shown, "listening");
                let purpose = Purpose {
                    channel: Box::new(move |_arrival| ForwardedStreamlocal::new(asked.as_slice()).into()),
                    timeout: ForwardedStreamlocal::NAME,
                    single: false,
                    own_user_only: false,
                };
                self.begin(place, listener, purpose);
                Some(())
            }
            Err(error) => {
                tracing::info!(%peer, path = %shown, %error, "cannot listen");
                None
            }
        }
    }

    /// A file system that does not answer holds up nobody but who named it, and that one not for ever.
    async fn bind_unix(&self, path: PathBuf, policy: SocketPolicy) -> io::Result<Listener> {
        let limit = self.visit.shared.limits.forward_connect_time;
        timeout(limit, unix(path, policy, &self.visit.threads))
            .await
            .unwrap_or_else(|_elapsed| Err(io::ErrorKind::TimedOut.into()))
    }

    fn begin(&mut self, place: Place, mut listener: Listener, purpose: Purpose) {
        let (kept, cancelled) = oneshot::channel();
        let gone = listener.gone();
        self.open.insert(place, Open { kept, gone });
        let client = self.visit.client();
        self.tasks.spawn(lead(listener, purpose, client, async {
            // Nothing is ever sent: the other end is dropped.
            let _dropped = cancelled.await;
        }));
    }
}

/// Listens at addresses of the application's choice.
fn bind_to(addresses: &[SocketAddr], asked: u16) -> io::Result<(Listener, u16)> {
    let ports = addresses.iter().map(SocketAddr::port).filter(|port| *port != 0);
    // One place has one port: the first that is named counts for all.
    let port = ports.clone().next().unwrap_or(asked);
    let addresses: Vec<IpAddr> = addresses.iter().map(SocketAddr::ip).take(MAX_ADDRESSES).collect();
    tcp(&addresses, port, false)
}

/// Most addresses that one place may have.
const MAX_ADDRESSES: usize = 8;
