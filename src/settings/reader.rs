//! Turns the text of settings into values, and keeps every fault found on the way.

use std::time::Duration;

use super::catalogue::{Form, Setting};
use super::choices::Choice;
use super::error::{Fault, Given, Source};
use super::sources::{Content, Layer, Raw};
use super::values::duration;

/// Reads settings one by one. A reading function that returns `None` has recorded a fault.
pub(super) struct Reader {
    values: Layer,
    faults: Vec<Fault>,
    warnings: Vec<String>,
}

impl Reader {
    pub(super) fn new(values: Layer, faults: Vec<Fault>, warnings: Vec<String>) -> Self {
        Self { values, faults, warnings }
    }

    /// The faults and warnings of everything read.
    pub(super) fn finish(self) -> (Vec<Fault>, Vec<String>) {
        (self.faults, self.warnings)
    }

    /// A setting that must have a value, understood by `parse`, whose error is the problem.
    pub(super) fn required<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match self.optional(setting, parse)? {
            Some(value) => Some(value),
            None => self.missing(setting, "is required"),
        }
    }

    /// A setting that may have no value: `Some(None)` then.
    pub(super) fn optional<T>(
        &mut self,
        setting: &Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let Some(Raw { content, source }) = self.values.get(setting.name).cloned() else {
            return Some(None);
        };
        let (text, parsed) = match content {
            Content::Text(text) => {
                let parsed = parse(&text);
                (text, parsed)
            }
            Content::List(texts) => {
                (texts.join(", "), Err("is a list, but one value is expected".to_owned()))
            }
            Content::Unusable(problem) => return self.unusable(setting, source, problem),
        };
        match parsed {
            Ok(value) => Some(Some(value)),
            Err(problem) => self.fault(setting, shown(setting, &text), source, problem),
        }
    }

    /// A list, each item understood by `parse`; a fault for each item that is not.
    pub(super) fn list(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<String, String>,
    ) -> Option<Vec<String>> {
        let Some(Raw { content, source }) = self.values.get(setting.name).cloned() else {
            return Some(Vec::new());
        };
        let texts = match content {
            Content::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Content::List(texts) => texts,
            Content::Unusable(problem) => return self.unusable(setting, source, problem),
        };
        let mut items = Some(Vec::new());
        for text in texts.iter().filter(|text| !text.is_empty()) {
            match parse(text) {
                Ok(item) => {
                    if let Some(items) = items.as_mut().filter(|items| !items.contains(&item)) {
                        items.push(item);
                    }
                }
                Err(problem) => {
                    items = self.fault(setting, shown(setting, text), source.clone(), problem);
                }
            }
        }
        items
    }

    /// A whole number within the setting's bounds.
    pub(super) fn whole<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<T> {
        self.required(setting, |text| whole(setting, text))
    }

    /// The same, or none: `Some(None)` then.
    pub(super) fn optional_whole<T: TryFrom<u64>>(&mut self, setting: &Setting) -> Option<Option<T>> {
        self.optional(setting, |text| whole(setting, text))
    }

    /// A duration within the setting's bounds.
    pub(super) fn duration(&mut self, setting: &Setting) -> Option<Duration> {
        let (least, most) = match setting.form {
            Form::Duration(least, most) => (least, most),
            _ => (Duration::ZERO, Duration::MAX),
        };
        self.required(setting, |text| match duration::parse(text)? {
            short if short < least => Err("is too short".to_owned()),
            long if long > most => Err("is too long".to_owned()),
            duration => Ok(duration),
        })
    }

    /// A switch.
    pub(super) fn flag(&mut self, setting: &Setting) -> Option<bool> {
        self.required(setting, |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        })
    }

    /// One word out of a few.
    pub(super) fn choice<C: Choice>(&mut self, setting: &Setting) -> Option<C> {
        self.required(setting, |text| C::from_word(text).ok_or_else(|| "is not a known word".to_owned()))
    }

    /// Records that two settings, each good in itself, do not go together. Of the two, the fault is
    /// told of the one that was given, or of the first if both or neither were.
    pub(super) fn conflict(&mut self, one: &Setting, other: &Setting, problem: impl Fn(&str) -> String) {
        let is_given = |setting: &Setting| {
            let raw = self.values.get(setting.name);
            raw.is_some_and(|raw| raw.source != Source::Default)
        };
        let (blamed, beside) = if is_given(other) && !is_given(one) { (other, one) } else { (one, other) };
        let Some(Raw { content: Content::Text(text), source }) = self.values.get(blamed.name).cloned() else {
            return;
        };
        let problem = problem(beside.name);
        self.fault::<()>(blamed, shown(blamed, &text), source, problem);
    }

    /// Records that a setting has no value and needs one.
    pub(super) fn missing<T>(&mut self, setting: &Setting, problem: &str) -> Option<T> {
        self.fault(setting, Given::Missing, Source::Default, problem.to_owned())
    }

    /// Records something that may work but is probably not meant.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn unusable<T>(&mut self, setting: &Setting, source: Source, problem: &str) -> Option<T> {
        self.fault(setting, Given::Secret, source, problem.to_owned())
    }

    fn fault<T>(&mut self, setting: &Setting, given: Given, source: Source, problem: String) -> Option<T> {
        self.faults.push(Fault {
            name: setting.name.to_owned(),
            given,
            source,
            problem,
            accepted: setting.form.accepted(),
        });
        None
    }
}

fn whole<T: TryFrom<u64>>(setting: &Setting, text: &str) -> Result<T, String> {
    let (least, most) = match setting.form {
        Form::Whole(least, most, _) => (least, most),
        _ => (0, u64::MAX),
    };
    let number: i128 = text.parse().map_err(|_| "is not a whole number".to_owned())?;
    if number < i128::from(least) {
        return Err("is too small".to_owned());
    }
    u64::try_from(number)
        .ok()
        .filter(|number| *number <= most)
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| "is too large".to_owned())
}

fn shown(setting: &Setting, text: &str) -> Given {
    match setting.form {
        Form::Secret(_) => Given::Secret,
        Form::Url(_) => Given::url(text),
        // An origin may have been given with a user and password in it.
        Form::List(_) if text.contains("://") => Given::url(text),
        _ => Given::shown(text),
    }
}
