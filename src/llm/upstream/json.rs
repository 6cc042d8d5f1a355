//! A tolerant JSON reader for responses of model servers.
//!
//! Real servers send `NaN`, numbers out of range, halves of surrogate pairs, raw control
//! characters, keys twice, and values of Python instead of JSON. A strict parser rejects the whole
//! message then, and with it the words beside the odd value. This one reads every value that has
//! an unambiguous start and end.
//!
//! It takes linear time and bounded stack: values nested deeper than `MAX_DEPTH` read as null.

/// The maximum depth of nesting. Chunks of real servers have a depth of about 8.
const MAX_DEPTH: usize = 64;

/// The maximum number of keys of an object that are compared to find duplicates.
const MAX_COMPARED_KEYS: usize = 64;

/// The first code point that stands for an unpaired surrogate: `\ud800` reads as U+10D800 and so
/// on, in a private-use plane that no text uses. A [`str`] cannot hold surrogates.
pub(crate) const SURROGATE_OFFSET: u32 = 0x10_0000;

/// A JSON value. Numbers keep their text, because their meaning depends on the field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Self>),
    /// The fields in order. A key may occur twice.
    Object(Vec<(String, Self)>),
}

/// Values that were read from a text.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub(crate) values: Vec<Json>,
    /// Whether the text has more than the values: a value that is cut off, or no JSON at all.
    pub(crate) has_unread: bool,
    /// Whether an object has a key twice.
    pub(crate) has_duplicates: bool,
    /// Whether a value is not valid JSON, such as `NaN`.
    pub(crate) has_invalid: bool,
}

impl Json {
    /// Reads all values of a text, which may be separated by white space and commas.
    pub(crate) fn read_all(text: &str) -> Values {
        let mut parser = Parser { rest: text, has_duplicates: false, has_invalid: false };
        let mut values = Vec::new();
        let mut has_unread = false;
        loop {
            parser.skip(|c| is_space(c) || c == ',');
            // Only objects, lists and strings: a bare word is no message.
            if !parser.rest.starts_with(['{', '[', '"']) {
                has_unread |= !parser.rest.is_empty();
                break;
            }
            match parser.value(0) {
                Some(value) => values.push(value),
                None => {
                    has_unread = true;
                    break;
                }
            }
        }
        let Parser { has_duplicates, has_invalid, .. } = parser;
        Values { values, has_unread, has_duplicates, has_invalid }
    }

    /// Returns the value of a field: the last one that is not empty, if the key occurs twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.find(key, |value| (!value.is_empty()).then_some(value)).or_else(|| self.find(key, Some))
    }

    /// Returns the result of `read` for the last field with this key that has one.
    pub(crate) fn find<'a, T>(&'a self, key: &str, read: impl Fn(&'a Self) -> Option<T>) -> Option<T> {
        let Self::Object(fields) = self else { return None };
        fields.iter().rev().filter(|(name, _)| name == key).find_map(|(_, value)| read(value))
    }

    /// Returns the value at a path of keys.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// Returns the text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Returns the text of a non-empty string field.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.find(key, Self::as_str).filter(|text| !text.is_empty())
    }

    /// Returns the number of a number or of a string that contains one, if it is finite.
    pub(crate) fn as_number(&self) -> Option<f64> {
        let (Self::Number(text) | Self::Text(text)) = self else { return None };
        text.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// Returns the elements of a list.
    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        if let Self::List(values) = self { Some(values) } else { None }
    }

    /// Returns the fields of an object.
    pub(crate) fn fields(&self) -> &[(String, Self)] {
        if let Self::Object(fields) = self { fields } else { &[] }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Returns whether the value says nothing: null, false, or empty.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Bool(true) | Self::Number(_) => false,
            Self::Text(text) => text.trim().is_empty(),
            Self::List(values) => values.iter().all(Self::is_empty),
            Self::Object(fields) => fields.iter().all(|(_, value)| value.is_empty()),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
    has_duplicates: bool,
    has_invalid: bool,
}

impl Parser<'_> {
    fn skip(&mut self, matches: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(matches);
    }

    /// Removes the prefix, if the text starts with it.
    fn eat(&mut self, prefix: char) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn next_char(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let next = chars.next()?;
        self.rest = chars.as_str();
        Some(next)
    }

    /// Reads one value. Returns `None` at the end of the text and where no value starts.
    fn value(&mut self, depth: usize) -> Option<Json> {
        self.skip(is_space);
        let first = self.rest.chars().next()?;
        match first {
            '{' | '[' if depth >= MAX_DEPTH => self.skip_nested(),
            '{' => self.object(depth),
            '[' => self.list(depth),
            '"' | '\'' => self.string().map(Json::Text),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json> {
        self.next_char();
        let mut fields: Vec<(String, Json)> = Vec::new();
        loop {
            self.skip(|c| is_space(c) || c == ',');
            if self.eat('}') {
                return Some(Json::Object(fields));
            }
            if !self.rest.starts_with(['"', '\'']) {
                return None;
            }
            let key = self.string()?;
            self.skip(is_space);
            if !self.eat(':') {
                return None;
            }
            let value = self.value(depth + 1)?;
            let compared = fields.iter().take(MAX_COMPARED_KEYS);
            self.has_duplicates |= compared.into_iter().any(|(name, _)| *name == key);
            fields.push((key, value));
        }
    }

    fn list(&mut self, depth: usize) -> Option<Json> {
        self.next_char();
        let mut values = Vec::new();
        loop {
            self.skip(|c| is_space(c) || c == ',');
            if self.eat(']') {
                return Some(Json::List(values));
            }
            values.push(self.value(depth + 1)?);
        }
    }

    /// Reads a string in quotes of either kind.
    fn string(&mut self) -> Option<String> {
        let quote = self.next_char()?;
        self.has_invalid |= quote == '\'';
        let mut text = String::new();
        loop {
            let end = self.rest.find([quote, '\\'])?;
            let (plain, rest) = self.rest.split_at_checked(end)?;
            text.push_str(plain);
            self.rest = rest;
            if self.next_char()? == quote {
                return Some(text);
            }
            let escaped = self.next_char()?;
            text.push(match escaped {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => self.unicode_escape()?,
                other => other,
            });
        }
    }

    /// Reads the digits after `\u`, and the second half of a surrogate pair. An unpaired half reads
    /// as a private-use character; see [`surrogates`](super::streaming::surrogates).
    fn unicode_escape(&mut self) -> Option<char> {
        let unit = self.hex_digits();
        if (0xD800..0xDC00).contains(&unit)
            && let Some(rest) = self.rest.strip_prefix("\\u")
        {
            let before = std::mem::replace(&mut self.rest, rest);
            let low = self.hex_digits();
            if (0xDC00..0xE000).contains(&low) {
                return char::from_u32(pair(unit, low));
            }
            self.rest = before;
        }
        let code_point = if (0xD800..0xE000).contains(&unit) { unit + SURROGATE_OFFSET } else { unit };
        Some(char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// Reads four hexadecimal digits. Returns U+FFFD if there are fewer.
    fn hex_digits(&mut self) -> u32 {
        let digits = self.rest.split_at_checked(4);
        let digits = digits.filter(|(digits, _)| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let Some((digits, rest)) = digits else {
            self.has_invalid = true;
            return u32::from(char::REPLACEMENT_CHARACTER);
        };
        self.rest = rest;
        u32::from_str_radix(digits, 16).unwrap_or(u32::from(char::REPLACEMENT_CHARACTER))
    }

    /// Reads a number or a name. Names other than those of JSON and Python, `NaN` among them, read
    /// as null.
    fn word(&mut self) -> Option<Json> {
        let end = self.rest.find(|c: char| is_space(c) || ",:]}[{\"".contains(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
        self.rest = rest;
        Some(match word {
            "null" | "None" => Json::Null,
            "true" | "True" => Json::Bool(true),
            "false" | "False" => Json::Bool(false),
            number if number.parse().is_ok_and(f64::is_finite) => Json::Number(number.to_owned()),
            _ => {
                self.has_invalid = true;
                Json::Null
            }
        })
    }

    /// Skips an object or list without reading it.
    fn skip_nested(&mut self) -> Option<Json> {
        self.has_invalid = true;
        let mut balance = Balance::default();
        let mut end = None;
        for (at, character) in self.rest.char_indices() {
            balance.push(character);
            if balance.is_whole() {
                end = Some(at + character.len_utf8());
                break;
            }
        }
        self.rest = self.rest.get(end?..)?;
        Some(Json::Null)
    }
}

/// The brackets of a JSON text that is read piece by piece.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Balance {
    depth: usize,
    is_in_string: bool,
    is_escaped: bool,
    has_opened: bool,
}

impl Balance {
    /// Reads the next piece of the text.
    pub(crate) fn read(&mut self, text: &str) {
        text.chars().for_each(|character| self.push(character));
    }

    fn push(&mut self, character: char) {
        if self.is_in_string {
            match character {
                _ if self.is_escaped => self.is_escaped = false,
                '\\' => self.is_escaped = true,
                '"' => self.is_in_string = false,
                _ => {}
            }
            return;
        }
        match character {
            '"' => self.is_in_string = true,
            '{' | '[' => {
                self.depth += 1;
                self.has_opened = true;
            }
            '}' | ']' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }

    /// Returns whether every bracket is closed, and there was one.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_opened && self.depth == 0 && !self.is_in_string
    }
}

fn is_space(character: char) -> bool {
    character.is_whitespace() || character == '\u{feff}' || character == '\u{1e}'
}

pub(crate) fn pair(high: u32, low: u32) -> u32 {
    0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Json {
        let mut values = Json::read_all(text);
        assert!(!values.has_unread, "{text}");
        values.values.remove(0)
    }

    fn from_serde(value: &serde_json::Value) -> Json {
        use serde_json::Value;
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(number) => Json::Number(number.to_string()),
            Value::String(text) => Json::Text(text.clone()),
            Value::Array(values) => Json::List(values.iter().map(from_serde).collect()),
            Value::Object(fields) => {
                Json::Object(fields.iter().map(|(key, value)| (key.clone(), from_serde(value))).collect())
            }
        }
    }

    #[test]
    fn values_that_strict_parsers_reject_cost_only_themselves() {
        for odd in ["NaN", "-Infinity", "1e999", "undefined", "None", "007x", "0x1F", "+", "'it'"] {
            let value = read(&format!(r#"{{"odd": {odd}, "content": "word"}}"#));
            assert_eq!(value.text("content"), Some("word"), "{odd}");
        }
        assert_eq!(read("{\"a\": \"line\nbreak\",}").text("a"), Some("line\nbreak"));
        assert_eq!(
            read("{'error': {'message': \"it's\"}}").at(&["error", "message"]).unwrap().as_str(),
            Some("it's")
        );
        let deep = format!("{{\"odd\": {}{}, \"content\": \"word\"}}", "[".repeat(9_000), "]".repeat(9_000));
        assert_eq!(read(&deep).text("content"), Some("word"));
    }

    #[test]
    fn last_value_of_a_key_that_is_not_empty_counts() {
        assert_eq!(read(r#"{"a": "x", "a": null}"#).text("a"), Some("x"));
        assert_eq!(read(r#"{"a": 1, "a": 2}"#).get("a"), Some(&Json::Number("2".into())));
        assert!(Json::read_all(r#"{"a": 1, "a": 2}"#).has_duplicates);
    }

    #[test]
    fn several_values_are_read_and_the_rest_is_reported() {
        let values = Json::read_all("{} [1] {\"a\":");
        assert_eq!((values.values.len(), values.has_unread), (2, true));
        assert!(Json::read_all("Internal Server Error").has_unread);
        assert!(!Json::read_all(" ").has_unread);
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            "[\\PC\"\\\\\n\u{1F600}]{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map("[a-c\"\\\\]{1,2}", inner, 0..4)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn valid_json_reads_as_a_strict_parser_reads_it(value in json()) {
            let list = serde_json::json!([value]);
            prop_assert_eq!(read(&list.to_string()), from_serde(&list));
            prop_assert_eq!(read(&serde_json::to_string_pretty(&list).unwrap()), from_serde(&list));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "[\\[\\]{}\",:\\\\u'dD8-9a-fA-F \\PC]{0,64}") {
            let values = Json::read_all(&text);
            let mut balance = Balance::default();
            balance.read(&text);
            prop_assert!(values.values.len() <= text.len());
        }
    }
}
