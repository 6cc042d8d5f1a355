//! Shortens style sheets.

/// Removes comments and the white space that has no meaning.
pub(crate) fn minify(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' => {
                let text = quoted(rest, next);
                let word = text.trim_matches(next);
                // Values of attribute selectors that are words need no quotes.
                let is_word = output.ends_with('=') && word.chars().all(|it| it.is_ascii_lowercase());
                output.push_str(if is_word { word } else { text });
                text.len()
            }
            _ if next.is_whitespace() => {
                let after = rest.trim_start();
                if !output.ends_with([' ', '{', '}', ';', ',', ':', '(', '>'])
                    && !after.starts_with(['{', '}', ';', ',', ')', '>', '!'])
                {
                    output.push(' ');
                }
                rest.len() - after.len()
            }
            // The zero before a decimal point can be left out.
            '0' if rest.starts_with("0.")
                && !output.ends_with(|it: char| it.is_alphanumeric() || it == '.') =>
            {
                1
            }
            _ => {
                if next == '}' && output.ends_with(';') {
                    output.pop();
                }
                output.push(next);
                next.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    output.trim().to_owned()
}

/// Returns the string at the start of a text, with its quotes.
fn quoted(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return text.get(..=index).unwrap_or(text),
            _ => {}
        }
    }
    text
}
