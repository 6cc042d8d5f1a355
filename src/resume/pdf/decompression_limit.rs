//! Measures what a PDF unpacks to before anything keeps the result in memory.

use std::io::Read;

use flate2::read::ZlibDecoder;

use crate::resume::ResumeError;

/// All streams together. A photograph of 12 megapixels is 36 MiB, the text of a resume far below one.
const MAX_UNPACKED_MIB: u64 = 256;

/// Streams in a file are found by their keyword; one that is not deflated fails at its first bytes and counts nothing.
pub(super) fn check(bytes: &[u8]) -> Result<(), ResumeError> {
    if unpacks_within(bytes, MAX_UNPACKED_MIB * 1024 * 1024) {
        Ok(())
    } else {
        Err(ResumeError::UnpacksTooLarge { format: "PDF", limit_mib: MAX_UNPACKED_MIB })
    }
}

fn unpacks_within(bytes: &[u8], limit: u64) -> bool {
    const KEYWORD: &[u8] = b"stream";
    let mut unpacked = 0_u64;
    let mut rest = bytes;
    let mut buffer = vec![0; 64 * 1024];
    while let Some(found) = find(rest, KEYWORD) {
        let ended = found >= 3 && rest.get(found - 3..found) == Some(b"end");
        rest = rest.get(found + KEYWORD.len()..).unwrap_or_default();
        if ended {
            continue;
        }
        let data = rest
            .strip_prefix(b"\r\n")
            .or_else(|| rest.strip_prefix(b"\n"))
            .or_else(|| rest.strip_prefix(b"\r"));
        let mut decoder = ZlibDecoder::new(data.unwrap_or(rest));
        while let Ok(count @ 1..) = decoder.read(&mut buffer) {
            unpacked += u64::try_from(count).unwrap_or(u64::MAX);
            if unpacked > limit {
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
    fn a_stream_that_unpacks_too_far_is_noticed() {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![0; 1 << 20];
        (0..2).for_each(|_| encoder.write_all(&zeros).unwrap());
        let mut bytes = b"%PDF-1.7\n1 0 obj <<>> stream\r\n".to_vec();
        bytes.extend(encoder.finish().unwrap());
        assert!(unpacks_within(&bytes, 2 << 20));
        assert!(!unpacks_within(&bytes, (2 << 20) - 1));
        assert!(unpacks_within(b"stream\nnot deflated endstream", 0));
    }
}
