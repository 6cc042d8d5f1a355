//! Reads JSON Resume: version 1 of the schema, and the field names of version 0.

mod dates;
mod lenient;
mod render;
mod schema;

use serde_json::error::Category;

use super::ResumeError;
use super::document_builder::DocumentBuilder;
use schema::Resume;

pub(super) fn parse(text: &str) -> Result<DocumentBuilder, ResumeError> {
    if text.trim().is_empty() {
        return Err(ResumeError::Empty);
    }
    let resume: Resume = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // The error has fields for the position, so remove it from the parser's message.
        let message = error.to_string();
        let detail = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text).to_owned();
        match error.classify() {
            Category::Data => ResumeError::JsonShape { line, column, detail },
            Category::Syntax | Category::Eof | Category::Io => {
                ResumeError::InvalidJson { line, column, detail }
            }
        }
    })?;
    if !resume.has_known_field() {
        return Err(ResumeError::NotJsonResume);
    }
    Ok(render::build_document(&resume))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_numbers_single_values_and_unknown_fields_are_accepted() {
        let text = r#"{"x-custom": 1, "basics": {"name": "Mara", "email": null, "profiles": null, "pet": {}},
            "work": [null, {"name": "Halden", "startDate": 2021, "highlights": "one thing", "endDate": null}],
            "skills": {"name": "Rust", "keywords": null}, "education": null}"#;
        let document = parse(text).unwrap().build("cv").unwrap();
        let sections: Vec<_> = document
            .sections
            .iter()
            .map(|section| (section.title.as_str(), section.level, section.text.as_str()))
            .collect();
        let expected =
            [("Experience", 1, ""), ("Halden", 2, "2021 – present\n- one thing"), ("Skills", 1, "- Rust")];
        assert_eq!(sections, expected);
        assert_eq!(document.name, "Mara");
    }

    #[test]
    fn errors_have_the_line_and_column() {
        let Err(ResumeError::InvalidJson { line, column, detail }) = parse("{\n  \"basics\": {,}\n}") else {
            panic!()
        };
        assert_eq!((line, column, detail.as_str()), (2, 14, "key must be a string"));
        let Err(ResumeError::JsonShape { line, .. }) = parse("{\n\"work\": [{\"name\": []}]}") else {
            panic!()
        };
        assert_eq!(line, 2);
    }

    #[test]
    fn json_without_fields_of_a_resume_is_refused() {
        assert!(matches!(parse("{\"name\": \"left-pad\"}"), Err(ResumeError::NotJsonResume)));
        assert!(matches!(parse("{\"basics\": null}"), Err(ResumeError::NotJsonResume)));
        assert!(parse("[1, 2]").is_err());
        assert!(matches!(parse("{\"work\": []}").unwrap().build("cv"), Err(ResumeError::Empty)));
    }
}
