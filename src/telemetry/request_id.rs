//! Request ids, which clients see and log lines contain.

use std::sync::Arc;

use uuid::Uuid;

/// The request and response header of the id.
pub const HEADER: &str = "x-request-id";

/// The maximum length of an id that a client sends.
const MAX_BYTES: usize = 128;

/// Returns the id that the client sent if it is valid, and otherwise a new one.
#[must_use]
pub fn accept_or_generate(sent: Option<&str>) -> Arc<str> {
    match sent.filter(|id| is_valid(id)) {
        Some(id) => id.into(),
        None => Uuid::now_v7().to_string().into(),
    }
}

/// Allows letters, digits and `-_.:`, so that an id can be searched for and cannot forge a log
/// line.
fn is_valid(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_valid_ids_are_accepted() {
        assert_eq!(&*accept_or_generate(Some("abc-123_x.y:z")), "abc-123_x.y:z");
        for invalid in ["", "a b", "a\nb", "ä", &"x".repeat(129)] {
            assert_ne!(&*accept_or_generate(Some(invalid)), invalid);
        }
    }
}
