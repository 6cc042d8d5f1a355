//! Writes a JSON Resume as sections: each employer, school and project a section of its own, everything else as bullets.

use super::dates::{date, span};
use super::lenient::{List, Text};
use super::schema::{Basics, Education, Project, Resume, Skill, Work};
use crate::resume::document_builder::Outline;

pub(super) fn outline(resume: &Resume) -> Outline {
    let mut out = Outline::default();
    if let Some(basics) = &resume.basics {
        about(&mut out, basics);
    }
    section(&mut out, "Experience", &resume.work, work);
    section(&mut out, "Projects", &resume.projects, project);
    section(&mut out, "Volunteering", &resume.volunteer, work);
    section(&mut out, "Education", &resume.education, education);
    section(&mut out, "Skills", &resume.skills, skill);
    section(&mut out, "Languages", &resume.languages, |out, it| {
        out.bullet(&labelled(&it.language, &it.fluency))
    });
    section(&mut out, "Certificates", &resume.certificates, |out, it| {
        out.bullet(&joined(", ", &[&it.name.0, &it.issuer.0, &date(&it.date.0), &it.url.0]));
    });
    section(&mut out, "Awards", &resume.awards, |out, it| {
        let what = joined(", ", &[&it.title.0, &it.awarder.0, &date(&it.date.0)]);
        out.bullet(&joined(". ", &[&what, &it.summary.0]));
    });
    section(&mut out, "Publications", &resume.publications, |out, it| {
        let what = joined(
            ", ",
            &[&it.name.0, &it.publisher.0, &date(&it.release_date.0), either(&it.url, &it.website)],
        );
        out.bullet(&joined(". ", &[&what, &it.summary.0]));
    });
    section(&mut out, "Interests", &resume.interests, skill);
    section(&mut out, "References", &resume.references, |out, it| {
        out.bullet(&labelled(&it.name, &it.reference))
    });
    out
}

/// A heading only where something stands under it.
fn section<T>(out: &mut Outline, title: &str, list: &Option<List<T>>, write: impl Fn(&mut Outline, &T)) {
    if let Some(list) = list.as_ref().filter(|list| !list.0.is_empty()) {
        out.heading(1, title);
        list.0.iter().for_each(|entry| write(out, entry));
    }
}

fn about(out: &mut Outline, basics: &Basics) {
    out.name(&basics.name.0);
    out.paragraph(&basics.label.0);
    if let Some(at) = &basics.location {
        let town = joined(" ", &[&at.postal_code.0, &at.city.0]);
        let place = joined(", ", &[&at.address.0, &town, &at.region.0, &at.country_code.0]);
        contact(out, "Location", &place);
    }
    contact(out, "E-mail", &basics.email.0);
    contact(out, "Phone", &basics.phone.0);
    contact(out, "Web", either(&basics.url, &basics.website));
    for profile in &basics.profiles.0 {
        let address = joined(", ", &[&profile.username.0, &profile.url.0]);
        out.bullet(&joined(": ", &[&profile.network.0, &address]));
    }
    if !basics.summary.0.trim().is_empty() {
        out.heading(1, "Summary");
        out.paragraph(&basics.summary.0);
    }
}

fn contact(out: &mut Outline, label: &str, value: &str) {
    if !value.trim().is_empty() {
        out.bullet(&format!("{label}: {}", value.trim()));
    }
}

fn work(out: &mut Outline, entry: &Work) {
    let employer = either(&entry.name, either_text(&entry.company, &entry.organization));
    entry_heading(out, &joined(", ", &[&entry.position.0, employer]));
    out.paragraph(&joined(" | ", &[&span(&entry.start_date.0, &entry.end_date.0), &entry.location.0]));
    out.paragraph(&joined(" | ", &[&entry.description.0, either(&entry.url, &entry.website)]));
    out.paragraph(&entry.summary.0);
    bullets(out, &entry.highlights);
}

fn project(out: &mut Outline, entry: &Project) {
    entry_heading(out, &entry.name.0);
    let roles = commas(&entry.roles);
    let dates = span(&entry.start_date.0, &entry.end_date.0);
    out.paragraph(&joined(" | ", &[&dates, &roles, &entry.entity.0, &entry.kind.0, &entry.url.0]));
    out.paragraph(&entry.description.0);
    bullets(out, &entry.highlights);
    contact(out, "Keywords", &commas(&entry.keywords));
}

fn education(out: &mut Outline, entry: &Education) {
    let degree = joined(" in ", &[&entry.study_type.0, &entry.area.0]);
    entry_heading(out, &joined(", ", &[&degree, &entry.institution.0]));
    out.paragraph(&joined(" | ", &[&span(&entry.start_date.0, &entry.end_date.0), &entry.url.0]));
    contact(out, "Score", either(&entry.score, &entry.gpa));
    contact(out, "Courses", &commas(&entry.courses));
}

fn skill(out: &mut Outline, entry: &Skill) {
    let keywords = commas(&entry.keywords);
    let level = entry.level.0.trim();
    let name =
        if level.is_empty() { entry.name.0.clone() } else { format!("{} ({level})", entry.name.0.trim()) };
    out.bullet(&joined(": ", &[&name, &keywords]));
}

/// Without a heading of its own an entry would read as part of the one before it.
fn entry_heading(out: &mut Outline, title: &str) {
    out.heading(2, if title.is_empty() { "Entry" } else { title });
}

fn bullets(out: &mut Outline, list: &List<Text>) {
    list.0.iter().for_each(|text| out.bullet(&text.0));
}

fn commas(list: &List<Text>) -> String {
    let texts: Vec<&str> = list.0.iter().map(|text| text.0.as_str()).collect();
    joined(", ", &texts)
}

fn labelled(label: &Text, text: &Text) -> String {
    joined(": ", &[&label.0, &text.0])
}

fn either<'a>(first: &'a Text, second: &'a Text) -> &'a str {
    &either_text(first, second).0
}

fn either_text<'a>(first: &'a Text, second: &'a Text) -> &'a Text {
    if first.0.trim().is_empty() { second } else { first }
}

/// The parts that are not blank.
fn joined(separator: &str, parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()).collect();
    parts.join(separator)
}
