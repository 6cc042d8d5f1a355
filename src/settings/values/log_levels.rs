//! `LOG_LEVEL`: one level for all, and other levels for some modules.

use super::super::choices::{Choice, LogLevel};

/// What is accepted, for a fault.
pub(in crate::settings) const ACCEPTED: &str = "trace, debug, info, warning (or warn) or error, and after it, if wanted, levels \
     of modules, such as info,resume_chatbot::llm=debug";

/// The levels that were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::settings) struct LogLevels {
    pub(in crate::settings) level: LogLevel,
    pub(in crate::settings) modules: Vec<(String, LogLevel)>,
}

/// Reads the levels; the error says what is wrong.
pub(in crate::settings) fn parse(text: &str) -> Result<LogLevels, String> {
    let (mut level, mut modules) = (None, Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let known = |word: &str| {
            LogLevel::from_word(word.trim()).ok_or_else(|| format!("names no level with {word:?}"))
        };
        match part.split_once('=') {
            None if level.is_some() => return Err("has more than one level for all".to_owned()),
            None => level = Some(known(part)?),
            Some((module, word)) => {
                let module = module.trim();
                if !is_module(module) {
                    return Err(format!("names no module with {module:?}"));
                }
                if modules.iter().any(|(each, _)| each == module) {
                    return Err(format!("names {module} twice"));
                }
                modules.push((module.to_owned(), known(word)?));
            }
        }
    }
    let level = level.ok_or("has no level for all modules")?;
    Ok(LogLevels { level, modules })
}

/// The levels as they could be given again.
pub(in crate::settings) fn written(level: LogLevel, modules: &[(String, LogLevel)]) -> String {
    let modules = modules.iter().map(|(module, level)| format!(",{module}={}", level.word()));
    std::iter::once(level.word().to_owned()).chain(modules).collect()
}

/// Whether this could be the path of a module, as log lines name it.
fn is_module(path: &str) -> bool {
    let in_name = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
    path.split("::").all(|name| !name.is_empty() && name.chars().all(in_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_and_written_again() {
        for text in ["info", "warning,resume_chatbot::llm=debug", "error,a=trace,b::c=info"] {
            let LogLevels { level, modules } = parse(text).unwrap();
            assert_eq!(written(level, &modules), text);
        }
        let spaced = parse(" WARN , resume_chatbot::session = Debug ").unwrap();
        assert_eq!(written(spaced.level, &spaced.modules), "warning,resume_chatbot::session=debug");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, problem) in [
            ("loud", "names no level with \"loud\""),
            ("info,debug", "has more than one level for all"),
            ("resume_chatbot::llm=debug", "has no level for all modules"),
            ("info,Resume Chatbot=debug", "names no module with \"Resume Chatbot\""),
            ("info,a::=debug", "names no module with \"a::\""),
            ("info,a=loud", "names no level with \"loud\""),
            ("info,a=debug,a=info", "names a twice"),
        ] {
            assert_eq!(parse(text), Err(problem.to_owned()), "{text}");
        }
    }
}
