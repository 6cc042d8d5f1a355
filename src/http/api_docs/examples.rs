//! The examples in both API documents: one conversation, built from the protocol types.

use serde_json::{Value, json};
use uuid::Uuid;

use super::messages::Sender;
use crate::domain::clock::Timestamp;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{SessionId, TurnId};
use crate::domain::turn::{AnswerMode, Rating, Role, TurnStatus, Usage};
use crate::health::{Check, HealthReport, HealthStatus};
use crate::protocol::MAX_QUESTION_CHARS;
use crate::protocol::close_codes::CloseReason;
use crate::protocol::event_stream::{StreamEvent, encode_frame};
use crate::protocol::server::{
    DeltaFrame, DoneFrame, ErrorFrame, HistoryMessage, Limits, NoticeCode, PrivacyInfo, ResumeInfo,
    ServerFrame, SessionFrame,
};

const SESSION: SessionId = SessionId(Uuid::from_u128(0x01a2_0a5f_8d99_7273_b6ac_b546_884d_681d));
const TURN: TurnId = TurnId(Uuid::from_u128(0x01a2_0a5f_8d9f_70c1_b4f7_5b64_7992_b16f));
const TOKEN: &str = "a2ea0bd2dbb34c71c04cde683fc53643893a09c5d1bba408eefa022a4c6707a8";
/// The id of an event stream.
pub(super) const CONNECTION: &str = "5d1f0c3b8a7e4926b0d4e8f1a2c37659";
const REQUEST: &str = "01a20a5f-8d98-7374-bf3a-4c50205c2aa7";
const QUESTION: &str = "Which languages does Mara speak?";
const ANSWER: &str = "Mara speaks Swedish, English and German.";

/// 2026-11-23, 21:46 UTC.
const ASKED_AT: Timestamp = Timestamp(1_795_470_364_057);

/// Returns the examples of one message type.
pub(super) fn examples_of(sender: Sender, kind: &str) -> Vec<Value> {
    let all = match sender {
        Sender::Client => client(),
        Sender::Server => server().iter().map(to_json).collect(),
        Sender::Stream => stream().iter().map(to_json).collect(),
    };
    all.into_iter().filter(|example| example["type"] == kind).collect()
}

/// Returns an example of an HTTP error response.
pub(super) fn error_response(code: ErrorCode, message: &str) -> Value {
    to_json(&error(code, message))
}

/// Returns an example of a health report in which one check fails, or none.
pub(super) fn health(failing: Option<&'static str>) -> Value {
    let check = |name: &'static str, detail: &str, latency_ms: f64| {
        let waiting = (name == "actors").then(|| [("llm", 0), ("persistence", 2)].into());
        let status = if failing == Some(name) { HealthStatus::Unhealthy } else { HealthStatus::Healthy };
        let detail = if failing == Some(name) { "no answer in time" } else { detail };
        (name, Check { status, detail: detail.to_owned(), latency_ms, age_ms: 4_210.5, mailboxes: waiting })
    };
    let checks = [
        check("actors", "every actor answered", 0.375),
        check(
            "budget",
            "at most 2,000,000 tokens a day; at most 200,000 tokens a day per client address; \
                         at most 1.20 dollars a day",
            0.0,
        ),
        check("database", "a query was answered", 0.507),
        check("llm", "live: 2 answering, 0 waiting; breaker closed; newest first word after 0.8 s", 0.375),
        check("resume", "15 sections", 0.0),
        check("sessions", "7 connections", 0.0),
    ];
    let status = checks.iter().map(|(_, check)| check.status).max().unwrap_or(HealthStatus::Healthy);
    to_json(&HealthReport { status, version: super::VERSION, uptime_s: 86_400, checks: checks.into() })
}

fn to_json<T: serde::Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

fn client() -> Vec<Value> {
    vec![
        json!({ "type": "start" }),
        json!({ "type": "resume", "session_id": SESSION, "resume_token": TOKEN,
                "cursor": { "turn_id": TURN, "seq": 2 } }),
        json!({ "type": "resume", "session_id": SESSION, "resume_token": TOKEN }),
        json!({ "type": "question", "question": QUESTION, "id": "q1" }),
        json!({ "type": "question", "question": QUESTION }),
        json!({ "type": "cancel" }),
        json!({ "type": "cancel", "turn_id": TURN, "seen_seq": 3 }),
        json!({ "type": "regenerate", "id": "q2" }),
        json!({ "type": "feedback", "turn_id": TURN, "rating": "down", "comment": "And which dialects?", "id": "r-1" }),
        json!({ "type": "feedback", "turn_id": TURN, "rating": null }),
        json!({ "type": "forget" }),
        json!({ "type": "history", "limit": 20 }),
        json!({ "type": "history", "before": TURN, "limit": 20 }),
        json!({ "type": "ping", "id": "p1" }),
    ]
}

fn server() -> Vec<ServerFrame> {
    let delta = |seq, text: &str, replay| {
        ServerFrame::Delta(DeltaFrame { turn_id: TURN, seq, text: text.to_owned(), replay })
    };
    let accepted = |duplicate| {
        let id = Some("q1".to_owned());
        ServerFrame::Accepted { id, turn_id: TURN, remaining: 19, durable: true, duplicate }
    };
    let notice = |code, message: &str| ServerFrame::Notice { code, message: message.to_owned() };
    let done = |status, usage: Usage| {
        ServerFrame::Done(Box::new(DoneFrame {
            turn_id: TURN,
            status,
            mode: AnswerMode::Live,
            model: Some("openai/gpt-4o-mini".into()),
            usage,
            usage_estimated: usage.is_estimated(),
            citations: Vec::new(),
            durable: true,
            remaining: 19,
        }))
    };
    let reported =
        Usage { prompt_tokens: 1_045, completion_tokens: 11, cost: Some(0.000_163), ..Usage::default() };
    let too_long = format!("The question has 2001 characters; at most {MAX_QUESTION_CHARS} are possible.");
    let refused = ErrorFrame { id: Some("q2".to_owned()), ..error(ErrorCode::MessageTooLong, &too_long) };
    let limited = ErrorFrame {
        retry_after_ms: Some(12_400),
        id: Some("q3".to_owned()),
        ..error(ErrorCode::RateLimitExceeded, ErrorCode::RateLimitExceeded.entry().message)
    };
    let failed = ErrorFrame {
        turn_id: Some(TURN),
        ..error(ErrorCode::ApiTimeout, ErrorCode::ApiTimeout.entry().message)
    };
    vec![
        session(false),
        session(true),
        accepted(false),
        accepted(true),
        ServerFrame::Queued { turn_id: TURN, position: 3 },
        ServerFrame::Thinking { turn_id: TURN },
        delta(1, "Mara speaks ", false),
        delta(4, "Swedish, English and German.", true),
        ServerFrame::Reset { turn_id: TURN },
        done(TurnStatus::Complete, reported),
        done(TurnStatus::Cancelled, Usage::from_own_count(1_032, 4)),
        notice(NoticeCode::ContextPruned, "The oldest messages are no longer part of the question."),
        notice(NoticeCode::Draining, "The server is about to restart."),
        notice(NoticeCode::Degraded, "The model does not answer at the moment; the resume itself is quoted."),
        notice(NoticeCode::Recovered, "The model answers again."),
        notice(NoticeCode::IdleSoon, "This connection will be closed soon unless a question is asked."),
        ServerFrame::Error(Box::new(refused)),
        ServerFrame::Error(Box::new(limited)),
        ServerFrame::Error(Box::new(failed)),
        ServerFrame::History { messages: transcript(), more: false },
        ServerFrame::FeedbackSaved { turn_id: TURN, rating: Some(Rating::Down), id: Some("r-1".to_owned()) },
        ServerFrame::FeedbackSaved { turn_id: TURN, rating: None, id: None },
        ServerFrame::Forgotten,
        ServerFrame::Pong { id: Some("p1".to_owned()) },
    ]
}

fn stream() -> [StreamEvent<'static>; 3] {
    [
        StreamEvent::Connected { connection_id: CONNECTION },
        StreamEvent::close(CloseReason::Normal),
        StreamEvent::close(CloseReason::TakenOver),
    ]
}

/// Returns the body of a request with client frames.
pub(super) fn frames() -> String {
    let resume = json!({ "type": "resume", "session_id": SESSION, "resume_token": TOKEN });
    format!("{resume}\n{}\n", json!({ "type": "question", "question": QUESTION, "id": "q1" }))
}

/// Returns the start and the end of an event stream.
pub(super) fn event_stream() -> String {
    let [connected, close, _] = stream().map(|event| event.encode().unwrap_or_default());
    let frames = server();
    let [delta, done] = ["delta", "done"].map(|kind| {
        let frame = frames.iter().find(|frame| to_json(frame).get("type").is_some_and(|name| name == kind));
        frame.and_then(|frame| encode_frame(frame).ok()).unwrap_or_default()
    });
    format!("{connected}{delta}{done}{close}")
}

/// Returns the id of the last event that a client has received.
pub(super) fn last_event_id() -> String {
    format!("{TURN}:1")
}

fn session(resumed: bool) -> ServerFrame {
    ServerFrame::Session(Box::new(SessionFrame {
        session_id: SESSION,
        resume_token: TOKEN.to_owned(),
        expires_at: ASKED_AT.plus(std::time::Duration::from_secs(86_400)),
        resumed,
        recovered: false,
        limits: Limits {
            max_question_chars: MAX_QUESTION_CHARS,
            requests_per_minute: 20,
            remaining: 20,
            max_context_tokens: 8_000,
            max_response_tokens: 2_000,
        },
        resume: ResumeInfo { name: "Mara Lindqvist".into(), revision: "b7cfe59ae0de".into() },
        suggestions: ["What is Mara's work experience?".to_owned()].into(),
        mode: AnswerMode::Live,
        history: if resumed { transcript() } else { Vec::new() },
        more: false,
        privacy: Some(PrivacyInfo {
            url: Some("https://mara.lindqvist.example/privacy".into()),
            retention_days: Some(90),
        }),
        link_hosts: ["github.example".to_owned(), "mara.lindqvist.example".to_owned()].into(),
        request_id: REQUEST.into(),
    }))
}

fn transcript() -> Vec<HistoryMessage> {
    let message = |role, content: &str, tokens, mode| HistoryMessage {
        turn_id: TURN,
        role,
        content: content.into(),
        tokens,
        created_at: ASKED_AT,
        status: TurnStatus::Complete,
        mode,
        superseded_by: None,
        rating: None,
    };
    vec![message(Role::User, QUESTION, 7, None), message(Role::Assistant, ANSWER, 11, Some(AnswerMode::Live))]
}

fn error(code: ErrorCode, message: &str) -> ErrorFrame {
    ErrorFrame {
        code,
        message: message.to_owned(),
        retryable: code.is_retryable(),
        retry_after_ms: None,
        id: None,
        turn_id: None,
        request_id: REQUEST.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api_docs::messages::Wire;
    use crate::protocol::client::ClientFrame;

    #[test]
    fn every_message_type_has_an_example() {
        for message in Wire::from_types().messages {
            assert!(!message.examples.is_empty(), "{} has no example", message.name);
        }
    }

    #[test]
    fn parser_accepts_every_client_example() {
        for example in client() {
            ClientFrame::parse(&example.to_string()).unwrap();
        }
    }
}
