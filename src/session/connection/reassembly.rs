//! Reassembles fragmented text messages up to a size limit, and validates their UTF-8. A plain
//! value.

use crate::protocol::MAX_MESSAGE_BYTES;
use crate::protocol::close_codes::CloseReason;

/// One fragment of a message.
#[derive(Clone, Copy, Debug)]
pub enum MessageFragment<'a> {
    /// The first fragment of a text message.
    FirstText(&'a [u8]),
    /// The first fragment of a binary message.
    FirstBinary,
    /// A fragment between the first and the last.
    Middle(&'a [u8]),
    Last(&'a [u8]),
}

/// Collects the fragments of the current message.
#[derive(Debug, Default)]
pub struct MessageAssembler {
    /// `None` between messages, so that an idle connection holds no buffer.
    buffer: Option<Vec<u8>>,
}

impl MessageAssembler {
    /// Adds a fragment. Returns the message if the fragment is the last.
    ///
    /// # Errors
    /// The reason to close the connection with.
    pub fn push(&mut self, fragment: MessageFragment<'_>) -> Result<Option<String>, CloseReason> {
        match fragment {
            MessageFragment::FirstBinary => Err(CloseReason::BinaryMessage),
            MessageFragment::FirstText(_) if self.buffer.is_some() => Err(CloseReason::ProtocolViolation),
            MessageFragment::FirstText(bytes) => {
                self.buffer = Some(Vec::new());
                self.extend(bytes)?;
                Ok(None)
            }
            MessageFragment::Middle(bytes) => {
                self.extend(bytes)?;
                Ok(None)
            }
            MessageFragment::Last(bytes) => {
                self.extend(bytes)?;
                let message = self.buffer.take().unwrap_or_default();
                String::from_utf8(message).map(Some).map_err(|_| CloseReason::InvalidUtf8)
            }
        }
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), CloseReason> {
        let buffer = self.buffer.as_mut().ok_or(CloseReason::ProtocolViolation)?;
        if buffer.len() + bytes.len() > MAX_MESSAGE_BYTES {
            return Err(CloseReason::MessageTooBig);
        }
        buffer.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn character_can_be_split_between_fragments() {
        let mut message = MessageAssembler::default();
        assert_eq!(message.push(MessageFragment::FirstText(b"caf\xc3")), Ok(None));
        assert_eq!(message.push(MessageFragment::Middle(b"")), Ok(None));
        assert_eq!(message.push(MessageFragment::Last(b"\xa9")), Ok(Some("café".to_owned())));
    }

    #[test]
    fn protocol_violations_have_their_close_reason() {
        let fresh = MessageAssembler::default;
        assert_eq!(fresh().push(MessageFragment::Middle(b"x")), Err(CloseReason::ProtocolViolation));
        assert_eq!(fresh().push(MessageFragment::Last(b"x")), Err(CloseReason::ProtocolViolation));
        assert_eq!(fresh().push(MessageFragment::FirstBinary), Err(CloseReason::BinaryMessage));
        let mut started = fresh();
        started.push(MessageFragment::FirstText(b"x")).unwrap();
        assert_eq!(started.push(MessageFragment::FirstText(b"y")), Err(CloseReason::ProtocolViolation));
        let mut invalid = fresh();
        invalid.push(MessageFragment::FirstText(b"\xff")).unwrap();
        assert_eq!(invalid.push(MessageFragment::Last(b"")), Err(CloseReason::InvalidUtf8));
    }

    #[test]
    fn size_limit_applies_to_all_fragments_together() {
        let mut message = MessageAssembler::default();
        message.push(MessageFragment::FirstText(&[b'a'; MAX_MESSAGE_BYTES])).unwrap();
        assert_eq!(message.push(MessageFragment::Middle(b"")), Ok(None));
        assert_eq!(message.push(MessageFragment::Middle(b"b")), Err(CloseReason::MessageTooBig));
    }
}
