//! The fields of JSON Resume that are read. All other fields are ignored.

use serde::Deserialize;

use super::lenient::{List, Text};

/// The top level. A field is `None` if the file does not have it or has `null`.
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
    /// Returns true if any field of JSON Resume is present.
    pub(super) fn has_known_field(&self) -> bool {
        self.basics.is_some()
            || self.work.is_some()
            || self.volunteer.is_some()
            || self.education.is_some()
            || self.awards.is_some()
            || self.certificates.is_some()
            || self.publications.is_some()
            || self.skills.is_some()
            || self.languages.is_some()
            || self.interests.is_some()
            || self.references.is_some()
            || self.projects.is_some()
    }
}

/// Name, contact details and summary of the person. Version 0 has `website` for `url`.
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Location {
    pub(super) address: Text,
    pub(super) postal_code: Text,
    pub(super) city: Text,
    pub(super) region: Text,
    pub(super) country_code: Text,
}

/// A profile in a social network.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Profile {
    pub(super) network: Text,
    pub(super) username: Text,
    pub(super) url: Text,
}

/// A job, or volunteer work. The employer is `name` in version 1, and `company` for a job or
/// `organization` for volunteer work in version 0.
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

/// Studies at one institution. Version 0 has `gpa` for `score`.
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

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Award {
    pub(super) title: Text,
    pub(super) date: Text,
    pub(super) awarder: Text,
    pub(super) summary: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Certificate {
    pub(super) name: Text,
    pub(super) date: Text,
    pub(super) issuer: Text,
    pub(super) url: Text,
}

/// A publication. Version 0 has `website` for `url`.
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

/// A skill or an interest; both have the same fields.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Skill {
    pub(super) name: Text,
    pub(super) level: Text,
    pub(super) keywords: List<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Language {
    pub(super) language: Text,
    pub(super) fluency: Text,
}

/// A recommendation and the name of its author.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) name: Text,
    pub(super) reference: Text,
}

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
