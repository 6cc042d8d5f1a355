//! Recognizes section headings, names and bullets in text without markup.

/// Usual titles, in lower case, of sections that list employers, schools or projects.
const ENTRY_SECTION_TITLES: &[&str] = &[
    "experience",
    "work experience",
    "professional experience",
    "employment",
    "employment history",
    "work history",
    "work",
    "career",
    "career history",
    "relevant experience",
    "research experience",
    "teaching experience",
    "internships",
    "projects",
    "personal projects",
    "selected projects",
    "side projects",
    "open source",
    "open source projects",
    "education",
    "education and training",
    "academic background",
    "volunteering",
    "volunteer experience",
    "volunteer",
    "volunteer work",
    "military service",
];

/// Usual titles, in lower case, of all other sections.
const OTHER_SECTION_TITLES: &[&str] = &[
    "summary",
    "professional summary",
    "executive summary",
    "profile",
    "about",
    "about me",
    "objective",
    "career objective",
    "personal statement",
    "contact",
    "contact details",
    "contact information",
    "personal details",
    "skills",
    "technical skills",
    "core skills",
    "key skills",
    "skills and tools",
    "core competencies",
    "competencies",
    "expertise",
    "areas of expertise",
    "technologies",
    "tools",
    "technical proficiencies",
    "languages",
    "certifications",
    "certificates",
    "licenses and certifications",
    "licences and certifications",
    "courses",
    "training",
    "awards",
    "honors",
    "honours",
    "honors and awards",
    "honours and awards",
    "awards and honors",
    "achievements",
    "accomplishments",
    "publications",
    "selected publications",
    "patents",
    "presentations",
    "talks",
    "talks and publications",
    "conferences",
    "memberships",
    "affiliations",
    "community",
    "extracurricular activity",
    "extracurricular activities",
    "activities",
    "leadership",
    "interests",
    "hobbies",
    "hobbies and interests",
    "references",
    "referees",
    "links",
    "strengths",
    "qualifications",
    "key qualifications",
    "highlights",
    "additional information",
];

/// What a section with a usual title contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectionKind {
    /// Employers, schools or projects. Bold lines in the section are headings too.
    Entries,
    /// Lists and prose. Bold words in the section are labels.
    Other,
}

/// Returns the kind of section that the line is a usual title of, or `None` for any other line.
///
/// Ignores case, punctuation around words and a colon at the end, and reads `&`, `+` and `/` as
/// "and".
pub(super) fn section_kind(line: &str) -> Option<SectionKind> {
    if line.len() > 60 {
        return None;
    }
    let line = line.to_lowercase().replace(['&', '+'], " and ").replace('/', " and ");
    let line = line.trim().trim_end_matches(':');
    let words: Vec<&str> = line
        .split_whitespace()
        .map(|word| word.trim_matches(|character: char| !character.is_alphanumeric()))
        .filter(|word| !word.is_empty())
        .collect();
    let title = words.join(" ");
    if ENTRY_SECTION_TITLES.contains(&title.as_str()) {
        Some(SectionKind::Entries)
    } else {
        OTHER_SECTION_TITLES.contains(&title.as_str()).then_some(SectionKind::Other)
    }
}

/// Returns true if the line is the title of a section in any resume.
pub(super) fn is_section_title(line: &str) -> bool {
    section_kind(line).is_some()
}

/// Returns true if the line can be a heading written in capitals: short, and without lower-case
/// letters, digits and most punctuation.
pub(super) fn is_heading_in_capitals(line: &str) -> bool {
    let letters = line.chars().filter(|character| character.is_alphabetic()).count();
    // With fewer letters, every `SQL` and `C++` would count. A line with a digit is probably an
    // address or a date.
    letters >= 4
        && line.chars().count() <= 50
        && line.split_whitespace().count() <= 6
        && !line.chars().any(|character| {
            character.is_lowercase() || character.is_ascii_digit() || "@,;|.".contains(character)
        })
        && line.chars().any(char::is_uppercase)
}

/// Returns true if the line can be a person's name: one to five words of letters that are not a
/// usual section title.
pub(super) fn can_be_name(line: &str) -> bool {
    let words = line.split_whitespace().count();
    (1..=5).contains(&words)
        && line.chars().count() <= 60
        && line.chars().all(|character| character.is_alphabetic() || " .,'’-".contains(character))
        && !is_section_title(line)
}

/// Returns the text after the bullet character at the start of the line, or `None` without one.
pub(super) fn strip_bullet(line: &str) -> Option<&str> {
    const BULLETS: &[char] = &[
        '•', '●', '◦', '▪', '‣', '○', '■', '□', '∙', '⁃', '➢', '➤', '►', '▸', '✓', '✔', '\u{F0B7}',
        '\u{F0A7}', '\u{F0D8}',
    ];
    /// Ordinary characters that are bullets only before white space.
    const BULLETS_BEFORE_SPACE: &[char] = &['-', '*', '+', '–', '·', '—'];
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix(BULLETS) {
        return Some(rest.trim_start_matches([' ', '|', '\t', '\u{a0}']));
    }
    let rest = line.strip_prefix(BULLETS_BEFORE_SPACE)?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_titles_are_recognized_in_any_case_and_punctuation() {
        assert_eq!(section_kind("WORK EXPERIENCE"), Some(SectionKind::Entries));
        assert_eq!(section_kind("Honors & Awards:"), Some(SectionKind::Other));
        assert_eq!(section_kind("— Skills —"), Some(SectionKind::Other));
        assert_eq!(section_kind("Experience in Rust"), None);
    }

    #[test]
    fn short_lines_of_words_in_capitals_are_headings() {
        assert!(is_heading_in_capitals("TECHNICAL SKILLS"));
        assert!(!is_heading_in_capitals("SQL"));
        assert!(!is_heading_in_capitals("NASA, JPL"));
        assert!(!is_heading_in_capitals("Technical Skills"));
    }

    #[test]
    fn bullets_are_stripped_but_dashes_within_text_are_not() {
        assert_eq!(strip_bullet("• Led"), Some("Led"));
        assert_eq!(strip_bullet("- Led"), Some("Led"));
        assert_eq!(strip_bullet("-5 degrees"), None);
        assert_eq!(strip_bullet("Led - not"), None);
    }

    #[test]
    fn names_are_words_of_letters() {
        assert!(can_be_name("Mara Lindqvist"));
        assert!(can_be_name("Seán O’Brien-Ward Jr."));
        assert!(!can_be_name("Curriculum of 2024"));
        assert!(!can_be_name("Summary"));
    }
}
