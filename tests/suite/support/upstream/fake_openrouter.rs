//! A fake OpenRouter on a real socket. It answers by script and records requests and aborts.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::support::upstream::request::{Request, read_request};
use crate::support::upstream::response_stream::{ConnectionState, ResponseStream, write_response};
use crate::support::upstream::script::Script;
use crate::support::upstream::stream_step::Response;
use crate::support::{Journal, lock, within};

/// A request whose client disconnected before the answer was complete.
#[derive(Clone, Debug)]
pub(crate) struct Abort {
    /// The number of the request.
    pub(crate) number: usize,
    /// The number of deltas written before that.
    pub(crate) deltas: usize,
}

type ChooseScript = Arc<dyn Fn(&Request) -> Script + Send + Sync>;

struct State {
    /// Scripts for the next requests.
    queue: Mutex<VecDeque<Script>>,
    /// Chooses the script when the queue is empty.
    choose: Mutex<ChooseScript>,
    /// Responses to requests other than those for completions, by the end of the path without the
    /// query.
    documents: Mutex<HashMap<String, (u16, Value)>>,
    request_count: AtomicUsize,
    completions: Journal<Request>,
    /// Completion requests are answered but not recorded.
    discards_requests: AtomicBool,
    lookups: Journal<Request>,
    inquiries: Journal<Request>,
    aborts: Journal<Abort>,
    connections: watch::Sender<usize>,
}

/// A fake OpenRouter. Dropping it stops it and closes its connections.
pub(crate) struct FakeOpenRouter {
    address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

impl FakeOpenRouter {
    /// Starts it on a free port. It echoes questions until a script is set.
    pub(crate) async fn start() -> Self {
        let key = json!({"data": {
            "label": "sk-or-test", "limit": null, "limit_remaining": null, "usage": 0.0, "usage_daily": 0.0,
            "is_free_tier": false,
        }});
        let state = Arc::new(State {
            queue: Mutex::default(),
            choose: Mutex::new(Arc::new(|_| Script::new())),
            documents: Mutex::new(HashMap::from([("/key".to_owned(), (200, key))])),
            request_count: AtomicUsize::new(0),
            completions: Journal::default(),
            discards_requests: AtomicBool::new(false),
            lookups: Journal::default(),
            inquiries: Journal::default(),
            aborts: Journal::default(),
            connections: watch::Sender::new(0),
        });
        let (address, listening) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &state).await;
        Self { address, state, listening }
    }

    /// Returns the value for `LLM_BASE_URL`.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// Queues the script for the next request that has none.
    pub(crate) fn queue(&self, script: Script) -> &Self {
        lock(&self.state.queue).push_back(script);
        self
    }

    /// Sets the script for all requests that find the queue empty.
    pub(crate) fn always(&self, script: Script) -> &Self {
        self.answer_with(move |_| script.clone())
    }

    /// Sets the function that chooses the script when the queue is empty.
    pub(crate) fn answer_with(&self, choose: impl Fn(&Request) -> Script + Send + Sync + 'static) -> &Self {
        *lock(&self.state.choose) = Arc::new(choose);
        self
    }

    /// Sets the response to `GET …{path}`, or to a `POST` that is not for a completion. Paths
    /// without a response return 404. Of several ends of the same path, the longest counts.
    pub(crate) fn serve_document(&self, path: &str, status: u16, body: Value) -> &Self {
        lock(&self.state.documents).insert(path.to_owned(), (status, body));
        self
    }

    /// Stops recording completion requests, to save memory in long runs.
    pub(crate) fn discard_requests(&self) {
        self.state.discards_requests.store(true, Ordering::Relaxed);
    }

    /// Returns all completion requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.completions.all()
    }

    /// Waits for the oldest completion request that no earlier call has returned.
    pub(crate) async fn next_request(&self) -> Request {
        self.state.completions.next("a completion request to upstream").await
    }

    /// Waits for the oldest request for the key or a cost that no earlier call has returned.
    pub(crate) async fn next_lookup(&self) -> Request {
        self.state.lookups.next("a GET to upstream").await
    }

    /// Returns all requests for the key or a cost so far.
    pub(crate) fn lookups(&self) -> Vec<Request> {
        self.state.lookups.all()
    }

    /// Returns all requests so far that ask what the server is: those for neither completions, nor
    /// the key, nor costs.
    pub(crate) fn inquiries(&self) -> Vec<Request> {
        self.state.inquiries.all()
    }

    /// Waits for the oldest abort that no earlier call has returned.
    pub(crate) async fn wait_for_abort(&self) -> Abort {
        self.state.aborts.next("the server to abort an upstream request").await
    }

    /// Returns all aborts so far.
    pub(crate) fn aborts(&self) -> Vec<Abort> {
        self.state.aborts.all()
    }

    /// Returns the number of open connections, including idle ones.
    pub(crate) fn open_connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until exactly `count` connections are open.
    pub(crate) async fn wait_for_connections(&self, count: usize) {
        let mut connections = self.state.connections.subscribe();
        let what = format!("{count} connections to upstream ({} are open)", self.open_connections());
        let reached = within(&what, connections.wait_for(|open| *open == count)).await;
        assert!(reached.is_ok(), "upstream has stopped");
    }

    /// Closes all connections and refuses new ones.
    pub(crate) async fn stop(&mut self) {
        self.listening.abort();
        let stopped = within("upstream to stop", &mut self.listening).await;
        assert!(stopped.is_err_and(|error| error.is_cancelled()), "upstream had already stopped");
        self.wait_for_connections(0).await;
    }

    /// Listens again on the address used before [`FakeOpenRouter::stop`].
    pub(crate) async fn restart(&mut self) {
        self.listening = listen(self.address, &self.state).await.1;
    }
}

impl Drop for FakeOpenRouter {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn listen(address: SocketAddr, state: &Arc<State>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind(address).await;
    let listener = listener.unwrap_or_else(|error| panic!("upstream could not listen on {address}: {error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("upstream has no address: {error}"));
    let state = Arc::clone(state);
    let accepting = async move {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        open.spawn(serve(stream, OpenConnection::new(&state), Arc::clone(&state)));
                    }
                    // For example out of file descriptors; open connections continue.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = open.join_next() => {}
            }
        }
    };
    (address, tokio::spawn(accepting))
}

/// Counts a connection while it is open.
struct OpenConnection(Arc<State>);

impl OpenConnection {
    fn new(state: &Arc<State>) -> Self {
        state.connections.send_modify(|open| *open += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.send_modify(|open| *open -= 1);
    }
}

/// Serves the requests of one connection. `_open` counts the connection until it ends.
async fn serve(stream: TcpStream, _open: OpenConnection, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut is_reused = false;
    while let Some(mut request) = read_request(&mut reader, &state.request_count).await? {
        request.is_on_reused_connection = std::mem::replace(&mut is_reused, true);
        let path = request.path.split('?').next().unwrap_or_default().to_owned();
        if request.method == "GET" || !path.ends_with("/chat/completions") {
            let response = look_up_document(&state, &request);
            let is_lookup = ["/key", "/generation"].iter().any(|end| path.ends_with(end));
            if is_lookup { &state.lookups } else { &state.inquiries }.push(request);
            write_response(&mut writer, &response).await?;
            continue;
        }
        let script = lock(&state.queue).pop_front();
        let script = script.unwrap_or_else(|| (Arc::clone(&lock(&state.choose)))(&request));
        if !state.discards_requests.load(Ordering::Relaxed) {
            state.completions.push(request.clone());
        }
        let mut stream = ResponseStream::new(&mut writer, &script, request.number, &request.body);
        let result = {
            let playing = stream.play(request.question());
            tokio::select! {
                result = playing => result,
                () = wait_for_disconnect(&mut reader) => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        let (deltas, complete) = (stream.deltas, stream.complete);
        match result {
            Ok(ConnectionState::Reusable) => {}
            Ok(ConnectionState::Closed) => return Ok(()),
            Ok(ConnectionState::Reset) => {
                let socket: &TcpStream = reader.get_ref().as_ref();
                return socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
            // A client that has received everything may disconnect before the last HTTP chunk.
            Err(_) if complete => return Ok(()),
            Err(error) => {
                state.aborts.push(Abort { number: request.number, deltas });
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Returns the response that was set for the path of a request, or 404.
fn look_up_document(state: &State, request: &Request) -> Response {
    let documents = lock(&state.documents);
    let path = request.path.split('?').next().unwrap_or_default();
    let matching = documents.iter().filter(|(end, _)| path.ends_with(*end));
    let found = matching.max_by_key(|(end, _)| end.len()).map(|(_, document)| document.clone());
    let missing = || (404, json!({"error": {"code": 404, "message": "Not found"}}));
    let (status, body) = found.unwrap_or_else(missing);
    Response { status, headers: Vec::new(), body: body.to_string() }
}

/// Returns when the client has closed its side. Clients do not pipeline, so no bytes are expected.
async fn wait_for_disconnect(reader: &mut BufReader<OwnedReadHalf>) {
    if reader.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) {
        std::future::pending().await
    }
}
