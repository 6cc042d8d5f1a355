//! Tests of the buffer of an answer.

use proptest::prelude::*;

use super::*;

/// A client: shows what it reads, and resumes after what it has shown.
struct Client {
    shown: String,
    seq: u64,
    position: StreamPosition,
}

impl Client {
    fn read(&mut self, buffer: &StreamBuffer) -> bool {
        match buffer.read_text(self.position) {
            Some(ReadEvent::Text { position, text, .. }) => {
                self.shown.push_str(&text);
                (self.position, self.seq) = (position, position.seq());
                true
            }
            Some(ReadEvent::Reset(position)) => {
                self.shown.clear();
                (self.position, self.seq) = (position, 0);
                true
            }
            Some(
                ReadEvent::Acceptance(_)
                | ReadEvent::QueuePosition(_)
                | ReadEvent::Thinking(_)
                | ReadEvent::Outcome(_),
            )
            | None => false,
        }
    }

    fn resume(&mut self, buffer: &StreamBuffer) {
        match buffer.position_after(self.seq) {
            // `recovered: true`: the client continues from what it has.
            Some(position) => self.position = position,
            None => {
                self.shown.clear();
                (self.position, self.seq) = (buffer.position_at(0), 0);
            }
        }
    }
}

#[test]
fn text_is_kept_until_the_next_attempt_has_text() {
    let mut buffer = StreamBuffer::new(AnswerMode::Live);
    buffer.append("old");
    buffer.restart();
    assert_eq!((buffer.text(), buffer.attempt), ("old", 0));
    buffer.append("new");
    buffer.append("er");
    assert_eq!((buffer.text(), buffer.attempt), ("newer", 1));
}

#[test]
fn thinking_is_read_once_before_the_text_of_an_attempt() {
    let mut buffer = StreamBuffer::new(AnswerMode::Live);
    buffer.set_acceptance(Ok(Acceptance { durable: true }));
    let mut cursor = ReadCursor {
        position: StreamPosition::new(0, 0),
        acceptance_known: true,
        queue_position: None,
        thinking_request: 0,
    };
    let mut read = |buffer: &StreamBuffer| match buffer.read(&cursor) {
        Some(ReadEvent::Thinking(request)) => {
            cursor.thinking_request = request;
            "thinking".to_owned()
        }
        Some(ReadEvent::Text { position, text, .. }) => {
            cursor.position = position;
            text
        }
        Some(ReadEvent::Reset(position)) => {
            cursor.position = position;
            "reset".to_owned()
        }
        other => format!("{other:?}"),
    };
    assert!(!buffer.add_thinking(3), "no request was sent");
    buffer.open_request(1);
    assert_eq!(read(&buffer), "None");
    assert!(buffer.add_thinking(3) && !buffer.add_thinking(3));
    assert_eq!([read(&buffer), read(&buffer)], ["thinking", "None"]);
    buffer.append("a");
    assert_eq!([read(&buffer), read(&buffer)], ["a", "None"]);
    buffer.void_request(Usage::from_own_count(1, 1));
    buffer.restart();
    buffer.open_request(1);
    buffer.add_thinking(3);
    assert_eq!(read(&buffer), "None");
    buffer.append("b");
    assert_eq!([read(&buffer), read(&buffer), read(&buffer)], ["reset", "thinking", "b"]);
    assert_eq!(
        buffer.close().request,
        Some(OpenRequest { prompt_tokens: 1, thinking_bytes: 3, has_text: true })
    );
}

#[test]
fn cursor_that_may_belong_to_a_voided_attempt_is_void() {
    let mut buffer = StreamBuffer::new(AnswerMode::Live);
    for piece in ["a", "b"] {
        buffer.append(piece);
    }
    buffer.restart();
    for piece in ["c", "d", "e"] {
        buffer.append(piece);
    }
    let is_valid: Vec<bool> = (0..5).map(|seq| buffer.position_after(seq).is_some()).collect();
    assert_eq!(is_valid, [true, false, false, true, false]);
}

proptest! {
    /// In every order of events, a client that is up to date shows exactly the answer: no gap,
    /// no duplicate, no text of a voided attempt.
    #[test]
    fn up_to_date_client_shows_exactly_the_answer(steps in prop::collection::vec(0_u8..6, 0..80)) {
        let mut buffer = StreamBuffer::new(AnswerMode::Live);
        let mut client = Client { shown: String::new(), seq: 0, position: StreamPosition::new(0, 0) };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                0 | 1 => {
                    let piece = format!("{number} ");
                    prop_assert!(buffer.append(&piece));
                }
                2 => buffer.restart(),
                3 | 4 => drop(client.read(&buffer)),
                _ => client.resume(&buffer),
            }
        }
        while client.read(&buffer) {}
        prop_assert_eq!(client.shown.as_str(), buffer.text());
    }
}
