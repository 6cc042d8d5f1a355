//! The browser files that `build.rs` prepares from `assets/`.

/// A browser file with its compressed forms.
pub(in crate::http) struct Asset {
    /// The path below the directory of the revision; for an entry point, from the root.
    pub(in crate::http) path: &'static str,
    pub(super) media_type: &'static str,
    /// A hash of the content, without quotes.
    pub(super) etag: &'static str,
    pub(super) identity: &'static [u8],
    pub(super) gzip: &'static [u8],
    pub(super) brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// Returns the file at a path below the directory of the revision.
pub(super) fn find(path: &str) -> Option<&'static Asset> {
    FILES.iter().find(|file| file.path == path)
}
