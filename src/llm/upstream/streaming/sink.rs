//! Where the text of a streamed response goes.

/// Receives a response while it is streamed.
pub trait AnswerSink {
    /// Records the upstream's id of the response.
    fn set_upstream_id(&self, id: &str);

    /// Appends text, which may be empty. Returns `false`, without taking the text, if the answer
    /// has reached its maximum size.
    fn append(&self, text: &str) -> bool;

    /// Called after the first text was appended.
    fn on_first_text(&self);

    /// Records that the model generated this many bytes of thinking, which is never shown.
    fn on_thinking(&self, bytes: usize);

    /// Takes back all text of this response, because it turned out to be thinking.
    fn take_back(&self);

    /// Records that the request is sent again, because a connection that was kept open had died.
    fn on_reconnect(&self, cause: &str);

    /// Records what a refusal has taught about the form of requests.
    fn on_lesson(&self, lesson: &str);
}
