//! The fields of JSON Resume that are read; everything else in a file is ignored.

use serde::Deserialize;

use super::lenient::{List, Text};

/// The top level. The sections are `None` where the file does not have them (or has `null`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resume {
    pub(super) basics: Option<Basics>,
    pub(super) work: Option<List<Work>>,
    pub(super) volunteer: Option<List<Work>>,
    pub(super) education: Option<List<Education>>,
    pub(super) awards: Option<List<Award>>,
    pub(super) certificates: Option<List<Certificate>>,
    pub(super) publications: Option<List<Publication>>,
    pub(super) skills: Option<List<Skill>>,
    pub(super) languages: Option<List<Language>>,
    pub(super) interests: Option<List<Skill>>,
    pub(super) references: Option<List<Reference>>,
    pub(super) projects: Option<List<Project>>,
}

impl Resume {
    /// Whether it has nothing a JSON Resume has.
    pub(super) fn is_foreign(&self) -> bool {
        self.basics.is_none()
            && self.work.is_none()
            && self.volunteer.is_none()
            && self.education.is_none()
            && self.awards.is_none()
            && self.certificates.is_none()
            && self.publications.is_none()
            && self.skills.is_none()
            && self.languages.is_none()
            && self.interests.is_none()
            && self.references.is_none()
            && self.projects.is_none()
    }
}

/// Who it is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Basics {
    pub(super) name: Text,
    pub(super) label: Text,
    pub(super) email: Text,
    pub(super) phone: Text,
    pub(super) url: Text,
    pub(super) website: Text,
    pub(super) summary: Text,
    pub(super) location: Option<Location>,
    pub(super) profiles: List<Profile>,
}

/// Where the person lives.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Location {
    pub(super) address: Text,
    pub(super) postal_code: Text,
    pub(super) city: Text,
    pub(super) region: Text,
    pub(super) country_code: Text,
}

/// An account elsewhere.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) network: Text,
    pub(super) username: Text,
    pub(super) url: Text,
}

/// An employer (`company` in version 0) or, with `organization`, a place of voluntary work.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Work {
    pub(super) name: Text,
    pub(super) company: Text,
    pub(super) organization: Text,
    pub(super) position: Text,
    pub(super) location: Text,
    pub(super) description: Text,
    pub(super) url: Text,
    pub(super) website: Text,
    pub(super) start_date: Text,
    pub(super) end_date: Text,
    pub(super) summary: Text,
    pub(super) highlights: List<Text>,
}

/// A school.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Education {
    pub(super) institution: Text,
    pub(super) url: Text,
    pub(super) area: Text,
    pub(super) study_type: Text,
    pub(super) start_date: Text,
    pub(super) end_date: Text,
    pub(super) score: Text,
    pub(super) gpa: Text,
    pub(super) courses: List<Text>,
}

/// A prize.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Award {
    pub(super) title: Text,
    pub(super) date: Text,
    pub(super) awarder: Text,
    pub(super) summary: Text,
}

/// A certificate.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Certificate {
    pub(super) name: Text,
    pub(super) date: Text,
    pub(super) issuer: Text,
    pub(super) url: Text,
}

/// A publication (`website` in version 0).
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Publication {
    pub(super) name: Text,
    pub(super) publisher: Text,
    pub(super) release_date: Text,
    pub(super) url: Text,
    pub(super) website: Text,
    pub(super) summary: Text,
}

/// A skill, or with the same fields an interest.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Skill {
    pub(super) name: Text,
    pub(super) level: Text,
    pub(super) keywords: List<Text>,
}

/// A spoken language.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Language {
    pub(super) language: Text,
    pub(super) fluency: Text,
}

/// What somebody says of the person.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) name: Text,
    pub(super) reference: Text,
}

/// A project.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Project {
    pub(super) name: Text,
    pub(super) description: Text,
    pub(super) start_date: Text,
    pub(super) end_date: Text,
    pub(super) url: Text,
    pub(super) entity: Text,
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) highlights: List<Text>,
    pub(super) keywords: List<Text>,
    pub(super) roles: List<Text>,
}
