//! `LOG_LEVEL`: a default level and levels for single modules.

use std::str::FromStr;

/// What is accepted, for error messages.
pub(in crate::settings) const ACCEPTED: &str = "trace, debug, info, warning (or warn) or error, \
     optionally followed by levels of modules, such as info,resume_chatbot::llm=debug";

/// The levels of log lines that are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevels {
    /// The level for all modules that are not listed.
    pub level: LogLevel,
    /// Levels of modules, by their paths. They include submodules; the longest path wins.
    pub modules: Vec<(String, LogLevel)>,
}

/// The lowest level of log lines that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase", ascii_case_insensitive)]
pub enum LogLevel {
    /// Everything. Available in debug builds only.
    Trace,
    /// Details for developers.
    Debug,
    /// Events for operators.
    Info,
    /// Events that may need attention.
    #[strum(to_string = "warning", serialize = "warn")]
    Warning,
    /// Failures.
    Error,
}

/// Parses a level for all modules and levels of single modules, in any order.
pub(in crate::settings) fn parse(text: &str) -> Result<LogLevels, String> {
    let (mut level, mut modules) = (None, Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            None if level.is_some() => return Err("has more than one level for all".to_owned()),
            None => level = Some(parse_level(part)?),
            Some((module, name)) => {
                let module = module.trim();
                if !is_module_path(module) {
                    return Err(format!("contains an invalid module {module:?}"));
                }
                if modules.iter().any(|(other, _)| other == module) {
                    return Err(format!("contains {module} twice"));
                }
                modules.push((module.to_owned(), parse_level(name)?));
            }
        }
    }
    let level = level.ok_or("has no level for all modules")?;
    Ok(LogLevels { level, modules })
}

fn parse_level(name: &str) -> Result<LogLevel, String> {
    LogLevel::from_str(name.trim()).map_err(|_| format!("contains an unknown level {name:?}"))
}

/// Formats levels such that they can be parsed again.
pub(in crate::settings) fn format(levels: &LogLevels) -> String {
    let name = |level: LogLevel| -> &'static str { level.into() };
    let modules = levels.modules.iter().map(|(module, level)| format!(",{module}={}", name(*level)));
    std::iter::once(name(levels.level).to_owned()).chain(modules).collect()
}

/// Returns true if this could be the path of a Rust module.
fn is_module_path(path: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    path.split("::").all(|segment| !segment.is_empty() && segment.chars().all(is_allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formatted_levels_can_be_parsed_again() {
        for text in ["info", "warning,resume_chatbot::llm=debug", "error,a=trace,b::c=info"] {
            assert_eq!(format(&parse(text).unwrap()), text);
        }
        let spaced = parse(" WARN , resume_chatbot::session = Debug ").unwrap();
        assert_eq!(format(&spaced), "warning,resume_chatbot::session=debug");
    }

    #[test]
    fn errors_say_which_part_is_wrong() {
        for (text, problem) in [
            ("loud", "contains an unknown level \"loud\""),
            ("info,debug", "has more than one level for all"),
            ("resume_chatbot::llm=debug", "has no level for all modules"),
            ("info,Resume Chatbot=debug", "contains an invalid module \"Resume Chatbot\""),
            ("info,a::=debug", "contains an invalid module \"a::\""),
            ("info,a=loud", "contains an unknown level \"loud\""),
            ("info,a=debug,a=info", "contains a twice"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
    }
}
