//! Where the text of a streamed response goes.

/// Receives a response while it is streamed.
pub trait AnswerSink {
    /// Records the upstream's id of the response.
    fn set_upstream_id(&self, id: &str);

    /// Appends text, which may be empty. Returns `false`, without taking the text, if the answer
    /// has reached its maximum size.
    fn append(&self, text: &str) -> bool;

    /// Called once, after the first text was appended.
    fn on_first_text(&self);

    /// Records that the model generated this many bytes of thinking, which is never shown.
    fn on_thinking(&self, bytes: usize);
}
