//! Recognises section headings where the format does not mark them.

/// The headings resumes use, lower case, grouped by what stands under them.
const WITH_ENTRIES: &[&str] = &[
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

const WITHOUT_ENTRIES: &[&str] = &[
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

/// What a known heading says about the lines under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Employers, schools or projects: bold lines in it are headings too.
    Entries,
    /// Lists and prose: bold words in it are labels.
    Other,
}

/// Whether the whole line is the name of a resume section; case, `&`, numbering and a colon at the end do not matter.
pub(super) fn known(line: &str) -> Option<Known> {
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
    let name = words.join(" ");
    if WITH_ENTRIES.contains(&name.as_str()) {
        Some(Known::Entries)
    } else {
        WITHOUT_ENTRIES.contains(&name.as_str()).then_some(Known::Other)
    }
}

/// Whether the line is short, in capitals only, and made of words: a heading of a resume without styles.
pub(super) fn in_capitals(line: &str) -> bool {
    let letters = line.chars().filter(|character| character.is_alphabetic()).count();
    // Three letters and up, or every `SQL,` and `C++` would be one; a line with a digit is an address, a date or a name.
    letters >= 4
        && line.chars().count() <= 50
        && line.split_whitespace().count() <= 6
        && !line.chars().any(|character| {
            character.is_lowercase() || character.is_ascii_digit() || "@,;|.".contains(character)
        })
        && line.chars().any(char::is_uppercase)
}

/// Whether the line can be a person's name: two to five words of letters, and no section's name.
pub(super) fn looks_like_name(line: &str) -> bool {
    let words = line.split_whitespace().count();
    (1..=5).contains(&words)
        && line.chars().count() <= 60
        && line.chars().all(|character| character.is_alphabetic() || " .,'’-".contains(character))
        && known(line).is_none()
}

/// The rest of a line that starts with a bullet, in any of the shapes they come in.
pub(super) fn after_bullet(line: &str) -> Option<&str> {
    const ALWAYS: &[char] = &[
        '•', '●', '◦', '▪', '‣', '○', '■', '□', '∙', '⁃', '➢', '➤', '►', '▸', '✓', '✔', '\u{F0B7}',
        '\u{F0A7}', '\u{F0D8}',
    ];
    let line = line.trim_start();
    if let Some(rest) = line.strip_prefix(ALWAYS) {
        return Some(rest.trim_start_matches([' ', '|', '\t', '\u{a0}']));
    }
    // These are also ordinary characters, so only a blank makes them bullets.
    let rest = line.strip_prefix(['-', '*', '+', '–', '·', '—'])?;
    rest.starts_with(char::is_whitespace).then(|| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_headings_are_found_in_their_usual_shapes() {
        assert_eq!(known("WORK EXPERIENCE"), Some(Known::Entries));
        assert_eq!(known("Honors & Awards:"), Some(Known::Other));
        assert_eq!(known("— Skills —"), Some(Known::Other));
        assert_eq!(known("Experience in Rust"), None);
    }

    #[test]
    fn capitals_make_a_heading_only_in_short_lines_of_words() {
        assert!(in_capitals("TECHNICAL SKILLS"));
        assert!(!in_capitals("SQL"));
        assert!(!in_capitals("NASA, JPL"));
        assert!(!in_capitals("Technical Skills"));
    }

    #[test]
    fn bullets_are_taken_off_and_dashes_inside_words_are_not() {
        assert_eq!(after_bullet("• Led"), Some("Led"));
        assert_eq!(after_bullet("- Led"), Some("Led"));
        assert_eq!(after_bullet("-5 degrees"), None);
        assert_eq!(after_bullet("Led - not"), None);
    }

    #[test]
    fn names_are_words_of_letters() {
        assert!(looks_like_name("Mara Lindqvist"));
        assert!(looks_like_name("Seán O’Brien-Ward Jr."));
        assert!(!looks_like_name("Curriculum of 2024"));
        assert!(!looks_like_name("Summary"));
    }
}
