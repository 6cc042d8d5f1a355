//! The resume that visitors ask about.

use std::path::PathBuf;

use crate::settings::declaration::settings_group;
use crate::settings::kind::Kind;
use crate::settings::load::Purpose;
use crate::settings::reader::SettingsReader;
use crate::settings::values::resume_path;

settings_group! {
    /// The resume that visitors ask about.
    pub struct ResumeSettings {
        /// File with the resume: Markdown, plain text, JSON Resume, PDF or DOCX. Required by
        /// `serve` and `check`, not used by `demo`.
        pub path: Option<PathBuf> = Setting {
            name: RESUME_PATH,
            default: "",
            kind: Kind::new(
                "the path of a readable, non-empty md, txt, json, pdf or docx file",
                resume_path::parse,
                |path| path.display().to_string(),
            )
            .optional(),
        },
    }
}

impl ResumeSettings {
    pub(in crate::settings) fn check(&self, purpose: &Purpose, reader: &mut SettingsReader) {
        if *purpose == Purpose::Serve && self.path.is_none() {
            reader.missing(RESUME_PATH, "is required");
        }
    }
}
