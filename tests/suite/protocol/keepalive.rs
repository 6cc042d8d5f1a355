//! Who is there and who only seems to be: heartbeats, idle visitors, and clients that take for ever or send for ever.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::chat::{Chat, hear_text};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

/// More than any close of ours takes to come, less than another timeout would.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_idle_visitor_is_warned_before_the_connection_is_closed() {
    let server =
        Server::start(ServerConfig::demo().with("IDLE_TIMEOUT", "3s").with("HEARTBEAT_INTERVAL", "500ms"))
            .await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let since = Instant::now();
    let notice = visitor.hear_type("notice").await;
    let warned = since.elapsed();
    assert_eq!(notice["code"], "IDLE_SOON");
    assert_eq!(visitor.hear_close().await, 4408);
    assert!(warned > Duration::from_secs(2) && since.elapsed() > warned, "{warned:?}");
}

#[tokio::test]
async fn a_client_that_never_says_anything_is_let_go_long_before_a_heartbeat_and_one_that_listens_is_not() {
    let server = Server::start(ServerConfig::demo().with("FIRST_FRAME_TIMEOUT", "1s")).await;
    let mut deaf = RawSocket::connect(&server).await;
    let mut listening = ChatClient::connect(&server).await;
    let since = Instant::now();
    let (close, _) = tokio::join!(deaf.read_close(), async {
        // Whoever reads answers the server's ping without knowing.
        let _ = tokio::time::timeout(Duration::from_secs(2), listening.hear()).await;
    });
    assert_eq!(close, Some(4408));
    assert!(since.elapsed() < SOON);
    listening.hear_nothing_more().await;
}

#[tokio::test]
async fn any_traffic_is_a_sign_of_life() {
    let server = Server::start(ServerConfig::demo().with("HEARTBEAT_INTERVAL", "1s")).await;
    let mut talking = RawSocket::connect(&server).await;
    // It answers no ping in four heartbeats, but it says something after most of them.
    let pong = Frame::new(10, *b"unasked").bytes();
    let most = pong.len() * 5;
    assert_eq!(talking.drip(&pong, most, Duration::from_millis(900)).await, most);
    talking.send(&Frame::new(9, *b"there")).await;
    let mut said = talking.read_frame().await;
    while said.as_ref().is_some_and(|frame| frame.opcode == 9) {
        said = talking.read_frame().await;
    }
    assert_eq!(said.map(|frame| frame.payload), Some(b"there".to_vec()));
}

#[tokio::test]
async fn a_peer_that_vanished_is_found_out_and_its_answer_goes_on_and_is_resumed() {
    let mut chat = Chat::with(&[("HEARTBEAT_INTERVAL", "500ms")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::of(&["One, ", "two."]).hold_after(1, &gate));
    // The network of this one goes in the middle of the answer: nothing is read any more, no ping is answered.
    let session = chat.visitor.start().await;
    chat.visitor.ask("Count, please.").await;
    let shown = hear_text(&mut chat.visitor, "One, ").await;
    chat.server.wait_for_log("the end of the connection", |line| line["msg"] == "session closed").await;
    gate.open();
    let mut back = chat.another().await;
    let resumed = back.resume(&session, json!({"turn_id": shown["turn_id"], "seq": shown["seq"]})).await;
    assert_eq!(resumed.frame["recovered"], true);
    let rest = back.rest_of_answer().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
}

#[tokio::test]
async fn a_message_that_is_never_finished_is_not_waited_for() {
    let server = Server::start(ServerConfig::demo().with("MESSAGE_TIMEOUT", "1s")).await;
    let frame = Frame::text([b'x'; 1_000]).bytes();
    let fragment = Frame::continuation(*b"x").unfinished().bytes();
    let empty = Frame::continuation(*b"").unfinished().bytes();
    let pong = Frame::new(10, *b"").bytes();
    let begin = Frame::text(*b"x").unfinished();
    let slow = async |first: Vec<u8>, piece: Vec<u8>| {
        let mut socket = RawSocket::connect(&server).await;
        let since = Instant::now();
        socket.send_bytes(&first).await;
        socket.drip(&piece, piece.len() * 100, Duration::from_millis(50)).await;
        (socket.read_close().await, since.elapsed())
    };
    let closes = tokio::join!(
        slow(frame[..8].to_vec(), vec![b'x']),
        slow(begin.bytes(), fragment),
        slow(begin.bytes(), empty),
        slow(begin.bytes(), pong),
    );
    for (close, after) in [closes.0, closes.1, closes.2, closes.3] {
        assert_eq!(close, Some(4408));
        assert!((Duration::from_millis(900)..SOON).contains(&after), "{after:?}");
    }
}

#[tokio::test]
async fn a_flood_of_frames_is_stopped_whatever_they_are() {
    let chat = Chat::with(&[]).await;
    let begin = Frame::text(*b"").unfinished().bytes();
    let floods = [
        ("pings", vec![], Frame::new(9, *b"")),
        ("pongs", vec![], Frame::new(10, *b"")),
        ("empty fragments", begin.clone(), Frame::continuation(*b"").unfinished()),
        ("fragments of one byte", begin, Frame::continuation(*b"x").unfinished()),
        ("messages", vec![], Frame::text(*br#"{"type":"ping"}"#)),
    ];
    for (what, first, frame) in floods {
        let mut flooding = RawSocket::connect(&chat.server).await;
        flooding.send_bytes(&first).await;
        // A bit more than may come at once, so that nothing is left unread that would void the close.
        flooding.send_bytes(&frame.bytes().repeat(1_100)).await;
        assert_eq!(flooding.read_close().await, Some(4429), "{what}");
    }
    // One that goes on regardless costs no memory.
    let before = chat.server.resident_kib();
    let mut hasty = RawSocket::connect(&chat.server).await;
    let sent = hasty.drip(&Frame::new(9, *b"").bytes().repeat(10_000), 64 << 20, Duration::ZERO).await;
    assert!(sent < 64 << 20, "the server took all of it");
    let grown = chat.server.resident_kib().saturating_sub(before);
    // What its parts may hold beside each other; a quarter of what was sent.
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
}

#[tokio::test]
async fn a_handshake_of_a_few_bytes_a_second_is_cut() {
    let server = Server::start(ServerConfig::demo()).await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    let since = Instant::now();
    let head =
        "GET /ws/chat HTTP/1.1\r\nHost: slow.example\r\nX-Padding: ".bytes().chain(std::iter::repeat(b'x'));
    let (mut answer, mut buffer) = (Vec::new(), [0; 1_024]);
    for byte in head {
        let _ = slow.write_all(&[byte]).await;
        match tokio::time::timeout(Duration::from_millis(200), slow.read(&mut buffer)).await {
            Err(_) => assert!(since.elapsed() < SOON * 3, "the server still waits"),
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(some)) => answer.extend_from_slice(&buffer[..some]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer:?} after {:?}", since.elapsed());
}

#[tokio::test]
async fn a_crowd_at_the_door_is_let_in_up_to_the_limits_and_refused_at_once_beyond() {
    const CROWD: usize = 300;
    let config =
        ServerConfig::demo().with("MAX_CONNECTIONS", "100").with("MAX_CONNECTIONS_PER_ADDRESS", "60");
    let server = Server::start(config).await;
    // Two addresses, each of which may have more than half of the places.
    let handshakes = ["127.0.0.2", "127.0.0.3"].map(|from| Handshake::new().coming_from(from));
    let since = Instant::now();
    let knock = async |index: usize| ChatClient::connect_with(&server, &handshakes[index % 2]).await;
    let crowd = within("every answer at the door", join_all((0..CROWD).map(knock))).await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    let mut refused = [0, 0];
    for refusal in crowd.iter().filter_map(|knocked| knocked.as_ref().err()) {
        assert!(refusal.header("retry-after").is_some(), "{refusal:?}");
        match refusal.status {
            503 => refused[0] += 1,
            429 => refused[1] += 1,
            other => assert_eq!(other, 503, "{refusal:?}"),
        }
    }
    let inside = CROWD - refused[0] - refused[1];
    assert!(inside == 100 && refused[0] > 0, "{inside} inside, refused: {refused:?}");
}
