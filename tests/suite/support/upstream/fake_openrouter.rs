//! A stand-in for OpenRouter on a real socket: answers as scripted, and remembers who asked what and who went away.

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
use crate::support::upstream::response_stream::{Left, Stream, write_response};
use crate::support::upstream::script::Script;
use crate::support::upstream::stream_step::Response;
use crate::support::{Journal, lock, within};

/// A request whose client left before the answer was complete.
#[derive(Clone, Debug)]
pub(crate) struct Abort {
    /// The number of the request.
    pub(crate) number: usize,
    /// Deltas that were written by then.
    pub(crate) deltas: usize,
}

type Choose = Arc<dyn Fn(&Request) -> Script + Send + Sync>;

struct State {
    queue: Mutex<VecDeque<Script>>,
    otherwise: Mutex<Choose>,
    /// Answers to `GET`, by the path's end (without the query).
    documents: Mutex<HashMap<String, (u16, Value)>>,
    asked: AtomicUsize,
    questions: Journal<Request>,
    /// Questions are answered but not kept.
    forgetful: AtomicBool,
    lookups: Journal<Request>,
    aborts: Journal<Abort>,
    connections: watch::Sender<usize>,
}

/// The fake; gone, with its connections, when dropped.
pub(crate) struct FakeOpenRouter {
    address: SocketAddr,
    state: Arc<State>,
    listening: JoinHandle<()>,
}

impl FakeOpenRouter {
    /// Listens on a free port and echoes questions until told otherwise.
    pub(crate) async fn start() -> Self {
        let key = json!({"data": {
            "label": "sk-or-test", "limit": null, "limit_remaining": null, "usage": 0.0, "usage_daily": 0.0,
            "is_free_tier": false,
        }});
        let state = Arc::new(State {
            queue: Mutex::default(),
            otherwise: Mutex::new(Arc::new(|_| Script::new())),
            documents: Mutex::new(HashMap::from([("/key".to_owned(), (200, key))])),
            asked: AtomicUsize::new(0),
            questions: Journal::default(),
            forgetful: AtomicBool::new(false),
            lookups: Journal::default(),
            aborts: Journal::default(),
            connections: watch::Sender::new(0),
        });
        let (address, listening) = listen(SocketAddr::from(([127, 0, 0, 1], 0)), &state).await;
        Self { address, state, listening }
    }

    /// What `LLM_BASE_URL` is set to.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }

    /// Answers the next question that has no script yet with this one.
    pub(crate) fn queue(&self, script: Script) -> &Self {
        lock(&self.state.queue).push_back(script);
        self
    }

    /// Answers every question that finds the queue empty with this script.
    pub(crate) fn always(&self, script: Script) -> &Self {
        self.answer_with(move |_| script.clone())
    }

    /// Chooses the script by what was asked, when the queue is empty.
    pub(crate) fn answer_with(&self, choose: impl Fn(&Request) -> Script + Send + Sync + 'static) -> &Self {
        *lock(&self.state.otherwise) = Arc::new(choose);
        self
    }

    /// Answers `GET …{path}`, for `/key` and `/generation`; what is not set is 404.
    pub(crate) fn document(&self, path: &str, status: u16, body: Value) -> &Self {
        lock(&self.state.documents).insert(path.to_owned(), (status, body));
        self
    }

    /// Keeps no questions from now on, so that many of them cost no memory.
    pub(crate) fn forget_questions(&self) {
        self.state.forgetful.store(true, Ordering::Relaxed);
    }

    /// Every question so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.questions.all()
    }

    /// The oldest question that no earlier call returned.
    pub(crate) async fn next_request(&self) -> Request {
        self.state.questions.next("a question to upstream").await
    }

    /// The oldest `GET` that no earlier call returned.
    pub(crate) async fn next_lookup(&self) -> Request {
        self.state.lookups.next("a GET to upstream").await
    }

    /// Every `GET` so far.
    pub(crate) fn lookups(&self) -> Vec<Request> {
        self.state.lookups.all()
    }

    /// The oldest abort that no earlier call returned.
    pub(crate) async fn wait_for_abort(&self) -> Abort {
        self.state.aborts.next("upstream's client to go away in the middle of an answer").await
    }

    /// Every abort so far.
    pub(crate) fn aborts(&self) -> Vec<Abort> {
        self.state.aborts.all()
    }

    /// Connections that are open now, idle ones included.
    pub(crate) fn open_connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until just so many connections are open.
    pub(crate) async fn wait_for_connections(&self, count: usize) {
        let mut connections = self.state.connections.subscribe();
        let what = format!("{count} connections to upstream ({} are open)", self.open_connections());
        let reached = within(&what, connections.wait_for(|open| *open == count)).await;
        assert!(reached.is_ok(), "upstream is gone");
    }

    /// Closes every connection and refuses new ones, as when upstream is down.
    pub(crate) async fn stop(&mut self) {
        self.listening.abort();
        let stopped = within("upstream to stop", &mut self.listening).await;
        assert!(stopped.is_err_and(|error| error.is_cancelled()), "upstream had stopped by itself");
        self.wait_for_connections(0).await;
    }

    /// Listens again where it did before [`FakeOpenRouter::stop`].
    pub(crate) async fn start_again(&mut self) {
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
                        open.spawn(serve(stream, Counted::new(&state), Arc::clone(&state)));
                    }
                    // Out of descriptors, for instance: the others go on.
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                },
                Some(_) = open.join_next() => {}
            }
        }
    };
    (address, tokio::spawn(accepting))
}

/// Counts a connection for as long as it is open.
struct Counted(Arc<State>);

impl Counted {
    fn new(state: &Arc<State>) -> Self {
        state.connections.send_modify(|open| *open += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.send_modify(|open| *open -= 1);
    }
}

/// One connection, request after request. `_counted` lives as long as the socket does.
async fn serve(stream: TcpStream, _counted: Counted, state: Arc<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    while let Some(request) = read_request(&mut reader, &state.asked).await? {
        if request.method == "GET" {
            let found = {
                let documents = lock(&state.documents);
                let path = request.path.split('?').next().unwrap_or_default();
                documents.iter().find(|(end, _)| path.ends_with(*end)).map(|(_, document)| document.clone())
            };
            state.lookups.push(request);
            let missing = || (404, json!({"error": {"code": 404, "message": "Not found"}}));
            let (status, body) = found.unwrap_or_else(missing);
            let response = Response { status, headers: Vec::new(), body: body.to_string() };
            write_response(&mut writer, &response).await?;
            continue;
        }
        let script = lock(&state.queue).pop_front();
        let script = script.unwrap_or_else(|| (Arc::clone(&lock(&state.otherwise)))(&request));
        if !state.forgetful.load(Ordering::Relaxed) {
            state.questions.push(request.clone());
        }
        let mut stream = Stream::new(&mut writer, &script, request.number, &request.body);
        let played = {
            let playing = stream.play(request.question());
            tokio::select! {
                played = playing => played,
                () = hang_up(&mut reader) => Err(io::ErrorKind::ConnectionAborted.into()),
            }
        };
        let (deltas, complete) = (stream.deltas, stream.complete);
        match played {
            Ok(Left::Usable) => {}
            Ok(Left::Closed) => return Ok(()),
            Ok(Left::Reset) => {
                let socket: &TcpStream = reader.get_ref().as_ref();
                return socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
            }
            // A client that has seen the end need not wait for the rest of the HTTP.
            Err(_) if complete => return Ok(()),
            Err(error) => {
                state.aborts.push(Abort { number: request.number, deltas });
                return Err(error);
            }
        }
    }
    Ok(())
}

/// Returns when the client has closed its side; nobody asks the next thing before the answer is complete.
async fn hang_up(reader: &mut BufReader<OwnedReadHalf>) {
    if reader.fill_buf().await.is_ok_and(|bytes| !bytes.is_empty()) {
        std::future::pending().await
    }
}
