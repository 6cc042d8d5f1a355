//! Removes secrets from values that are shown in errors and by `check`.

/// Replaces a part that is not shown.
pub(super) const DOTS: &str = "••••";

/// Longer values are truncated, so that errors stay readable.
const MAX_CHARACTERS: usize = 60;

/// Returns `text` on one line of at most 60 characters; `None` if it looks like an API key that was
/// given for the wrong setting.
pub(super) fn line(text: &str) -> Option<String> {
    if text.starts_with("sk-") || text.contains("sk-or-") {
        return None;
    }
    let escaped: String = text.chars().take(MAX_CHARACTERS + 1).map(escape).collect();
    if escaped.chars().count() <= MAX_CHARACTERS {
        return Some(escaped);
    }
    let mut truncated: String = escaped.chars().take(MAX_CHARACTERS - 1).collect();
    truncated.push('…');
    Some(truncated)
}

/// Escapes characters that would move the cursor or change the direction of the text.
fn escape(character: char) -> String {
    if is_unprintable(character) { character.escape_default().to_string() } else { character.to_string() }
}

/// Returns whether a character is a control character, separates lines, or changes the direction of
/// the text.
pub(super) fn is_unprintable(character: char) -> bool {
    let changes_direction =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || changes_direction || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Redacts the user, password and options of the URL `text`; `None` if a secret in it may begin or
/// end somewhere else.
pub(super) fn url(text: &str) -> Option<String> {
    let head = text.split(['?', '#']).next().unwrap_or_default();
    let options = text.len() > head.len();
    if options && text.strip_prefix(head).is_some_and(|tail| tail.contains('@')) {
        // A password with an unescaped `?` or `#`, or an option with an `@` in it.
        return None;
    }
    let (scheme, rest) = match head.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (format!("{scheme}://"), rest),
        _ => match head.strip_prefix("sqlite:") {
            Some(rest) => ("sqlite:".to_owned(), rest),
            None => (String::new(), head),
        },
    };
    let (user, host_and_path) = match rest.rsplit_once('@') {
        Some(_) if scheme.is_empty() => return None,
        Some((_, host_and_path)) => (format!("{DOTS}@"), host_and_path),
        None => (String::new(), rest),
    };
    if !scheme.starts_with("sqlite") && may_hide_password(host_and_path) {
        return None;
    }
    let options = if options { format!("?{DOTS}") } else { String::new() };
    Some(format!("{scheme}{user}{host_and_path}{options}"))
}

/// Returns true if the host and path of a URL may contain a `user:password` without an `@host`, or
/// a `password=…` of the `key=value` notation.
fn may_hide_password(host_and_path: &str) -> bool {
    let (authority, path) = host_and_path.split_once('/').unwrap_or((host_and_path, ""));
    let port = match authority.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => authority.split_once(':').map(|(_, port)| port),
    };
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    host_and_path.contains('=') || path.contains(':') || !port.is_none_or(is_port)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
