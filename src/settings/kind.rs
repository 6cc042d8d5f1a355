//! The kinds of setting: what each accepts, and how its values are parsed and formatted.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use strum::VariantNames;

use super::values::{dollars, duration};

/// The value of a limit that does not apply.
const OFF: &str = "off";

/// The shortest duration. Zero would mean "never" to some readers and "at once" to others.
const MIN_DURATION: Duration = Duration::from_millis(1);

/// What a setting accepts, and how its values are parsed and formatted.
pub(in crate::settings) struct Kind<T> {
    /// What is accepted, for error messages.
    pub(in crate::settings) accepted: String,
    /// The same for the reference, which explains the syntax of numbers and durations once.
    pub(in crate::settings) summary: String,
    /// How much of a rejected value error messages show.
    pub(in crate::settings) redaction: Redaction,
    /// The value of an unset setting; `None` if it must be set.
    unset: fn() -> Option<T>,
    parse: Parser<T>,
    format: Box<dyn Fn(&T) -> String>,
}

type Parser<T> = Box<dyn Fn(&Input) -> Result<T, Vec<Rejection>>>;

/// How much of a rejected value error messages show.
#[derive(Clone, Copy)]
pub(in crate::settings) enum Redaction {
    /// All of it, unless it looks like an API key.
    Text,
    /// Everything but the user, password and options of the URL, which must not have a password.
    Url,
    /// As `Url`, for a URL that may have a password.
    UrlWithPassword,
    /// As `Url` if it contains `://`, otherwise as `Text`.
    TextOrUrl,
    /// Nothing.
    Secret,
}

impl Redaction {
    /// Returns whether the setting contains a secret, and can therefore be read from a file of its
    /// own.
    pub(in crate::settings) const fn is_secret(self) -> bool {
        matches!(self, Self::UrlWithPassword | Self::Secret)
    }
}

/// What the sources provide for a setting: no text in it is empty or surrounded by white space.
pub(in crate::settings) enum Input {
    Text(String),
    /// A TOML array; never empty.
    List(Vec<String>),
}

/// A rejected value.
pub(in crate::settings) struct Rejection {
    /// The value, or the item of a list.
    pub(in crate::settings) value: String,
    /// What is wrong with it; completes a sentence that begins with the setting's name.
    pub(in crate::settings) problem: String,
}

impl<T: 'static> Kind<T> {
    /// Creates a kind with a single value that passes the checks described by `accepted`.
    pub(in crate::settings) fn new(
        accepted: impl Into<String>,
        parse: impl Fn(&str) -> Result<T, String> + 'static,
        format: impl Fn(&T) -> String + 'static,
    ) -> Self {
        let accepted = accepted.into();
        Self {
            summary: accepted.clone(),
            accepted,
            redaction: Redaction::Text,
            unset: || None,
            parse: Box::new(move |input| {
                let (value, parsed) = match input {
                    Input::Text(text) => (text.clone(), parse(text)),
                    Input::List(items) => {
                        (items.join(", "), Err("is a list, but one value is expected".to_owned()))
                    }
                };
                parsed.map_err(|problem| vec![Rejection { value, problem }])
            }),
            format: Box::new(format),
        }
    }

    /// Sets the text for the reference, which otherwise equals `accepted`.
    pub(in crate::settings) fn with_summary(self, summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..self }
    }

    /// Adds a remark to what is accepted.
    pub(in crate::settings) fn with_note(self, note: &str) -> Self {
        Self { accepted: self.accepted + note, summary: self.summary + note, ..self }
    }

    /// Sets how much of a rejected value is shown, by default [`Redaction::Text`].
    pub(in crate::settings) fn with_redaction(self, redaction: Redaction) -> Self {
        Self { redaction, ..self }
    }

    /// Allows the setting to be unset.
    pub(in crate::settings) fn optional(self) -> Kind<Option<T>> {
        let Self { accepted, summary, redaction, parse, format, .. } = self;
        Kind {
            accepted,
            summary,
            redaction,
            unset: || Some(None),
            parse: Box::new(move |input| parse(input).map(Some)),
            format: Box::new(move |value| value.as_ref().map_or_else(String::new, &format)),
        }
    }

    /// Allows `off` instead of a value, which means no limit.
    pub(in crate::settings) fn or_off(self) -> Kind<Option<T>> {
        let Self { accepted, summary, redaction, parse, format, .. } = self;
        Kind {
            accepted: format!("{accepted}; off for no limit"),
            summary: format!("{summary}; off for no limit"),
            redaction,
            unset: || None,
            parse: Box::new(move |input| match input {
                Input::Text(text) if text.eq_ignore_ascii_case(OFF) => Ok(None),
                input => parse(input).map(Some),
            }),
            format: Box::new(move |value| value.as_ref().map_or_else(|| OFF.to_owned(), &format)),
        }
    }

    pub(in crate::settings) fn parse(&self, input: &Input) -> Result<T, Vec<Rejection>> {
        (self.parse)(input)
    }

    pub(in crate::settings) fn unset(&self) -> Option<T> {
        (self.unset)()
    }

    /// Formats a value such that it can be parsed again, unless it is a secret.
    pub(in crate::settings) fn format(&self, value: &T) -> String {
        (self.format)(value)
    }
}

/// A whole number within `bounds`.
pub(in crate::settings) fn integer<T>(bounds: RangeInclusive<u64>) -> Kind<T>
where
    T: TryFrom<u64> + Display + 'static,
{
    let range = format!("{} to {}", bounds.start(), bounds.end());
    let parse = move |text: &str| {
        let number: i128 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
        if number < i128::from(*bounds.start()) {
            return Err("is too small".to_owned());
        }
        let within_bounds = u64::try_from(number).ok().filter(|number| bounds.contains(number));
        within_bounds.and_then(|number| T::try_from(number).ok()).ok_or_else(|| "is too large".to_owned())
    };
    Kind::new(format!("a whole number from {range}"), parse, T::to_string).with_summary(range)
}

/// A duration from a millisecond to `max`.
pub(in crate::settings) fn duration_up_to(max: Duration) -> Kind<Duration> {
    let range = format!("{} to {}", duration::format(MIN_DURATION), duration::format(max));
    let parse = move |text: &str| match duration::parse(text)? {
        short if short < MIN_DURATION => Err("is too short".to_owned()),
        long if long > max => Err("is too long".to_owned()),
        duration => Ok(duration),
    };
    let accepted =
        format!("a duration from {range}, such as 500ms, 30s, 5m or 24h (a bare number is seconds)");
    Kind::new(accepted, parse, |value| duration::format(*value)).with_summary(range)
}

/// An amount of US dollars, in billionths. `zero` says how to express zero instead.
pub(in crate::settings) fn us_dollars(zero: &'static str) -> Kind<u64> {
    let max = dollars::format(dollars::MAX);
    let accepted = format!("US dollars such as 5 or 0.15, up to {max}, with at most nine decimal places");
    let parse = move |text: &str| match dollars::parse(text)? {
        0 => Err(format!("is zero; {zero}")),
        billionths => Ok(billionths),
    };
    Kind::new(accepted, parse, |value| dollars::format(*value))
        .with_summary(format!("US dollars such as 0.15, up to {max}"))
}

/// `true` or `false`.
pub(in crate::settings) fn switch() -> Kind<bool> {
    let parse = |text: &str| match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("is neither true nor false".to_owned()),
    };
    Kind::new("true or false (also yes/no, on/off, 1/0)", parse, bool::to_string)
        .with_summary("true or false")
}

/// One of the keywords of an enum.
pub(in crate::settings) fn keyword<T>() -> Kind<T>
where
    T: VariantNames + FromStr + Into<&'static str> + Copy + 'static,
{
    let accepted = format!("one of {}", T::VARIANTS.join(", "));
    let parse = |text: &str| T::from_str(text).map_err(|_| "is not a known keyword".to_owned());
    let format = |value: &T| {
        let keyword: &str = (*value).into();
        keyword.to_owned()
    };
    Kind::new(accepted, parse, format)
}

/// A list of texts, separated by commas or in a TOML array. Duplicates are dropped.
pub(in crate::settings) fn list(
    accepted: &str,
    parse: impl Fn(&str) -> Result<String, String> + 'static,
) -> Kind<Vec<String>> {
    let parse = move |input: &Input| {
        let items: Vec<&str> = match input {
            Input::Text(text) => text.split(',').map(str::trim).collect(),
            Input::List(items) => items.iter().map(String::as_str).collect(),
        };
        let (mut values, mut rejections) = (Vec::new(), Vec::new());
        for item in items.into_iter().filter(|item| !item.is_empty()) {
            match parse(item) {
                Ok(value) if values.contains(&value) => {}
                Ok(value) => values.push(value),
                Err(problem) => rejections.push(Rejection { value: item.to_owned(), problem }),
            }
        }
        if rejections.is_empty() { Ok(values) } else { Err(rejections) }
    };
    Kind {
        accepted: accepted.to_owned(),
        summary: accepted.to_owned(),
        // The user and password of a URL do not belong into a list, but may be there.
        redaction: Redaction::TextOrUrl,
        unset: || Some(Vec::new()),
        parse: Box::new(parse),
        format: Box::new(|values| values.join(", ")),
    }
}
