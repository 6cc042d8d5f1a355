//! RFC 6455 conformance: the responses to sequences of frames. The sections follow the Autobahn
//! test suite. Messages are application-level `ping`s, which the server echoes.

use std::fmt::Debug;

use futures_util::future::join_all;

use crate::support::client::raw_socket::{Frame, RawSocket};
use crate::support::server::config::ServerConfig;
use crate::support::server::test_server::Server;

/// A response of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Response {
    /// An application-level `pong` with this id.
    Echo(String),
    /// Any other message.
    Message,
    /// A WebSocket pong.
    Pong(Vec<u8>),
    /// A close frame, followed by the end of the connection.
    Close(u16),
}

struct Case {
    name: String,
    /// The bytes of each write.
    chunks: Vec<Vec<u8>>,
    /// All responses, in order.
    expected: Vec<Response>,
}

fn case(
    name: impl Debug,
    frames: impl IntoIterator<Item = Frame>,
    expected: impl Into<Vec<Response>>,
) -> Case {
    let chunks = frames.into_iter().map(|frame| frame.bytes()).collect();
    Case { name: format!("{name:?}"), chunks, expected: expected.into() }
}

impl Case {
    /// Sends each byte in its own write.
    fn octet_by_octet(mut self) -> Self {
        self.chunks = self.chunks.concat().into_iter().map(|byte| vec![byte]).collect();
        self.name += ", octet by octet";
        self
    }

    async fn check(&self, server: &Server) {
        let mut socket = RawSocket::connect(server).await;
        for chunk in &self.chunks {
            socket.send_bytes(chunk).await;
        }
        let mut responses = Vec::new();
        while responses.len() < self.expected.len() {
            let Some(frame) = socket.read_frame().await else { break };
            assert!(frame.fin && frame.reserved_bits == 0, "{}: {frame:?}", self.name);
            responses.push(match frame.opcode {
                8 => Response::Close(
                    frame.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)),
                ),
                10 => Response::Pong(frame.payload),
                _ => {
                    let message: serde_json::Value = serde_json::from_slice(&frame.payload).unwrap();
                    match (message["type"].as_str(), message["id"].as_str()) {
                        (Some("pong"), Some(id)) => Response::Echo(id.to_owned()),
                        _ => Response::Message,
                    }
                }
            });
        }
        assert_eq!(responses, self.expected, "{}", self.name);
        if matches!(responses.last(), Some(Response::Close(_))) {
            assert_eq!(socket.read_until_end().await, 0, "{}: a frame after the close", self.name);
        } else {
            // The connection still works, and there are no further responses.
            socket.send(&Frame::new(9, *b"still there?")).await;
            let pong = socket.read_frame().await.map(|frame| (frame.opcode, frame.payload));
            assert_eq!(pong, Some((10, b"still there?".to_vec())), "{}", self.name);
        }
    }
}

/// Creates a message that is echoed, padded to this many bytes.
fn echoed_text(id: &str, bytes: usize) -> Vec<u8> {
    let short = format!(r#"{{"type":"ping","id":"{id}","padding":""}}"#);
    let padding = "x".repeat(bytes.saturating_sub(short.len()));
    short.replace(r#""padding":"""#, &format!(r#""padding":"{padding}""#)).into_bytes()
}

fn hello() -> Frame {
    Frame::text(echoed_text("hello", 0))
}

fn echo(id: &str) -> Response {
    Response::Echo(id.to_owned())
}

fn closed_with_1002() -> [Response; 1] {
    [Response::Close(1002)]
}

async fn check_all(cases: Vec<Case>) {
    let server = Server::start(ServerConfig::demo()).await;
    for batch in cases.chunks(40) {
        join_all(batch.iter().map(|case| case.check(&server))).await;
    }
}

#[tokio::test]
async fn section_1_frames_of_every_length_encoding_are_accepted() {
    let mut cases = vec![case("an empty text", [Frame::text(*b"")], [Response::Message])];

    for bytes in [64, 125, 126, 127, 128, 16_383, 16_384] {
        cases.push(case(bytes, [Frame::text(echoed_text("a", bytes))], [echo("a")]));
    }
    cases.push(case("in octets", [Frame::text(echoed_text("a", 997))], [echo("a")]).octet_by_octet());
    for bytes in [16_385, 65_535, 65_536, 131_072] {
        cases.push(case(bytes, [Frame::text(echoed_text("a", bytes))], [Response::Close(1009)]));
    }
    for bytes in [0, 125, 126, 16_384] {
        cases.push(case(("binary", bytes), [Frame::new(2, vec![0xfe; bytes])], [Response::Close(1003)]));
    }
    check_all(cases).await;
}

#[tokio::test]
async fn section_2_pings_are_echoed_and_pongs_are_ignored() {
    let pong = |payload: &[u8]| Response::Pong(payload.to_vec());
    let mut cases = vec![
        case("unasked pongs", [Frame::new(10, *b""), Frame::new(10, *b"unasked")], []),
        case(
            "a pong, then a ping",
            [Frame::new(10, *b"unasked"), Frame::new(9, *b"asked")],
            [pong(b"asked")],
        ),
        case("a ping too large", [Frame::new(9, [7; 126])], closed_with_1002()),
        case("a pong too large", [Frame::new(10, [7; 126])], closed_with_1002()),
        case(
            "ten pings",
            (0..10).map(|byte| Frame::new(9, [byte])),
            (0..10).map(|byte| pong(&[byte])).collect::<Vec<_>>(),
        ),
    ];

    for payload in [&b""[..], b"Hello", &[0, 255, 254, 253], &[0xfe; 125]] {
        cases.push(case(("ping", payload), [Frame::new(9, payload)], [pong(payload)]));
        cases.push(case(("ping", payload), [Frame::new(9, payload)], [pong(payload)]).octet_by_octet());
    }

    check_all(cases).await;
}

#[tokio::test]
async fn section_3_reserved_bits_close_the_connection() {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for opcode in [0, 1, 2, 8, 9, 10] {
            cases.push(case(
                ("bits", bits, opcode),
                [Frame::new(opcode, *b"").with_reserved_bits(bits)],
                closed_with_1002(),
            ));
        }
        let after_good = [hello(), hello().with_reserved_bits(bits), hello()];
        cases.push(case(("after a good one", bits), after_good, [echo("hello"), Response::Close(1002)]));
        let octets = case(
            ("bits", bits),
            [hello(), hello().with_reserved_bits(bits)],
            [echo("hello"), Response::Close(1002)],
        );
        cases.push(octets.octet_by_octet());
    }

    check_all(cases).await;
}

#[tokio::test]
async fn section_4_unknown_opcodes_and_unmasked_frames_close_the_connection() {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(11..16) {
        cases.push(case(opcode, [Frame::new(opcode, *b"")], closed_with_1002()));
        cases.push(case(("with a payload", opcode), [Frame::new(opcode, *b"reserved")], closed_with_1002()));
        let after_good = [hello(), Frame::new(opcode, *b""), Frame::new(9, *b"")];
        cases.push(case(("after a good one", opcode), after_good, [echo("hello"), Response::Close(1002)]));
    }

    for opcode in [0, 1, 2, 8, 9, 10] {
        cases.push(case(("unmasked", opcode), [Frame::new(opcode, *b"").unmasked()], closed_with_1002()));
    }
    check_all(cases).await;
}

#[tokio::test]
async fn section_5_messages_may_be_fragmented_around_control_frames() {
    let whole = echoed_text("hello", 0);
    let (first, rest) = whole.split_at(7);
    let (second, third) = rest.split_at(9);
    let begin = || Frame::text(first).unfinished();
    let middle = || Frame::continuation(second).unfinished();
    let end = || Frame::continuation(third);
    let ping = |payload: &str| Frame::new(9, payload.as_bytes());
    let pong = |payload: &str| Response::Pong(payload.into());

    let cases = vec![
        case("two fragments", [begin(), Frame::continuation(rest)], [echo("hello")]),
        case("three fragments", [begin(), middle(), end()], [echo("hello")]),
        case("three fragments", [begin(), middle(), end()], [echo("hello")]).octet_by_octet(),
        case(
            "pings between",
            [begin(), ping("1"), middle(), ping("2"), end()],
            [pong("1"), pong("2"), echo("hello")],
        ),
        case("a pong between", [begin(), Frame::new(10, *b"x"), middle(), end()], [echo("hello")]),
        case("a close between", [begin(), Frame::close(1000), end()], [Response::Close(1000)]),
        case(
            "empty fragments",
            [
                Frame::text(*b"").unfinished(),
                Frame::continuation(*b"").unfinished(),
                Frame::continuation(*b""),
            ],
            [Response::Message],
        ),
        case(
            "an empty first and last",
            [
                Frame::text(*b"").unfinished(),
                Frame::continuation(whole.clone()).unfinished(),
                Frame::continuation(*b""),
            ],
            [echo("hello")],
        ),
        case("the end of nothing", [end()], closed_with_1002()),
        case("the middle of nothing", [middle()], closed_with_1002()),
        case("the end of nothing after a good one", [hello(), end()], [echo("hello"), Response::Close(1002)]),
        case(
            "the middle again after the end",
            [begin(), middle(), end(), middle()],
            [echo("hello"), Response::Close(1002)],
        ),
        case("a text within a text", [begin(), hello()], closed_with_1002()),
        case("a beginning within a text", [begin(), begin()], closed_with_1002()),
        case("a binary within a text", [begin(), Frame::new(2, *b"x")], closed_with_1002()),
        case("a binary in fragments", [Frame::new(2, *b"x").unfinished()], [Response::Close(1003)]),
        case(
            "twice",
            [begin(), middle(), end(), begin(), Frame::continuation(rest)],
            [echo("hello"), echo("hello")],
        ),
    ];
    check_all(cases).await;
}

#[tokio::test]
async fn section_5_control_frames_may_not_be_fragmented() {
    let begin = || Frame::text(*b"{").unfinished();
    let mut cases = Vec::new();
    for opcode in [8, 9, 10] {
        for payload in [&b""[..], b"ab"] {
            let fragment = Frame::new(opcode, payload).unfinished();
            cases.push(case(("in pieces", opcode, payload), [fragment.clone()], closed_with_1002()));
            cases.push(case(("in pieces, within a text", opcode), [begin(), fragment], closed_with_1002()));
        }
    }
    check_all(cases).await;
}

const VALID_UTF8: [&str; 11] = [
    "κόσμε",
    "Hello-µ@ßöäüàá-UTF-8!!",
    "\u{80}",
    "\u{7ff}",
    "\u{800}",
    "\u{ffff}",
    "\u{10000}",
    "\u{10ffff}",
    "\u{fffe}",
    "\u{d7ff}\u{e000}",
    "🦀",
];

const INVALID_UTF8: [&[u8]; 22] = [
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\x80",
    b"\xbf",
    b"\x80\xbf\x80",
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xf8\x80\x80\x80\xaf",
    b"\xfc\x80\x80\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfe",
    b"\xff",
    b"\xce",
    b"\xf0\x9f\xa6",
];

/// Creates a `ping` message with these bytes as id.
fn ping_with_id(id: &[u8]) -> Vec<u8> {
    [&br#"{"type":"ping","id":""#[..], id, br#""}"#].concat()
}

/// Splits a text message into one frame per byte.
fn one_frame_per_byte(message: &[u8]) -> Vec<Frame> {
    let (last, others) = message.split_last().unwrap();
    let mut frames = Vec::new();
    for (index, byte) in others.iter().enumerate() {
        let opcode = if index == 0 { 1 } else { 0 };
        frames.push(Frame::new(opcode, [*byte]).unfinished());
    }
    frames.push(Frame::continuation([*last]));
    frames
}

#[tokio::test]
async fn section_6_valid_utf8_is_accepted_across_fragments() {
    let mut cases = Vec::new();
    for id in VALID_UTF8 {
        let message = ping_with_id(id.as_bytes());
        cases.push(case(id, [Frame::text(message.clone())], [echo(id)]));
        cases.push(case((id, "cut"), one_frame_per_byte(&message), [echo(id)]));
    }

    check_all(cases).await;
}

#[tokio::test]
async fn section_6_invalid_utf8_closes_the_connection() {
    let mut cases = Vec::new();
    for bytes in INVALID_UTF8 {
        let message = ping_with_id(bytes);
        cases.push(case(bytes, [Frame::text(message.clone())], [Response::Close(1007)]));
        cases.push(case((bytes, "cut"), one_frame_per_byte(&message), [Response::Close(1007)]));
        cases.push(case((bytes, "alone"), [Frame::text(bytes)], [Response::Close(1007)]));
    }

    check_all(cases).await;
}

#[tokio::test]
async fn section_7_close_codes_are_echoed_and_invalid_ones_answered_with_1002() {
    let with_reason = |code: u16, reason: &[u8]| Frame::new(8, [&code.to_be_bytes()[..], reason].concat());
    let mut cases = vec![
        case("without a code", [Frame::new(8, *b"")], [Response::Close(1000)]),
        case("of one byte", [Frame::new(8, *b"a")], closed_with_1002()),
        case("with a reason", [with_reason(1000, b"that is all")], [Response::Close(1000)]),
        case("with the longest reason", [with_reason(1000, &[b'x'; 123])], [Response::Close(1000)]),
        case("with a reason too long", [with_reason(1000, &[b'x'; 124])], closed_with_1002()),
        case(
            "with a reason that is no text",
            [with_reason(1000, b"\xce\xba\xed\xa0\x80")],
            closed_with_1002(),
        ),
        case("twice", [Frame::close(1000), Frame::close(1001)], [Response::Close(1000)]),
        case("then a ping", [Frame::close(1000), Frame::new(9, *b"")], [Response::Close(1000)]),
        case("then a text", [Frame::close(1000), hello()], [Response::Close(1000)]),
        case("after a text", [hello(), Frame::close(1000)], [echo("hello"), Response::Close(1000)]),
        case("in octets", [hello(), Frame::close(1000)], [echo("hello"), Response::Close(1000)])
            .octet_by_octet(),
    ];

    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999] {
        cases.push(case(code, [Frame::close(code)], [Response::Close(code)]));
    }
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        cases.push(case(code, [Frame::close(code)], closed_with_1002()));
    }
    check_all(cases).await;
}
