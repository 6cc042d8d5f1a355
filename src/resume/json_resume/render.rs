//! Writes a JSON Resume as sections. Employers, schools and projects become subsections, everything
//! else becomes bullets.

use super::dates::{format_date, format_date_range};
use super::lenient::{List, Text};
use super::schema::{
    Award, Basics, Certificate, Education, Language, Project, Publication, Reference, Resume, Skill, Work,
};
use crate::resume::document_builder::DocumentBuilder;

pub(super) fn build_document(resume: &Resume) -> DocumentBuilder {
    let mut builder = DocumentBuilder::default();
    if let Some(basics) = &resume.basics {
        push_basics(&mut builder, basics);
    }
    push_section(&mut builder, "Experience", &resume.work, push_work);
    push_section(&mut builder, "Projects", &resume.projects, push_project);
    push_section(&mut builder, "Volunteering", &resume.volunteer, push_work);
    push_section(&mut builder, "Education", &resume.education, push_education);
    push_section(&mut builder, "Skills", &resume.skills, push_skill);
    push_section(&mut builder, "Languages", &resume.languages, push_language);
    push_section(&mut builder, "Certificates", &resume.certificates, push_certificate);
    push_section(&mut builder, "Awards", &resume.awards, push_award);
    push_section(&mut builder, "Publications", &resume.publications, push_publication);
    push_section(&mut builder, "Interests", &resume.interests, push_skill);
    push_section(&mut builder, "References", &resume.references, push_reference);
    builder
}

/// Writes a heading and the entries below it, or nothing if there are no entries.
fn push_section<T>(
    builder: &mut DocumentBuilder,
    title: &str,
    entries: &Option<List<T>>,
    push_entry: impl Fn(&mut DocumentBuilder, &T),
) {
    if let Some(List(entries)) = entries.as_ref().filter(|entries| !entries.0.is_empty()) {
        builder.push_heading(1, title);
        entries.iter().for_each(|entry| push_entry(builder, entry));
    }
}

fn push_basics(builder: &mut DocumentBuilder, basics: &Basics) {
    builder.set_name(&basics.name.0);
    builder.push_paragraph(&basics.label.0);
    if let Some(location) = &basics.location {
        let town = join_nonblank(" ", &[&location.postal_code.0, &location.city.0]);
        let parts = [&location.address.0, &town, &location.region.0, &location.country_code.0];
        push_labelled(builder, "Location", &join_nonblank(", ", &parts.map(String::as_str)));
    }
    push_labelled(builder, "E-mail", &basics.email.0);
    push_labelled(builder, "Phone", &basics.phone.0);
    push_labelled(builder, "Web", first_nonblank(&[&basics.url, &basics.website]));
    for profile in &basics.profiles.0 {
        let account = join_nonblank(", ", &[&profile.username.0, &profile.url.0]);
        builder.push_bullet(&join_nonblank(": ", &[&profile.network.0, &account]));
    }
    if !basics.summary.0.trim().is_empty() {
        builder.push_heading(1, "Summary");
        builder.push_paragraph(&basics.summary.0);
    }
}

fn push_work(builder: &mut DocumentBuilder, work: &Work) {
    let employer = first_nonblank(&[&work.name, &work.company, &work.organization]);
    push_entry_heading(builder, &join_nonblank(", ", &[&work.position.0, employer]));
    let dates = format_date_range(&work.start_date.0, &work.end_date.0);
    builder.push_paragraph(&join_nonblank(" | ", &[&dates, &work.location.0]));
    let url = first_nonblank(&[&work.url, &work.website]);
    builder.push_paragraph(&join_nonblank(" | ", &[&work.description.0, url]));
    builder.push_paragraph(&work.summary.0);
    push_bullets(builder, &work.highlights);
}

fn push_project(builder: &mut DocumentBuilder, project: &Project) {
    push_entry_heading(builder, &project.name.0);
    let roles = join_with_commas(&project.roles);
    let dates = format_date_range(&project.start_date.0, &project.end_date.0);
    let details = [&dates, &roles, &project.entity.0, &project.kind.0, &project.url.0];
    builder.push_paragraph(&join_nonblank(" | ", &details.map(String::as_str)));
    builder.push_paragraph(&project.description.0);
    push_bullets(builder, &project.highlights);
    push_labelled(builder, "Keywords", &join_with_commas(&project.keywords));
}

fn push_education(builder: &mut DocumentBuilder, education: &Education) {
    let degree = join_nonblank(" in ", &[&education.study_type.0, &education.area.0]);
    push_entry_heading(builder, &join_nonblank(", ", &[&degree, &education.institution.0]));
    let dates = format_date_range(&education.start_date.0, &education.end_date.0);
    builder.push_paragraph(&join_nonblank(" | ", &[&dates, &education.url.0]));
    push_labelled(builder, "Score", first_nonblank(&[&education.score, &education.gpa]));
    push_labelled(builder, "Courses", &join_with_commas(&education.courses));
}

fn push_skill(builder: &mut DocumentBuilder, skill: &Skill) {
    let level = skill.level.0.trim();
    let name =
        if level.is_empty() { skill.name.0.clone() } else { format!("{} ({level})", skill.name.0.trim()) };
    builder.push_bullet(&join_nonblank(": ", &[&name, &join_with_commas(&skill.keywords)]));
}

fn push_language(builder: &mut DocumentBuilder, language: &Language) {
    builder.push_bullet(&join_nonblank(": ", &[&language.language.0, &language.fluency.0]));
}

fn push_certificate(builder: &mut DocumentBuilder, certificate: &Certificate) {
    let date = format_date(&certificate.date.0);
    let parts = [&certificate.name.0, &certificate.issuer.0, &date, &certificate.url.0];
    builder.push_bullet(&join_nonblank(", ", &parts.map(String::as_str)));
}

fn push_award(builder: &mut DocumentBuilder, award: &Award) {
    let date = format_date(&award.date.0);
    let heading = join_nonblank(", ", &[&award.title.0, &award.awarder.0, &date]);
    builder.push_bullet(&join_nonblank(". ", &[&heading, &award.summary.0]));
}

fn push_publication(builder: &mut DocumentBuilder, publication: &Publication) {
    let date = format_date(&publication.release_date.0);
    let url = first_nonblank(&[&publication.url, &publication.website]);
    let heading = join_nonblank(", ", &[&publication.name.0, &publication.publisher.0, &date, url]);
    builder.push_bullet(&join_nonblank(". ", &[&heading, &publication.summary.0]));
}

fn push_reference(builder: &mut DocumentBuilder, reference: &Reference) {
    builder.push_bullet(&join_nonblank(": ", &[&reference.name.0, &reference.reference.0]));
}

/// Starts the subsection of an entry. An entry without a title still has a heading, because its
/// text would otherwise continue the entry before it.
fn push_entry_heading(builder: &mut DocumentBuilder, title: &str) {
    builder.push_heading(2, if title.is_empty() { "Entry" } else { title });
}

/// Writes a bullet such as `Phone: …`, or nothing if the value is blank.
fn push_labelled(builder: &mut DocumentBuilder, label: &str, value: &str) {
    if !value.trim().is_empty() {
        builder.push_bullet(&format!("{label}: {}", value.trim()));
    }
}

fn push_bullets(builder: &mut DocumentBuilder, texts: &List<Text>) {
    texts.0.iter().for_each(|text| builder.push_bullet(&text.0));
}

fn join_with_commas(texts: &List<Text>) -> String {
    let texts: Vec<&str> = texts.0.iter().map(|text| text.0.as_str()).collect();
    join_nonblank(", ", &texts)
}

/// Joins the texts that are not blank.
fn join_nonblank(separator: &str, texts: &[&str]) -> String {
    let texts: Vec<&str> = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()).collect();
    texts.join(separator)
}

/// Returns the first text that is not blank, or an empty text.
fn first_nonblank<'a>(texts: &[&'a Text]) -> &'a str {
    texts.iter().map(|text| text.0.as_str()).find(|text| !text.trim().is_empty()).unwrap_or_default()
}
