//! The id that ties what a client was told to the lines of the log.

use std::sync::Arc;

use uuid::Uuid;

/// The header that carries it, in and out.
pub const HEADER: &str = "x-request-id";

/// Longest id taken from a client.
const MAX_BYTES: usize = 128;

/// The client's id if it is well-formed, otherwise a new one.
#[must_use]
pub fn honour(given: Option<&str>) -> Arc<str> {
    match given.filter(|id| is_well_formed(id)) {
        Some(id) => id.into(),
        None => Uuid::now_v7().to_string().into(),
    }
}

/// Letters, digits and `-_.:`, so that an id can be searched for and cannot forge a line of the log.
fn is_well_formed(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
    (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_id_is_honoured() {
        assert_eq!(&*honour(Some("abc-123_x.y:z")), "abc-123_x.y:z");
        for bad in ["", "a b", "a\nb", "ä", &"x".repeat(129)] {
            assert_ne!(&*honour(Some(bad)), bad);
        }
    }
}
