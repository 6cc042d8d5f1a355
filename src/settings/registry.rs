//! The declarations of all settings, by group and by name.

use std::sync::LazyLock;

use super::Settings;
use super::declaration::{Declaration, Group};

static GROUPS: LazyLock<Vec<Group>> = LazyLock::new(Settings::groups);

/// Returns all groups, in the order of `config/default.toml`.
pub(super) fn groups() -> &'static [Group] {
    &GROUPS
}

/// Returns all settings, in the order of `config/default.toml`.
pub(super) fn declarations() -> impl Iterator<Item = &'static Declaration> {
    groups().iter().flat_map(|group| &group.declarations)
}

/// Returns the setting with this name.
pub(super) fn declaration(name: &str) -> Option<&'static Declaration> {
    declarations().find(|declaration| declaration.name == name)
}
