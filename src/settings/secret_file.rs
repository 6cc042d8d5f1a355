//! Files with secrets: a setting `NAME` that is secret can be given as `NAME_FILE`, the path of a file
//! with its value, as container engines and systemd provide them.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use config::{Value, ValueKind};

use super::declaration::Declaration;
use super::error::{GivenValue, SettingError, ValueSource};
use super::kind::Input;
use super::registry;
use super::sources::{self, Layer};

const SUFFIX: &str = "_FILE";

/// The maximum size of a file, so that a wrong path does not fill the memory. Keys and database URLs
/// have a few hundred bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Returns the name of the setting with the path of the file, if `setting` is secret.
pub(super) fn name_for(setting: &Declaration) -> Option<String> {
    setting.redaction.is_secret().then(|| format!("{}{SUFFIX}", setting.name))
}

/// Returns the secret setting whose file has this name.
pub(super) fn setting_of(file_name: &str) -> Option<&'static Declaration> {
    let setting = registry::declaration(file_name.strip_suffix(SUFFIX)?)?;
    setting.redaction.is_secret().then_some(setting)
}

/// Returns the name for the key of a TOML file, if the key is that of a file with a secret.
pub(super) fn name_of_key(key: &str) -> Option<String> {
    let is_lower_case = !key.chars().any(|c| c.is_ascii_uppercase());
    let name = key.to_ascii_uppercase();
    (is_lower_case && setting_of(&name).is_some()).then_some(name)
}

/// Removes the secrets and paths from `file` that `environment` overrides, in either form.
pub(super) fn remove_overridden(file: &mut Layer, environment: &Layer) {
    for setting in registry::declarations() {
        let Some(name) = name_for(setting) else { continue };
        if environment.get(setting.name).or_else(|| environment.get(&name)).is_some() {
            file.take(setting.name);
            file.take(&name);
        }
    }
}

/// Replaces the path of every file in the layer by the content of the file. Settings whose file
/// cannot be used are added to `unreadable`.
pub(super) fn read_all(
    layer: &mut Layer,
    errors: &mut Vec<SettingError>,
    unreadable: &mut BTreeSet<&'static str>,
) {
    for setting in registry::declarations() {
        let Some(name) = name_for(setting) else { continue };
        let Some(path) = layer.take(&name) else { continue };
        let content = match layer.get(setting.name) {
            Some(_) => Err(format!("is set together with {}, but only one of them may be", setting.name)),
            None => path_of(&path).and_then(|path| Ok((read(&path)?, path))),
        };
        match content {
            Ok((secret, path)) => layer.set(setting.name, ValueKind::from(secret), &ValueSource::File(path)),
            Err(problem) => {
                unreadable.insert(setting.name);
                let source = sources::source_of(&path);
                let accepted =
                    format!("the path of a file of at most 16 KiB that contains {}", setting.accepted);
                errors.push(SettingError { name, given: shown(&path), source, problem, accepted });
            }
        }
    }
}

fn path_of(value: &Value) -> Result<PathBuf, String> {
    match sources::input_of(value) {
        Ok(Input::Text(path)) => Ok(PathBuf::from(path)),
        Ok(Input::List(_)) => Err("is a list, but one path is expected".to_owned()),
        Err(problem) => Err(problem.to_owned()),
    }
}

/// Reads a secret, without a newline at its end.
fn read(path: &Path) -> Result<String, String> {
    let cannot_be_read = |error: std::io::Error| format!("cannot be read: {error}");
    let mut bytes = Vec::new();
    let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).map_err(cannot_be_read)?.take(limit).read_to_end(&mut bytes).map_err(cannot_be_read)?;
    if bytes.len() > MAX_BYTES {
        return Err("is larger than 16 KiB".to_owned());
    }
    let text = String::from_utf8(bytes).map_err(|_| "does not contain UTF-8 text".to_owned())?;
    let secret =
        text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if secret.trim().is_empty() {
        return Err("is an empty file".to_owned());
    }
    Ok(secret.to_owned())
}

/// Returns the path as far as it may be shown: it may be the secret itself, given by mistake.
fn shown(value: &Value) -> GivenValue {
    match sources::input_of(value) {
        Ok(Input::Text(path)) if path.starts_with(['/', '.']) => GivenValue::from_text(&path),
        _ => GivenValue::Secret,
    }
}
