//! Connections to the upstream server, and the replacement of those that died while idle.
//!
//! A server may close an idle connection at the moment when the next request is written to it. Such
//! a request fails through no fault of the server, so it is sent again on a new connection.

use std::cell::Cell;
use std::error::Error;
use std::time::Duration;

use reqwest::header::CONNECTION;
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Version};
use tokio::sync::OnceCell;
use tower::util::MapResponseLayer;

use crate::llm::upstream::rejection::error_chain;
use crate::settings::LlmSettings;

/// How long an idle connection is kept. uvicorn (vLLM, SGLang, LiteLLM), Node.js and llama.cpp close
/// theirs after 5 s; a second remains for the way. A new connection costs two or three round trips.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

tokio::task_local! {
    /// Whether the request of this task has opened a connection.
    static HAS_CONNECTED: Cell<bool>;
}

/// The connections to the upstream server.
pub(crate) struct ConnectionPool {
    client: Client,
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
            .connector_layer(MapResponseLayer::new(|connection| {
                // Fails if another request has taken a connection of the pool in the meantime. Then
                // the new connection is established in the background for later ones.
                let _ = HAS_CONNECTED.try_with(|connected| connected.set(true));
                connection
            }))
            .build()?;
        Ok(Self { client, unpooled: OnceCell::new(), policy })
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
        let sending = async {
            let sent = self.client.execute(request).await;
            (sent, HAS_CONNECTED.with(Cell::get))
        };
        let (sent, is_new) = HAS_CONNECTED.scope(Cell::new(false), sending).await;
        let cause = if is_new { None } else { cause_of_death(&sent) };
        let Some((cause, copy)) = cause.zip(copy) else { return sent };
        match self.unpooled().await {
            Some(unpooled) => {
                on_reconnect(&cause);
                unpooled.execute(copy).await
            }
            None => sent,
        }
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
    // A response that cannot be read is one.
    !causes.any(|cause| {
        cause.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_parse() || error.is_user())
    })
}
