//! Reads JSON Resume (schema version 1, and the names version 0 used) and writes it out as sections.

mod dates;
mod lenient;
mod render;
mod schema;

use serde_json::error::Category;

use super::ResumeError;
use super::document_builder::Outline;
use schema::Resume;

pub(super) fn parse(text: &str) -> Result<Outline, ResumeError> {
    if text.trim().is_empty() {
        return Err(ResumeError::Empty);
    }
    let resume: Resume = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        // The position is told by the variant's fields, so it is taken off the parser's words.
        let detail = error.to_string();
        let detail = detail.rsplit_once(" at line ").map_or(detail.as_str(), |(words, _)| words).to_owned();
        match error.classify() {
            Category::Data => ResumeError::JsonShape { line, column, detail },
            Category::Syntax | Category::Eof | Category::Io => {
                ResumeError::InvalidJson { line, column, detail }
            }
        }
    })?;
    if resume.is_foreign() {
        return Err(ResumeError::NotJsonResume);
    }
    Ok(render::outline(&resume))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_numbers_single_values_and_unknown_fields_are_tolerated() {
        let text = r#"{"x-custom": 1, "basics": {"name": "Mara", "email": null, "profiles": null, "pet": {}},
            "work": [null, {"name": "Halden", "startDate": 2021, "highlights": "one thing", "endDate": null}],
            "skills": {"name": "Rust", "keywords": null}, "education": null}"#;
        let document = parse(text).unwrap().finish("cv").unwrap();
        let found: Vec<_> =
            document.sections.iter().map(|s| (s.title.as_str(), s.level, s.text.as_str())).collect();
        let wanted =
            [("Experience", 1, ""), ("Halden", 2, "2021 – present\n- one thing"), ("Skills", 1, "- Rust")];
        assert_eq!(found, wanted);
        assert_eq!(document.name, "Mara");
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
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
    fn other_json_is_not_a_resume() {
        assert!(matches!(parse("{\"name\": \"left-pad\"}"), Err(ResumeError::NotJsonResume)));
        assert!(matches!(parse("{\"basics\": null}"), Err(ResumeError::NotJsonResume)));
        assert!(parse("[1, 2]").is_err());
        assert!(matches!(parse("{\"work\": []}").unwrap().finish("cv"), Err(ResumeError::Empty)));
    }
}
