//! Suggestions for misspelt names of settings.

use strsim::levenshtein;

use super::declaration::Declaration;
use super::registry;

/// The edit distance up to which a name counts as misspelt.
const MAX_DISTANCE: usize = 2;

/// Shorter settings are not suggested for environment variables, because too many other variables
/// are similar: `HOME` is two edits from `HOST`.
const MIN_LENGTH: usize = 8;

/// Returns the setting that an unknown key of a file probably means.
pub(super) fn setting_for_key(key: &str) -> Option<&'static Declaration> {
    let (setting, distance) = closest(&key.to_ascii_uppercase().replace('-', "_"))?;
    // A third of the name may be wrong: every key in a file of settings is meant to be one.
    (distance <= MAX_DISTANCE.max(setting.name.len() / 3)).then_some(setting)
}

/// Returns the setting that an unknown environment variable probably means.
pub(super) fn setting_for_variable(name: &str) -> Option<&'static Declaration> {
    let (setting, distance) = closest(&name.to_ascii_uppercase())?;
    let is_close = distance == 0 || (distance <= MAX_DISTANCE && setting.name.len() >= MIN_LENGTH);
    is_close.then_some(setting)
}

/// Returns the setting with the smallest edit distance to `name`, and that distance.
fn closest(name: &str) -> Option<(&'static Declaration, usize)> {
    registry::declarations()
        .map(|setting| (setting, levenshtein(name, setting.name)))
        .min_by_key(|(_, distance)| *distance)
}
