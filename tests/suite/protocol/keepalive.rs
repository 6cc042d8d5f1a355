//! Keepalive and abuse limits: heartbeats, idle timeout, unfinished messages, floods and slow
//! handshakes.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::chat::{Chat, receive_text};
use crate::support::client::chat_client::ChatClient;
use crate::support::client::handshake::Handshake;
use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;
use crate::support::within;

/// Longer than any expected close takes, and shorter than the next longer timeout.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn idle_visitor_is_warned_before_the_connection_closes() {
    let server =
        Server::start(ServerConfig::demo().with("IDLE_TIMEOUT", "3s").with("HEARTBEAT_INTERVAL", "500ms"))
            .await;
    let mut visitor = ChatClient::connect(&server).await;
    visitor.start().await;
    let since = Instant::now();
    let notice = visitor.expect_frame("notice").await;
    let warned = since.elapsed();

    assert_eq!(notice["code"], "IDLE_SOON");
    assert_eq!(visitor.wait_for_close().await, 4408);
    assert!(warned > Duration::from_secs(2) && since.elapsed() > warned, "{warned:?}");
}

#[tokio::test]
async fn client_without_a_first_frame_is_closed_unless_it_answers_pings() {
    let server = Server::start(ServerConfig::demo().with("FIRST_FRAME_TIMEOUT", "1s")).await;
    let mut silent = RawSocket::connect(&server).await;
    let mut listening = ChatClient::connect(&server).await;

    let since = Instant::now();
    let (close, _) = tokio::join!(silent.read_close(), async {
        // Reading answers the pings of the server automatically.
        let _ = tokio::time::timeout(Duration::from_secs(2), listening.receive()).await;
    });

    assert_eq!(close, Some(4408));
    assert!(since.elapsed() < SOON);
    listening.expect_no_more_frames().await;
}

#[tokio::test]
async fn any_frame_counts_as_a_heartbeat() {
    let server = Server::start(ServerConfig::demo().with("HEARTBEAT_INTERVAL", "1s")).await;
    let mut talking = RawSocket::connect(&server).await;
    // It answers no ping for four heartbeats, but sends unsolicited pongs.
    let pong = Frame::new(10, *b"unasked").bytes();

    let total = pong.len() * 5;
    assert_eq!(talking.send_slowly(&pong, total, Duration::from_millis(900)).await, total);

    talking.send(&Frame::new(9, *b"there")).await;
    let mut frame = talking.read_frame().await;
    while frame.as_ref().is_some_and(|frame| frame.opcode == 9) {
        frame = talking.read_frame().await;
    }

    assert_eq!(frame.map(|frame| frame.payload), Some(b"there".to_vec()));
}

#[tokio::test]
async fn vanished_client_is_detected_and_its_answer_can_be_resumed() {
    let mut chat = Chat::new(&[("HEARTBEAT_INTERVAL", "500ms")]).await;
    let gate = Gate::default();
    chat.upstream.queue(Script::from_words(&["One, ", "two."]).hold_after(1, &gate));
    // From here on the client stops reading, as if its network were lost, so it answers no pings.
    let session = chat.visitor.start().await;

    chat.visitor.ask("Count, please.").await;
    let shown = receive_text(&mut chat.visitor, "One, ").await;
    chat.server.wait_for_log("the end of the connection", |line| line["msg"] == "session closed").await;
    gate.open();
    let mut back = chat.connect().await;
    let resumed = back.resume(&session, json!({"turn_id": shown["turn_id"], "seq": shown["seq"]})).await;

    assert_eq!(resumed.frame["recovered"], true);

    let rest = back.receive_rest().await;
    assert_eq!((rest.text.as_str(), rest.status()), ("two.", "complete"));
}

#[tokio::test]
async fn unfinished_message_closes_the_connection_after_a_timeout() {
    let server = Server::start(ServerConfig::demo().with("MESSAGE_TIMEOUT", "1s")).await;
    let frame = Frame::text([b'x'; 1_000]).bytes();
    let fragment = Frame::continuation(*b"x").unfinished().bytes();
    let empty = Frame::continuation(*b"").unfinished().bytes();
    let pong = Frame::new(10, *b"").bytes();
    let begin = Frame::text(*b"x").unfinished();

    let send_unfinished = async |first: Vec<u8>, chunk: Vec<u8>| {
        let mut socket = RawSocket::connect(&server).await;
        let since = Instant::now();
        socket.send_bytes(&first).await;
        socket.send_slowly(&chunk, chunk.len() * 100, Duration::from_millis(50)).await;
        (socket.read_close().await, since.elapsed())
    };
    let closes = tokio::join!(
        send_unfinished(frame[..8].to_vec(), vec![b'x']),
        send_unfinished(begin.bytes(), fragment),
        send_unfinished(begin.bytes(), empty),
        send_unfinished(begin.bytes(), pong),
    );

    for (close, after) in [closes.0, closes.1, closes.2, closes.3] {
        assert_eq!(close, Some(4408));
        assert!((Duration::from_millis(900)..SOON).contains(&after), "{after:?}");
    }
}

#[tokio::test]
async fn frame_flood_of_any_kind_closes_the_connection() {
    let chat = Chat::new(&[]).await;
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
        // Slightly above the limit. Unread data would turn the close into a reset.
        flooding.send_bytes(&frame.bytes().repeat(1_100)).await;
        assert_eq!(flooding.read_close().await, Some(4429), "{what}");
    }

    // A client that keeps sending does not use memory.
    let before = chat.server.resident_kib();
    let mut hasty = RawSocket::connect(&chat.server).await;
    let sent = hasty.send_slowly(&Frame::new(9, *b"").bytes().repeat(10_000), 64 << 20, Duration::ZERO).await;

    assert!(sent < 64 << 20, "the server took all of it");

    let grown = chat.server.resident_kib().saturating_sub(before);
    // The sum of all buffers, a quarter of the data sent.
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
}

#[tokio::test]
async fn slow_handshake_times_out() {
    let server = Server::start(ServerConfig::demo()).await;

    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    let since = Instant::now();
    let head =
        "GET /ws/chat HTTP/1.1\r\nHost: slow.example\r\nX-Padding: ".bytes().chain(std::iter::repeat(b'x'));
    let (mut response, mut buffer) = (Vec::new(), [0; 1_024]);

    for byte in head {
        let _ = slow.write_all(&[byte]).await;
        match tokio::time::timeout(Duration::from_millis(200), slow.read(&mut buffer)).await {
            Err(_) => assert!(since.elapsed() < SOON * 3, "the server is still waiting"),
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => response.extend_from_slice(&buffer[..length]),
        }
    }

    let response = String::from_utf8_lossy(&response).into_owned();
    assert!(response.starts_with("HTTP/1.1 408"), "{response:?} after {:?}", since.elapsed());
}

#[tokio::test]
async fn connection_burst_is_accepted_up_to_the_limits_and_rejected_beyond() {
    const CLIENTS: usize = 300;
    let config =
        ServerConfig::demo().with("MAX_CONNECTIONS", "100").with("MAX_CONNECTIONS_PER_ADDRESS", "60");
    let server = Server::start(config).await;
    // Two addresses. Each may use more than half of the connections.
    let handshakes = ["127.0.0.2", "127.0.0.3"].map(|from| Handshake::new().with_local_address(from));
    let since = Instant::now();
    let connect = async |index: usize| ChatClient::connect_with(&server, &handshakes[index % 2]).await;
    let results = within("all handshakes", join_all((0..CLIENTS).map(connect))).await;

    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());

    let mut rejected = [0, 0];
    for rejection in results.iter().filter_map(|result| result.as_ref().err()) {
        assert!(rejection.header("retry-after").is_some(), "{rejection:?}");
        match rejection.status {
            503 => rejected[0] += 1,
            429 => rejected[1] += 1,
            other => assert_eq!(other, 503, "{rejection:?}"),
        }
    }

    let accepted = CLIENTS - rejected[0] - rejected[1];
    assert!(accepted == 100 && rejected[0] > 0, "{accepted} accepted, rejected: {rejected:?}");
}
