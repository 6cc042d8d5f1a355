//! Documentation that is generated from the declarations: `config/default.toml`, the table in the
//! README, and the list in the help text.

use super::declaration::Declaration;
use super::{registry, secret_file};

/// The maximum length of a line in `config/default.toml`.
const MAX_COLUMNS: usize = 100;

/// The beginning of `config/default.toml`.
const TOML_HEADER: &str = "\
# All settings of Resume Chatbot with their defaults. This file is generated from the declarations in
# src/settings/groups and not read by the server.
#
# Copy the lines you want to change to a file of your own and pass it with --config, or set
# environment variables with the same names in capitals. The environment overrides the file.
#
# Durations are written 500ms, 30s, 5m or 24h; a bare number is seconds. Lists are separated by
# commas, or are TOML arrays. Switches are true or false (also yes/no, on/off, 1/0). An empty value
# counts as unset.
";

/// Returns the content of `config/default.toml`.
#[must_use]
pub fn default_toml() -> String {
    let mut text = TOML_HEADER.to_owned();
    for group in registry::groups() {
        text.push_str(&format!("\n# --- {} ---\n", group.heading.trim()));
        for declaration in &group.declarations {
            text.push_str(&format!("\n{}", toml_entry(declaration)));
        }
    }
    text
}

fn toml_entry(declaration: &Declaration) -> String {
    let Declaration { name, default, summary, .. } = declaration;
    let description = description(declaration, str::to_lowercase);
    let is_bare = default.parse::<u64>().is_ok() || default.parse::<bool>().is_ok();
    let value = if is_bare { (*default).to_owned() } else { format!("\"{default}\"") };
    let comment = format!("{description} Accepts {summary}.").replace('`', "");
    format!("{}{} = {value}\n", toml_comment(&comment), name.to_ascii_lowercase())
}

/// Returns the description of a setting. `format` converts the names of environment variables.
fn description(declaration: &Declaration, format: impl Fn(&str) -> String) -> String {
    let description = &declaration.description;
    match secret_file::name_for(declaration) {
        Some(file) => {
            format!("{description} Or set `{}` to the path of a file with the value.", format(&file))
        }
        None => description.clone(),
    }
}

/// Wraps a text into comment lines.
fn toml_comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > MAX_COLUMNS {
            lines.push_str(&format!("{line}\n"));
            line = String::from("#");
        }
        line.push_str(&format!(" {word}"));
    }
    lines + &line + "\n"
}

/// Returns the table of settings in the README.
#[must_use]
pub fn readme_table() -> String {
    let mut table = String::from("| setting | default | accepts | meaning |\n|---|---|---|---|\n");
    for declaration in registry::declarations() {
        let Declaration { name, default, summary, .. } = declaration;
        let description = description(declaration, str::to_owned);
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        table.push_str(&format!("| `{name}` | {default} | {summary} | {description} |\n"));
    }
    table
}

/// Returns the list of settings for a help text: names, defaults, and the first sentences of the
/// descriptions.
#[must_use]
pub fn help() -> String {
    let mut text =
        String::from("Settings (environment variables, or keys in lower case in the --config file):\n");
    for declaration in registry::declarations() {
        let Declaration { name, default, description, .. } = declaration;
        let name = match secret_file::name_for(declaration) {
            Some(file) => format!("{name}\n  {file}"),
            None => (*name).to_owned(),
        };
        let sentence = description.split_once(". ").map_or(description.as_str(), |(first, _)| first);
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let sentence = sentence.trim_end_matches('.').replace('`', "");
        text.push_str(&format!("  {name}\n          {sentence}{default}\n"));
    }
    text.trim_end().to_owned()
}
