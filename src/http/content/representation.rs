//! A file in memory with its compressed forms, and the response that fits a request.

use std::fmt::Write as _;
use std::io::Write as _;

use actix_web::http::header::{
    ACCEPT_ENCODING, AcceptEncoding, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ContentEncoding, ETAG,
    Encoding, EntityTag, Header, HeaderName, HeaderValue, IfNoneMatch, VARY,
};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::assets::Asset;

/// How caches treat a file that may change with the next version.
pub(in crate::http) const REVALIDATE: &str = "no-cache";

/// How caches treat a file whose address contains the revision.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// How caches treat icons and other files that hardly ever change.
pub(in crate::http) const ONE_DAY: &str = "public, max-age=86400";

/// The number of bytes of a hash that an entity tag contains.
const ETAG_BYTES: usize = 8;

/// A file with its compressed forms.
#[derive(Clone, Debug)]
pub(in crate::http) struct Representation {
    media_type: &'static str,
    caching: &'static str,
    /// A hash of the content, without quotes.
    etag: String,
    identity: Bytes,
    gzip: Option<Bytes>,
    brotli: Option<Bytes>,
    /// Further headers of a complete response.
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The request headers that the choice of this representation depends on.
    vary: Option<&'static str>,
}

impl Representation {
    /// Creates a representation of content that is made when the server starts.
    pub(in crate::http) fn new(
        media_type: &'static str,
        caching: &'static str,
        content: impl Into<Bytes>,
    ) -> Self {
        let identity: Bytes = content.into();
        let etag = Sha256::digest(&identity).iter().take(ETAG_BYTES).fold(String::new(), |mut etag, byte| {
            let _ = write!(etag, "{byte:02x}");
            etag
        });
        let gzip = gzip(&identity).filter(|gzip| gzip.len() < identity.len());
        Self { media_type, caching, etag, identity, gzip, brotli: None, headers: Vec::new(), vary: None }
    }

    /// Creates the representation of a browser file.
    pub(in crate::http) fn of_asset(asset: &Asset, caching: &'static str) -> Self {
        let compressed = |content: &'static [u8]| {
            (content.len() < asset.identity.len()).then(|| Bytes::from_static(content))
        };
        Self {
            media_type: asset.media_type,
            caching,
            etag: asset.etag.to_owned(),
            identity: Bytes::from_static(asset.identity),
            gzip: compressed(asset.gzip),
            brotli: compressed(asset.brotli),
            headers: Vec::new(),
            vary: None,
        }
    }

    /// Adds a header. A value that is not valid in a header is left out.
    pub(in crate::http) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// Names a request header that the choice of this representation depends on.
    pub(in crate::http) fn varying_by(self, vary: &'static str) -> Self {
        Self { vary: Some(vary), ..self }
    }

    /// Returns the response to a GET or HEAD request: the best encoding, or 304 if the client has
    /// it.
    pub(in crate::http) fn respond(&self, request: &HttpRequest) -> HttpResponse {
        let (encoding, content) = self.negotiate(request);
        let etag = match encoding {
            ContentEncoding::Identity => self.etag.clone(),
            other => format!("{}-{}", self.etag, other.as_str()),
        };
        let etag = EntityTag::new_strong(etag);
        let is_known = match IfNoneMatch::parse(request) {
            Ok(IfNoneMatch::Any) => true,
            Ok(IfNoneMatch::Items(known)) => known.iter().any(|known| known.weak_eq(&etag)),
            Err(_) => false,
        };
        let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response.insert_header((ETAG, etag.to_string())).insert_header((CACHE_CONTROL, self.caching));
        let is_compressible = self.gzip.is_some() || self.brotli.is_some();
        let vary = [is_compressible.then_some(ACCEPT_ENCODING.as_str()), self.vary];
        let vary: Vec<&str> = vary.into_iter().flatten().collect();
        if !vary.is_empty() {
            response.insert_header((VARY, vary.join(", ")));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        if is_known {
            return response.finish();
        }
        if encoding != ContentEncoding::Identity {
            response.insert_header((CONTENT_ENCODING, encoding.as_str()));
        }
        response.insert_header((CONTENT_TYPE, self.media_type)).body(Bytes::clone(content))
    }

    /// Returns the encoding that the client likes best, and the content in it.
    fn negotiate(&self, request: &HttpRequest) -> (ContentEncoding, &Bytes) {
        let supported = [
            Some((ContentEncoding::Identity, &self.identity)),
            self.gzip.as_ref().map(|content| (ContentEncoding::Gzip, content)),
            self.brotli.as_ref().map(|content| (ContentEncoding::Brotli, content)),
        ];
        let encodings: Vec<Encoding> =
            supported.iter().flatten().map(|(encoding, _)| Encoding::Known(*encoding)).collect();
        let accepted = AcceptEncoding::parse(request).ok();
        let chosen = accepted.and_then(|accepted| accepted.negotiate(encodings.iter()));
        let found = supported.into_iter().flatten().find(|(encoding, _)| {
            chosen == Some(Encoding::Known(*encoding)) && *encoding != ContentEncoding::Identity
        });
        found.unwrap_or((ContentEncoding::Identity, &self.identity))
    }
}

/// Compresses content; `None` if that fails, which it does not in memory.
fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;
    use actix_web::http::header::IF_NONE_MATCH;
    use actix_web::test::TestRequest;

    use super::*;

    fn text() -> Representation {
        let brotli = Bytes::from_static(b"brotli");
        Representation {
            brotli: Some(brotli),
            ..Representation::new("text/plain", REVALIDATE, "word ".repeat(100))
        }
    }

    fn encoding_for(accepted: Option<&str>) -> String {
        let mut request = TestRequest::default();
        if let Some(accepted) = accepted {
            request = request.insert_header((ACCEPT_ENCODING, accepted));
        }
        let response = text().respond(&request.to_http_request());
        let encoding = response.headers().get(CONTENT_ENCODING);
        encoding.map_or("identity", |encoding| encoding.to_str().unwrap()).to_owned()
    }

    #[test]
    fn encoding_follows_the_weights_of_the_client() {
        for (accepted, expected) in [
            (None, "identity"),
            (Some(""), "identity"),
            (Some("gzip"), "gzip"),
            (Some("gzip, deflate, br, zstd"), "br"),
            (Some("br;q=0.5, gzip;q=0.8"), "gzip"),
            (Some("br;q=0, gzip;q=0"), "identity"),
            (Some("gzip;q=0.001"), "gzip"),
            (Some("identity, gzip;q=0.5"), "identity"),
            (Some("deflate"), "identity"),
            (Some("GZIP"), "gzip"),
            (Some("identity;q=0, deflate"), "identity"),
            (Some("gzip;q=none"), "identity"),
        ] {
            assert_eq!(encoding_for(accepted), expected, "{accepted:?}");
        }
    }

    #[test]
    fn known_entity_tags_of_the_chosen_encoding_are_not_modified() {
        let respond = |known: &str| {
            let request = TestRequest::default().insert_header((IF_NONE_MATCH, known));
            text().respond(&request.to_http_request())
        };
        let etag = respond("\"x\"").headers().get(ETAG).unwrap().to_str().unwrap().to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            assert_eq!(respond(&known).status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let of_gzip = etag.trim_end_matches('"').to_owned() + "-gzip\"";
        for other in [of_gzip.as_str(), "\"\"", "", etag.trim_matches('"')] {
            assert_eq!(respond(other).status(), StatusCode::OK, "{other}");
        }
    }
}
