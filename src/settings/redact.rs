//! What of a value may be shown to people, in faults and in the list of settings in effect.

/// Stands in for what is not shown.
pub(super) const DOTS: &str = "••••";

/// Longer values are cut: a fault must stay readable whatever was given.
const LONGEST: usize = 60;

/// `text` on one line of at most 60 characters; `None` if it looks like an API key that was given
/// to the wrong setting.
pub(super) fn line(text: &str) -> Option<String> {
    if text.starts_with("sk-") || text.contains("sk-or-") {
        return None;
    }
    let escaped: String = text.chars().take(LONGEST + 1).map(visible).collect();
    if escaped.chars().count() <= LONGEST {
        return Some(escaped);
    }
    let mut cut: String = escaped.chars().take(LONGEST - 1).collect();
    cut.push('…');
    Some(cut)
}

/// The character itself, or its escape if it would move the cursor or turn the line around.
fn visible(character: char) -> String {
    let turns =
        matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if character.is_control() || turns {
        character.escape_default().to_string()
    } else {
        character.to_string()
    }
}

/// The URL `text` with user, password and options masked; `None` if it cannot be told for certain
/// where a secret in it would begin and end.
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
    let (user, place) = match rest.rsplit_once('@') {
        Some(_) if scheme.is_empty() => return None,
        Some((_, place)) => (format!("{DOTS}@"), place),
        None => (String::new(), rest),
    };
    if !scheme.starts_with("sqlite") && may_hide_password(place) {
        return None;
    }
    let options = if options { format!("?{DOTS}") } else { String::new() };
    Some(format!("{scheme}{user}{place}{options}"))
}

/// Whether the host and path of a URL may have a `user:password` in them whose `@host` was forgotten,
/// or a `password=…` that belongs to another way of writing it.
fn may_hide_password(place: &str) -> bool {
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    let port = match authority.rsplit_once(']') {
        Some((_, after)) => after.strip_prefix(':'),
        None => authority.split_once(':').map(|(_, port)| port),
    };
    let is_port = |port: &str| port.is_empty() || port.parse::<u16>().is_ok();
    place.contains('=') || path.contains(':') || !port.is_none_or(is_port)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}
