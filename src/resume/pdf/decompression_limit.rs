//! Limits what a PDF decompresses to, before the result is kept in memory.

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::resume::ResumeError;

/// The limit for all streams together. A photograph of 12 megapixels has 36 MiB, the text of a
/// resume less than one.
const MAX_UNPACKED_MIB: u64 = 256;

/// Returns an error if the streams of the PDF decompress to more than the limit.
///
/// Streams are found by their keyword. A stream that is not compressed with Deflate fails to
/// decompress at its first bytes and counts as empty.
pub(super) fn check(bytes: &[u8]) -> Result<(), ResumeError> {
    if decompresses_within(bytes, MAX_UNPACKED_MIB * 1024 * 1024) {
        Ok(())
    } else {
        Err(ResumeError::UnpacksTooLarge { format: "PDF", limit_mib: MAX_UNPACKED_MIB })
    }
}

fn decompresses_within(bytes: &[u8], max_bytes: u64) -> bool {
    const KEYWORD: &[u8] = b"stream";
    let mut decompressed_bytes = 0_u64;
    let mut rest = bytes;
    let mut buffer = vec![0; 64 * 1024];
    while let Some(position) = find(rest, KEYWORD) {
        let is_endstream = position >= 3 && rest.get(position - 3..position) == Some(b"end");
        rest = rest.get(position + KEYWORD.len()..).unwrap_or_default();
        if is_endstream {
            continue;
        }
        let data = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
            .or_else(|| rest.strip_prefix(b"\r"));
        let mut decoder = ZlibDecoder::new(data.unwrap_or(rest));
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            decompressed_bytes += u64::try_from(count).unwrap_or(u64::MAX);
            if decompressed_bytes > max_bytes {
                return false;
            }
        }
    }
    true
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn streams_over_the_limit_are_refused() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..2).for_each(|_| encoder.write_all(&zeros).unwrap());
        let mut bytes = b"%PDF-1.7\n1 0 obj <<>> stream\r\n".to_vec();
        bytes.extend(encoder.finish().unwrap());
        assert!(decompresses_within(&bytes, 2 << 20));
        assert!(!decompresses_within(&bytes, (2 << 20) - 1));
        assert!(decompresses_within(b"stream\nnot deflated endstream", 0));
    }
}
