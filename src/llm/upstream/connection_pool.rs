//! Connections to the upstream server, and the replacement of those that died while idle.
//!
//! A server may close an idle connection at the moment when the next request is written to it. Such
//! a request fails through no fault of the server, so it is sent again on a new connection.

use std::collections::HashSet;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::http::Extensions;
use hyper_util::client::legacy::Error as ClientError;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::header::CONNECTION;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Version};
use tokio::sync::OnceCell;

use crate::llm::upstream::rejection::error_chain;
use crate::settings::LlmSettings;

/// How long an idle connection is kept. uvicorn (vLLM, SGLang, LiteLLM), Node.js and llama.cpp close
/// theirs after 5 s; a second remains for the way. A new connection costs two or three round trips.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// The maximum number of connections that are known to have served a request. There are more only
/// if as many are opened and closed; all are forgotten then.
const MAX_KNOWN: usize = 16 * 1024;

/// The connections to the upstream server.
pub(crate) struct ConnectionPool {
    client: Client,
    /// The local addresses of the connections that have served a request. A server may close such a
    /// connection at any time; one that dies with its first request is a failure.
    used: Mutex<HashSet<SocketAddr>>,
    /// Opens a connection for each request. Created when it is first needed.
    unpooled: OnceCell<Client>,
    policy: ConnectionPolicy,
}

/// How connections are opened and kept.
#[derive(Clone, Copy, Debug)]
struct ConnectionPolicy {
    connect_timeout: Duration,
    /// Whether the server is on this machine.
    is_loopback: bool,
    max_idle: usize,
}

impl ConnectionPool {
    /// Returns a pool without connections.
    pub(crate) fn new(settings: &LlmSettings) -> reqwest::Result<Self> {
        Self::with_policy(ConnectionPolicy {
            connect_timeout: settings.connect_timeout,
            is_loopback: settings.base_url.is_loopback(),
            // No more connections can be in use at once.
            max_idle: settings.max_concurrency,
        })
    }

    fn with_policy(policy: ConnectionPolicy) -> reqwest::Result<Self> {
        let client = policy
            .builder()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(policy.max_idle)
            .build()?;
        Ok(Self { client, used: Mutex::default(), unpooled: OnceCell::new(), policy })
    }

    /// Returns the client that builds requests.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Sends a request and returns the head of the response. If the request was sent on a
    /// connection that had served others and that died before the head, it is sent again, once, on
    /// a new connection; `on_reconnect` receives the cause before that.
    pub(crate) async fn send(
        &self,
        request: RequestBuilder,
        on_reconnect: impl FnOnce(&str),
    ) -> reqwest::Result<Response> {
        let request = request.build()?;
        // Bodies that are streams cannot be sent twice; there are none.
        let copy = request.try_clone();
        let sent = self.client.execute(request).await;
        let connection = local_address(&sent);
        let was_used = connection.is_some_and(|connection| self.used().contains(&connection));
        let cause = if was_used { cause_of_death(&sent) } else { None };
        match (&sent, connection) {
            (Ok(_), Some(connection)) => self.remember(connection),
            // The address may belong to a new connection next.
            (Err(_), Some(connection)) => {
                self.used().remove(&connection);
            }
            (_, None) => {}
        }
        let Some((cause, copy)) = cause.zip(copy) else { return sent };
        match self.unpooled().await {
            Some(unpooled) => {
                on_reconnect(&cause);
                unpooled.execute(copy).await
            }
            None => sent,
        }
    }

    fn used(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, connection: SocketAddr) {
        let mut used = self.used();
        if used.len() >= MAX_KNOWN {
            used.clear();
        }
        used.insert(connection);
    }

    /// Returns the client whose connections are not kept if [`Self::unpooled`] has created it,
    /// otherwise the pooled one.
    pub(crate) fn unpooled_client(&self) -> &Client {
        self.unpooled.get().unwrap_or(&self.client)
    }

    /// Returns a client whose connections are not kept. The first call creates it, which reads the
    /// certificates of the system and must not block the other tasks.
    pub(crate) async fn unpooled(&self) -> Option<&Client> {
        let policy = self.policy;
        let create = || async move {
            let created =
                tokio::task::spawn_blocking(move || policy.builder().pool_max_idle_per_host(0).build());
            created.await.ok().and_then(Result::ok).ok_or(())
        };
        self.unpooled.get_or_try_init(create).await.ok()
    }
}

impl ConnectionPolicy {
    fn builder(self) -> ClientBuilder {
        // A proxy from the environment (`HTTP_PROXY` and so on) is for other machines.
        let builder = if self.is_loopback { Client::builder().no_proxy() } else { Client::builder() };
        builder
            .connect_timeout(self.connect_timeout)
            // With Nagle's algorithm the last small segment of a request would wait for a delayed
            // acknowledgement.
            .tcp_nodelay(true)
            // Another host must receive neither the API key nor the prompt.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("resume-chatbot/", env!("CARGO_PKG_VERSION")))
    }
}

/// Returns the local address of the connection that a request was sent on, if it was sent.
fn local_address(sent: &reqwest::Result<Response>) -> Option<SocketAddr> {
    let info = match sent {
        Ok(response) => response.extensions().get::<HttpInfo>().cloned(),
        Err(error) => {
            let mut causes =
                std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
            let connection = causes.find_map(|cause| cause.downcast_ref::<ClientError>()?.connect_info())?;
            let mut extensions = Extensions::new();
            connection.get_extras(&mut extensions);
            extensions.remove::<HttpInfo>()
        }
    };
    Some(info?.local_addr())
}

/// Returns why the connection of a request died before it received a response, if it did.
fn cause_of_death(sent: &reqwest::Result<Response>) -> Option<String> {
    match sent {
        Ok(response) => is_idle_timeout(response).then(|| "408, the idle time is over".to_owned()),
        Err(error) => is_dead_connection(error).then(|| error_chain(error)),
    }
}

/// Some servers and proxies say 408 when they close an idle connection (RFC 9110, 15.5.9).
fn is_idle_timeout(response: &Response) -> bool {
    let closes = response.headers().get(CONNECTION).and_then(|value| value.to_str().ok());
    response.status() == StatusCode::REQUEST_TIMEOUT
        && response.version() < Version::HTTP_2
        && closes.is_some_and(|value| value.trim().eq_ignore_ascii_case("close"))
}

fn is_dead_connection(error: &reqwest::Error) -> bool {
    if !error.is_request() || error.is_timeout() || error.is_connect() {
        return false;
    }
    let mut causes =
        std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    // If the response was unreadable, the server has responded.
    !causes.any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_parse() || error.is_user())
    })
}
