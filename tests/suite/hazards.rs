//! What is known to go wrong with the libraries underneath, and must not here.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::answer::{Answer, cursor_at};
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::gate::Gate;
use crate::support::handshake::Handshake;
use crate::support::raw_socket::{Frame, RawSocket};
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::sql::on_postgres;
use crate::support::stores::{FreshStore, Store};

/// The bytes of [`large`].
const LARGE: usize = 120 * 110 * 18;

const SMALL: &str = "A small answer.";

async fn fresh(store: Store, test: &str) -> Option<FreshStore> {
    store.fresh_for(&format!("{}::{test}", module_path!())).await
}

/// About 240 KB, which is nearly the most that an answer may have.
fn large() -> Script {
    let piece = "lorem ipsum dolor ".repeat(110);
    (0..120).fold(Script::new(), |script, _| script.words(&[&piece]))
}

/// Answers in full length to whoever asks for much, shortly to everybody else.
fn much_or_little(upstream: &FakeOpenRouter) {
    upstream.answer_with(|request| {
        if request.question().contains("much") {
            large()
        } else {
            Script::of(&[SMALL]).every(Duration::from_millis(50))
        }
    });
}

#[tokio::test]
async fn a_reader_that_hardly_reads_is_ended_and_holds_nobody_up() {
    let Some(store) = fresh(Store::Sqlite, "a_reader_that_hardly_reads").await else { return };
    let upstream = FakeOpenRouter::start().await;
    much_or_little(&upstream);
    let config = ServerConfig::serve(&store, &upstream)
        .with("SLOW_READER_TIMEOUT", "2s")
        .with("RECONNECT_GRACE", "100ms")
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    let mut server = Server::start(config).await;
    // A session needs the vocabulary, which is most of the server's memory.
    ChatClient::connect(&server).await.start().await;
    let before = server.resident_kib();
    // It takes a few bytes now and then, so its system acknowledges and lets some more through: only the server's own
    // watchdog can tell. It asks for more than the system's buffers hold, again and again.
    let mut slow = RawSocket::connect_with_a_small_buffer(&server).await;
    let ask = Frame::text(r#"{"type": "question", "question": "Say much."}"#).bytes();
    let (most, every) = (ask.len() * 150, Duration::from_millis(100));
    let mut others = ChatClient::connect(&server).await;
    let serve_others = async {
        let mut slowest = Duration::ZERO;
        let told = server.wait_for_log("that a reader stopped", |line| {
            line["msg"].as_str().is_some_and(|msg| msg.contains("closed slow connections"))
        });
        let mut told = std::pin::pin!(told);
        loop {
            let asked = Instant::now();
            tokio::select! {
                line = &mut told => return (line, slowest),
                answer = others.ask_and_hear("And you?") => assert_eq!(answer.text, SMALL),
            }
            slowest = slowest.max(asked.elapsed());
        }
    };
    let (sent, (line, slowest)) = tokio::join!(slow.drip(&ask, most, every), serve_others);
    assert!(sent < most, "the slow reader was never ended");
    assert_eq!(line["count"], 1, "{line}");
    assert!(slowest < Duration::from_secs(1), "another visitor waited {slowest:?}");
    let grown = server.resident_kib().saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB");
    server.terminate().await;
    assert_eq!(server.wait_exit().await.code(), Some(0));
    // Nobody read the answers; they are in the store all the same, every one to its last word.
    let asked = upstream.requests().iter().filter(|request| request.question().contains("much")).count();
    let whole = format!(
        "SELECT count(*) FROM messages JOIN turns ON turns.id = turn_id
         WHERE role = 'assistant' AND length(content) = {LARGE} AND status = 'complete'"
    );
    assert!(asked > 0);
    assert_eq!(usize::try_from(store.number(&whole).await).unwrap(), asked);
}

#[tokio::test]
async fn a_reader_that_stops_for_good_is_ended() {
    let upstream = FakeOpenRouter::start().await;
    upstream.always(large());
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("SLOW_READER_TIMEOUT", "2s");
    let server = Server::start(config).await;
    let mut dead = RawSocket::connect_with_a_small_buffer(&server).await;
    dead.send_text(r#"{"type": "question", "question": "Say much."}"#).await;
    // By the system, which sees that nothing is taken, or by the watchdog.
    server.wait_for_log("the end of its session", |line| line["msg"] == "session closed").await;
}

#[tokio::test]
async fn a_large_answer_is_told_in_small_frames_also_when_it_is_told_again() {
    const VISITORS: usize = 20;
    // What a connection's buffers have once held they keep.
    let small = |answer: &Answer| {
        assert!(answer.deltas.len() > 10, "{} frames", answer.deltas.len());
        let largest = answer.deltas.iter().map(|delta| delta["text"].as_str().map_or(0, str::len)).max();
        assert!(largest.is_some_and(|bytes| bytes <= 16 * 1024), "{largest:?} bytes in one frame");
    };
    let upstream = FakeOpenRouter::start().await;
    much_or_little(&upstream);
    let config = ServerConfig::command(&["serve"]).with("LLM_BASE_URL", upstream.base_url());
    let server = Server::start(config).await;
    let visit = async || {
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        let answer = visitor.ask_and_hear("Say much.").await;
        assert_eq!(answer.text.len(), LARGE);
        small(&answer);
        visitor.drop_abruptly();
        let mut visitor = ChatClient::connect(&server).await;
        let resumed = visitor.resume(&session, cursor_at(&answer.deltas[0])).await;
        assert_eq!(resumed.frame["recovered"], true);
        let again = visitor.rest_of_answer().await;
        assert!(answer.text.ends_with(&again.text) && again.text.len() > LARGE / 2);
        small(&again);
        visitor
    };
    drop(visit().await);
    let before = server.resident_kib();
    let visitors = join_all((0..VISITORS).map(|_| visit())).await;
    let grown = server.resident_kib().saturating_sub(before);
    // The answer itself is in its log, in the session's history, and was on its way to the store.
    let each = grown / u64::try_from(VISITORS).unwrap();
    assert!(each < 3 * 1024, "{each} KiB for each visitor");
    drop(visitors);
}

#[tokio::test]
async fn a_word_does_not_wait_for_the_acknowledgement_of_the_one_before() {
    const PACE: Duration = Duration::from_millis(10);
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::of(&["one ", "two ", "three"]).every(PACE));
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("RATE_LIMIT_REQUESTS_PER_MINUTE", "600");
    let server = Server::start(config).await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let mut extra = Vec::new();
    // Whoever sends soon after receiving, as a chat does, has a system that delays acknowledgements by 40 ms.
    for _ in 0..30 {
        visitor.ask("Count.").await;
        visitor.hear_type("accepted").await;
        let mut before = Instant::now();
        while visitor.hear().await["type"] == "delta" {
            extra.push(before.elapsed().saturating_sub(PACE));
            before = Instant::now();
        }
    }
    extra.sort_unstable();
    // It would be every third word. A builder that is busy makes some late by itself.
    let p80 = extra[extra.len() * 80 / 100];
    assert!(p80 < Duration::from_millis(15), "p80 of the extra latency is {p80:?}: {extra:?}");
}

#[tokio::test]
async fn connections_to_postgresql_live_on_the_actors_runtime() {
    let Some(store) = fresh(Store::Postgres, "connections_to_postgresql").await else { return };
    let upstream = FakeOpenRouter::start().await;
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    let visit = async || {
        let mut visitor = ChatClient::connect(&server).await;
        visitor.ask_and_hear("Where?").await;
        visitor
    };
    let mut visitors = join_all((0..20).map(|_| visit())).await;
    for _ in 0..20 {
        // Many reads at once want many connections, each opened by whoever wants it, and none minds those that have just been ended.
        let read = async |visitor: &mut ChatClient| {
            visitor.say(json!({"type": "history"})).await;
            visitor.hear_type("history").await["messages"].as_array().map_or(0, Vec::len)
        };
        let read = join_all(visitors.iter_mut().map(read)).await;
        assert_eq!(read, [2; 20]);
        let ours = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = 'resume-chatbot' AND datname = current_database()";
        let ended = on_postgres(store.url(), ours).await;
        assert!((1..=8).contains(&ended.len()), "{ended:?}");
    }
    assert_eq!(visitors[0].ask_and_hear("And now?").await.done["durable"], true);
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_let_go() {
    let server = Server::start(ServerConfig::demo().with("HEARTBEAT_INTERVAL", "200ms")).await;
    let mut silent = RawSocket::connect(&server).await;
    let mut alive = ChatClient::connect(&server).await;
    let since = Instant::now();
    let closed = async {
        let close = silent.read_close().await;
        (close, since.elapsed())
    };
    // Who listens answers pings, and is still there when the other is gone.
    let (listened, (close, after)) =
        tokio::join!(alive.ask_and_hear("What did she do at Halden Pay?"), closed);
    assert_eq!(close, Some(4408));
    assert!(after >= Duration::from_millis(280), "{after:?}");
    assert_eq!(listened.status(), "complete");
}

#[tokio::test]
async fn a_visitor_who_asks_nothing_any_more_is_let_go_and_one_who_asks_stays() {
    let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
    let config = ServerConfig::command(&["serve"])
        .with("LLM_BASE_URL", upstream.base_url())
        .with("HEARTBEAT_INTERVAL", "1s")
        .with("IDLE_TIMEOUT", "3s");
    let server = Server::start(config).await;
    let mut busy = ChatClient::connect(&server).await;
    let mut waiting = ChatClient::connect(&server).await;
    upstream.queue(Script::of(&["At ", "last."]).hold_after(1, &gate));
    waiting.ask("A hard question?").await;
    gate.reached().await;
    let mut idle = ChatClient::connect(&server).await;
    upstream.always(Script::of_many(10).every(Duration::from_millis(20)));
    let stay = async {
        for _ in 0..8 {
            assert_eq!(busy.ask_and_hear("And then?").await.status(), "complete");
        }
    };
    let wait = async {
        let frames = waiting.hear_until("done").await;
        frames.last().map(|done: &Value| done["status"].clone())
    };
    let let_go = async {
        let close = idle.hear_close().await;
        gate.open();
        close
    };
    let ((), status, close) = tokio::join!(stay, wait, let_go);
    assert_eq!((close, status), (4408, Some(json!("complete"))));
    // A program that pings for ever without asking anything is idle too.
    let mut pinging = ChatClient::connect_with(&server, &Handshake::new()).await.unwrap();
    pinging.say(json!({"type": "ping"})).await;
    assert_eq!(pinging.hear_close().await, 4408);
}
