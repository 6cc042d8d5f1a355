//! Puts fragmented messages together, within a bound, and checks their UTF-8. A plain value.

use crate::protocol::MAX_MESSAGE_BYTES;
use crate::protocol::close_codes::CloseReason;

/// One fragment of a message.
#[derive(Clone, Copy, Debug)]
pub enum Fragment<'a> {
    /// The first of a text message.
    FirstText(&'a [u8]),
    /// The first of a binary message.
    FirstBinary,
    /// One in the middle.
    Middle(&'a [u8]),
    /// The last.
    Last(&'a [u8]),
}

/// The fragments of the current message.
#[derive(Debug, Default)]
pub struct Reassembly {
    /// `None` between messages, so an idle connection holds no buffer.
    held: Option<Vec<u8>>,
}

impl Reassembly {
    /// Takes a fragment; returns the message when it was the last.
    ///
    /// # Errors
    /// Why the connection must be closed.
    pub fn take(&mut self, fragment: Fragment<'_>) -> Result<Option<String>, CloseReason> {
        match fragment {
            Fragment::FirstBinary => Err(CloseReason::BinaryMessage),
            Fragment::FirstText(_) if self.held.is_some() => Err(CloseReason::ProtocolViolation),
            Fragment::FirstText(bytes) => {
                self.held = Some(Vec::new());
                self.extend(bytes)?;
                Ok(None)
            }
            Fragment::Middle(bytes) => {
                self.extend(bytes)?;
                Ok(None)
            }
            Fragment::Last(bytes) => {
                self.extend(bytes)?;
                let whole = self.held.take().unwrap_or_default();
                String::from_utf8(whole).map(Some).map_err(|_| CloseReason::InvalidUtf8)
            }
        }
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let held = self.held.as_mut().ok_or(CloseReason::ProtocolViolation)?;
        if held.len() + bytes.len() > MAX_MESSAGE_BYTES {
            return Err(CloseReason::TooBig);
        }
        held.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_may_be_cut_in_two() {
        let mut message = Reassembly::default();
        assert_eq!(message.take(Fragment::FirstText(b"caf\xc3")), Ok(None));
        assert_eq!(message.take(Fragment::Middle(b"")), Ok(None));
        assert_eq!(message.take(Fragment::Last(b"\xa9")), Ok(Some("café".to_owned())));
    }

    #[test]
    fn what_breaks_the_protocol_is_named() {
        let fresh = Reassembly::default;
        assert_eq!(fresh().take(Fragment::Middle(b"x")), Err(CloseReason::ProtocolViolation));
        assert_eq!(fresh().take(Fragment::Last(b"x")), Err(CloseReason::ProtocolViolation));
        assert_eq!(fresh().take(Fragment::FirstBinary), Err(CloseReason::BinaryMessage));
        let mut begun = fresh();
        begun.take(Fragment::FirstText(b"x")).unwrap();
        assert_eq!(begun.take(Fragment::FirstText(b"y")), Err(CloseReason::ProtocolViolation));
        let mut invalid = fresh();
        invalid.take(Fragment::FirstText(b"\xff")).unwrap();
        assert_eq!(invalid.take(Fragment::Last(b"")), Err(CloseReason::InvalidUtf8));
    }

    #[test]
    fn many_small_fragments_do_not_get_round_the_limit() {
        let mut message = Reassembly::default();
        message.take(Fragment::FirstText(&[b'a'; MAX_MESSAGE_BYTES])).unwrap();
        assert_eq!(message.take(Fragment::Middle(b"")), Ok(None));
        assert_eq!(message.take(Fragment::Middle(b"b")), Err(CloseReason::TooBig));
    }
}
