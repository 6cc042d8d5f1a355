//! How far one name is from another, to guess what was meant.

use super::catalogue::{self, Setting};

/// How many slips of the pen still count as meaning a setting.
const FEW_SLIPS: usize = 2;

/// Shorter names have too many honest neighbours in the environment (`HOME` is two slips from
/// `HOST`).
const SHORTEST_GUESSED: usize = 8;

/// The fewest insertions, deletions and replacements that turn `from` into `to`.
pub(super) fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, left) in from.chars().enumerate() {
        let mut next = vec![above + 1];
        let mut reach = above + 1;
        for (up, (diagonal, right)) in row.iter().skip(1).zip(row.iter().zip(to.chars())) {
            reach = (reach + 1).min(up + 1).min(diagonal + usize::from(left != right));
            next.push(reach);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// The setting that the unknown `key` of a file most probably means.
pub(super) fn meant_in_file(key: &str) -> Option<&'static Setting> {
    let key = key.to_ascii_uppercase().replace('-', "_");
    // A third of the name may be wrong: in a file of settings, every key is meant to be one.
    nearest(&key)
        .and_then(|(setting, slips)| (slips <= FEW_SLIPS.max(setting.name.len() / 3)).then_some(setting))
}

/// The setting that the unknown variable `name` of the environment probably means.
pub(super) fn meant_in_environment(name: &str) -> Option<&'static Setting> {
    nearest(&name.to_ascii_uppercase()).and_then(|(setting, slips)| {
        let near = slips == 0 || (slips <= FEW_SLIPS && setting.name.len() >= SHORTEST_GUESSED);
        near.then_some(setting)
    })
}

fn nearest(name: &str) -> Option<(&'static Setting, usize)> {
    catalogue::ALL
        .iter()
        .map(|setting| (*setting, distance(name, setting.name)))
        .min_by_key(|(_, slips)| *slips)
}
