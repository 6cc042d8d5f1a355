//! What both servers derive from the settings and the resume when they start.

use std::sync::Arc;

use super::api_docs::Documents;
use super::middleware::host::HostRules;
use super::middleware::response_headers::ResponseHeaders;
use super::page::{Pages, Subject};
use crate::resume::Document;
use crate::resume::links::contacts;
use crate::settings::{HttpSettings, PageSettings, PublicUrl};

/// What both servers derive from the settings and the resume when they start.
#[derive(Debug)]
pub struct Site {
    pub(super) hosts: HostRules,
    pub(super) response_headers: Arc<ResponseHeaders>,
    pub(super) pages: Pages,
    pub(super) documents: Documents,
    path_prefix: String,
}

/// Returns the line that shows the chat on a page of another site. `base_url` ends with a slash.
#[must_use]
pub fn widget_snippet(base_url: &str) -> String {
    format!("<script type=\"module\" src=\"{base_url}widget.js\"></script>")
}

impl Site {
    /// Renders the page and the API documents.
    #[must_use]
    pub fn new(http: &HttpSettings, page: &PageSettings, resume: &Document) -> Self {
        let public_url = http.public_url.as_ref();
        Self {
            hosts: HostRules::new(http),
            response_headers: Arc::new(ResponseHeaders::new(http)),
            pages: Pages::new(http, page, &Subject { name: &resume.name, contacts: &contacts(resume) }),
            documents: Documents::new(public_url),
            path_prefix: public_url.map_or("", PublicUrl::path_prefix).to_owned(),
        }
    }

    /// Returns the path that `PUBLIC_URL` has; empty for the root.
    pub(super) fn path_prefix(&self) -> &str {
        &self.path_prefix
    }
}
