//! The encoding of a response's body. Requests ask for none, but some proxies compress all the
//! same.

use std::io::Write;

use flate2::write::{GzDecoder, ZlibDecoder};
use thiserror::Error;

/// The maximum size of a decompressed body. A streamed answer of maximum length has a few MiB.
const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// The compressed bytes that are decompressed at once, to about a thousand times their number at
/// most.
const STEP_BYTES: usize = 1024;

/// Why a body cannot be decoded.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// The encoding is not supported.
    #[error("the response is compressed in an unsupported encoding")]
    Unsupported,
    /// The compressed data is damaged.
    #[error("the compressed response is damaged")]
    Damaged,
    /// The decompressed body has more than [`MAX_BODY_BYTES`] bytes.
    #[error("the compressed response has more than {MAX_BODY_BYTES} bytes")]
    TooLarge,
}

/// Decodes a body piece by piece.
pub(crate) struct BodyDecoder {
    encoding: Encoding,
    decoded_bytes: usize,
}

enum Encoding {
    /// The first byte decides: a proxy may compress without saying so, or say so and not compress.
    Undecided,
    Identity,
    Gzip(GzDecoder<Vec<u8>>),
    Deflate(ZlibDecoder<Vec<u8>>),
}

impl BodyDecoder {
    /// Returns a decoder for the value of `Content-Encoding`.
    pub(crate) fn new(content_encoding: Option<&str>) -> Result<Self, BodyError> {
        let encoding = match content_encoding.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" | "utf-8" | "gzip" | "x-gzip" => Encoding::Undecided,
            "deflate" => Encoding::Deflate(ZlibDecoder::new(Vec::new())),
            _ => return Err(BodyError::Unsupported),
        };
        Ok(Self { encoding, decoded_bytes: 0 })
    }

    /// Returns whether compressed bytes have arrived and nothing could be decompressed.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self.encoding, Encoding::Gzip(_) | Encoding::Deflate(_)) && self.decoded_bytes == 0
    }

    /// Decodes the next bytes and passes them on, in one or more pieces.
    pub(crate) fn decode<E: From<BodyError>>(
        &mut self,
        bytes: &[u8],
        mut pass_on: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (Encoding::Undecided, Some(first)) = (&self.encoding, bytes.first()) {
            // No text starts with the first byte of gzip.
            self.encoding = match first {
                0x1f => Encoding::Gzip(GzDecoder::new(Vec::new())),
                _ => Encoding::Identity,
            };
        }
        for piece in bytes.chunks(STEP_BYTES) {
            let decoded = match &mut self.encoding {
                Encoding::Undecided | Encoding::Identity => return pass_on(bytes),
                Encoding::Gzip(decoder) => decompress(decoder, piece, GzDecoder::get_mut),
                Encoding::Deflate(decoder) => decompress(decoder, piece, ZlibDecoder::get_mut),
            }?;
            self.decoded_bytes += decoded.len();
            if self.decoded_bytes > MAX_BODY_BYTES {
                return Err(BodyError::TooLarge.into());
            }
            pass_on(&decoded)?;
        }
        Ok(())
    }
}

fn decompress<D: Write>(
    decoder: &mut D,
    bytes: &[u8],
    output: impl Fn(&mut D) -> &mut Vec<u8>,
) -> Result<Vec<u8>, BodyError> {
    let written = decoder.write_all(bytes).and_then(|()| decoder.flush());
    written.map_err(|_| BodyError::Damaged)?;
    Ok(std::mem::take(output(decoder)))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn decode(encoding: Option<&str>, bytes: &[u8], cut: usize) -> Result<Vec<u8>, BodyError> {
        let mut decoder = BodyDecoder::new(encoding)?;
        let mut decoded = Vec::new();
        for piece in bytes.chunks(cut) {
            decoder.decode(piece, |bytes| {
                decoded.extend_from_slice(bytes);
                Ok::<_, BodyError>(())
            })?;
        }
        Ok(decoded)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_decoded_with_and_without_a_label() {
        let text = b"data: {}\n\n".repeat(100);
        let mut deflate = ZlibEncoder::new(Vec::new(), Compression::default());
        deflate.write_all(&text).unwrap();
        let deflate = deflate.finish().unwrap();
        for cut in [1, 7, 10_000] {
            assert_eq!(decode(Some("gzip"), &gzip(&text), cut).unwrap(), text);
            assert_eq!(decode(None, &gzip(&text), cut).unwrap(), text);
            assert_eq!(decode(Some("deflate"), &deflate, cut).unwrap(), text);
            assert_eq!(decode(Some("identity"), &text, cut).unwrap(), text);
        }
    }

    #[test]
    fn damaged_endless_and_unknown_bodies_are_refused() {
        assert!(matches!(decode(Some("br"), b"x", 1), Err(BodyError::Unsupported)));
        assert_eq!(decode(Some("gzip"), b"data: {}\n\n", 100).unwrap(), b"data: {}\n\n");
        assert!(matches!(decode(Some("gzip"), b"\x1f\x8bdata: {}\n\n", 100), Err(BodyError::Damaged)));
        let bomb = gzip(&vec![b'x'; MAX_BODY_BYTES + 1]);
        assert!(matches!(decode(Some("gzip"), &bomb, 4096), Err(BodyError::TooLarge)));
    }
}
