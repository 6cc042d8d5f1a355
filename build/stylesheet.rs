//! Shortens style sheets, and prepares them for the pages of other sites.

/// The font size of a page that sets none.
const PIXELS_PER_REM: f64 = 16.0;

/// Removes comments and the white space that has no meaning.
pub(crate) fn minify(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' => {
                let text = quoted(rest, next);
                output.push_str(text);
                text.len()
            }
            _ if next.is_whitespace() => {
                let after = rest.trim_start();
                if !output.ends_with([' ', '{', '}', ';', ',', ':', '('])
                    && !after.starts_with(['{', '}', ';', ',', ')'])
                {
                    output.push(' ');
                }
                rest.len() - after.len()
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

/// Replaces the unit `rem`, because a page may give its root element any font size: by the property
/// `--rem`, which the widget sets, and by pixels in the conditions of container queries, which
/// cannot use properties. In those of media queries it means the visitor's font size.
pub(crate) fn with_own_rem(source: &str) -> String {
    let mut output = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(position) = rest.find("rem") {
        let (before, after) =
            (rest.get(..position).unwrap_or(rest), rest.get(position + 3..).unwrap_or_default());
        let digits = before.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
        let number = before.get(digits.len()..).unwrap_or_default();
        let is_unit = !number.is_empty() && !after.starts_with(char::is_alphanumeric);
        let unsigned = digits.strip_suffix('-').filter(|before| !before.ends_with(char::is_alphanumeric));
        output.push_str(if is_unit { unsigned.unwrap_or(digits) } else { before });
        let sign = if is_unit && unsigned.is_some() { "-" } else { "" };
        let statement =
            output.get(output.rfind(['{', '}', ';']).map_or(0, |at| at + 1)..).unwrap_or_default();
        let pixels = number.parse::<f64>().unwrap_or_default() * PIXELS_PER_REM;
        output.push_str(&match () {
            () if is_unit && statement.starts_with("@container") => format!("{sign}{pixels}px"),
            () if is_unit && !statement.starts_with('@') => format!("calc({sign}{number}*var(--rem))"),
            () if is_unit => format!("{sign}{number}rem"),
            () => "rem".to_owned(),
        });
        rest = after;
    }
    output.push_str(rest);
    output
}
