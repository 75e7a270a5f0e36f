//! What programs at the server may use on this side: the agent (`-A`) and the display (`-X`, `-Y`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ssh_client::channel::ChannelRequest;
use ssh_client::config_file::{ForwardAgent, expand};
use ssh_client::{Client, Exec, Forward, Process, X11Display, X11Forward};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::client::Plan;
use crate::terminal::{complain, harmless};

/// Where `xauth` is, unless `XAuthLocation` says otherwise.
const XAUTH: &str = "/usr/bin/xauth";
/// For how long programs that are not trusted may connect to the display, unless `ForwardX11Timeout` says otherwise.
const UNTRUSTED_TIME: Duration = Duration::from_secs(20 * 60);
/// For how much longer their cookie lives: a display could take one that has ended for no cookie at all.
const UNTRUSTED_SLACK: Duration = Duration::from_secs(60);

/// The guests of a session.
#[derive(Default)]
pub(super) struct Guests {
    agent: Option<Forward>,
    display: Option<Arc<X11Forward>>,
    /// Lets nobody in any more after a time.
    closing: Option<JoinHandle<()>>,
}

impl Guests {
    /// Prepares for those the plan invites. Without an agent or a display here there is nothing to prepare.
    ///
    /// # Errors
    /// Something that was named is not there, and forwards must not fail.
    pub(super) async fn invite(plan: &Plan, client: &Client) -> Result<Self, String> {
        let mut guests = Self::default();
        if let Some(socket) = agent(plan)? {
            guests.forward_agent(client, &socket).await;
        }
        if plan.options.forward_x11 == Some(true) {
            guests.forward_display(plan, client).await;
        }
        Ok(guests)
    }

    async fn forward_agent(&mut self, client: &Client, socket: &Path) {
        if let Err(error) = UnixStream::connect(socket).await {
            tracing::debug!(socket = %socket.display(), %error, "no agent answers");
            return;
        }
        match client.forward_agent(socket).await {
            Ok(forward) => self.agent = Some(forward),
            Err(error) => tracing::warn!("the agent is not forwarded: {}", harmless(&error.to_string())),
        }
    }

    async fn forward_display(&mut self, plan: &Plan, client: &Client) {
        let is_trusted = plan.options.forward_x11_trusted == Some(true);
        let display = match display(plan, is_trusted).await {
            Ok(Some(display)) => display,
            Ok(None) => return tracing::debug!("X11 forwarding requested but DISPLAY not set"),
            Err(problem) => return complain(&problem),
        };
        match client.forward_x11(display).await {
            Ok(forward) => {
                let forward = Arc::new(forward);
                if !is_trusted && let Some(limit) = untrusted_time(plan) {
                    self.closing = Some(tokio::spawn(close_later(Arc::clone(&forward), limit)));
                }
                self.display = Some(forward);
            }
            Err(error) => tracing::warn!("the display is not forwarded: {}", harmless(&error.to_string())),
        }
    }

    /// Has a session ask the server for them. The cookie for the display ends with the session.
    ///
    /// # Errors
    /// There is no randomness for a cookie.
    pub(super) fn asked_by(&self, mut session: Exec) -> Result<Exec, String> {
        if let Some(display) = &self.display {
            session = session.x11(display.request(false).map_err(|error| error.to_string())?);
        }
        if self.agent.is_some() {
            session = session.request(ChannelRequest::AuthAgentReq);
        }
        Ok(session)
    }

    /// Tells what the server refused.
    pub(super) fn tell_refused(process: &Process) {
        for name in process.control.refused_requests() {
            match name.as_str() {
                "x11-req" => complain("X11 forwarding request failed on channel 0"),
                name => tracing::debug!("the server refused {name}"),
            }
        }
    }

    /// Waits until the display is free of them: they may outlive the session's program.
    pub(super) async fn drain(&self) {
        let Some(display) = self.display.as_ref().map(|display| display.forward()) else {
            return;
        };
        if display.connections().open > 0 {
            if let Err(error) = display.close().await {
                tracing::debug!(%error, "the display is not closed to others");
            }
            display.finished().await;
        }
    }
}

impl Drop for Guests {
    fn drop(&mut self) {
        if let Some(closing) = &self.closing {
            closing.abort();
        }
    }
}

/// For how long programs that are not trusted may connect; `None`: as long as the session lives.
fn untrusted_time(plan: &Plan) -> Option<Duration> {
    let limit = plan.options.forward_x11_timeout.unwrap_or(UNTRUSTED_TIME);
    Some(limit).filter(|limit| !limit.is_zero())
}

async fn close_later(display: Arc<X11Forward>, limit: Duration) {
    tokio::time::sleep(limit).await;
    tracing::debug!("ForwardX11Timeout is over: no further program is let in to the display");
    if let Err(error) = display.forward().close().await {
        tracing::debug!(%error, "the display stays open");
    }
}

/// The socket of the agent that is to be forwarded.
fn agent(plan: &Plan) -> Result<Option<PathBuf>, String> {
    let socket = match &plan.options.forward_agent {
        None | Some(ForwardAgent::No) => return Ok(None),
        Some(ForwardAgent::Yes) => return Ok(variable("SSH_AUTH_SOCK")),
        Some(ForwardAgent::Path(path)) => match path.strip_prefix('$') {
            Some(name) => match variable(name) {
                Some(socket) => socket,
                None => return Ok(None),
            },
            None => expand(path, plan.tokens()).map_err(|error| error.to_string())?,
        },
    };
    let Err(error) = std::fs::metadata(&socket) else {
        return Ok(Some(socket));
    };
    let problem = format!(
        "Cannot forward agent socket path \"{}\": {error}",
        socket.display()
    );
    if plan.options.exit_on_forward_failure == Some(true) {
        return Err(problem);
    }
    complain(&problem);
    Ok(None)
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// The display of `DISPLAY`, with a cookie for it; `None` if there is none.
async fn display(plan: &Plan, is_trusted: bool) -> Result<Option<X11Display>, String> {
    let Some(name) = variable("DISPLAY").map(|name| name.to_string_lossy().into_owned()) else {
        return Ok(None);
    };
    let display = X11Display::new(&name);
    let display = display.map_err(|_| format!("DISPLAY {name:?} invalid; disabling X11 forwarding"))?;
    let xauth = plan.options.x_auth_location.as_deref().unwrap_or(XAUTH);
    if is_trusted {
        let display = match Path::new(xauth).exists() {
            true => display
                .ask_xauth(xauth)
                .await
                .map_err(|error| error.to_string())?,
            false => display,
        };
        if !display.has_cookie() && !plan.is_quiet() {
            complain("Warning: No xauth data; using fake authentication data for X11 forwarding.");
        }
        return Ok(Some(display));
    }
    let lifetime = untrusted_time(plan).map(|limit| limit.saturating_add(UNTRUSTED_SLACK));
    match display.ask_xauth_untrusted(xauth, lifetime).await {
        Ok(display) => Ok(Some(display)),
        Err(error) => {
            tracing::debug!(%error, "no cookie");
            Err("Warning: untrusted X11 forwarding setup failed: xauth key data not generated".to_owned())
        }
    }
}
