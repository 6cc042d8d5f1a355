//! File descriptors: how many connections the system's limit of open files carries.
//!
//! A server that runs out of them cannot accept a connection even to refuse it; its last clients would wait for ever without
//! a word. So no more are let in than there are descriptors for, and whoever comes after that is refused by name.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, warn};

use crate::settings::Settings;

/// Descriptors of a connection of a client.
const PER_CONNECTION: u64 = 1;

/// Descriptors of a connection to the database: SQLite has a file for the data, one for the log and one for the log's index.
const PER_DATABASE_CONNECTION: u64 = 3;

/// For threads, timers, listeners, the log, the operator's connections and whatever libraries open.
const SPARE: u64 = 256;

/// Connections beside the chats: pages, probes, handshakes that will be refused. Where there are few descriptors it is at
/// most one in [`SHARE_BESIDE`].
const MOST_BESIDE: u64 = 512;

/// See [`MOST_BESIDE`].
const SHARE_BESIDE: u64 = 4;

/// How many connections there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Chats at one time.
    pub chats: u32,
    /// Connections at one time, with those that are no chats.
    pub in_all: u32,
}

/// The limit of open files leaves no room for one chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system allows {limit} open files, too few to serve anybody; at least {needed} are needed. Raise the limit (`ulimit -Hn`, or LimitNOFILE of systemd), or lower LLM_MAX_CONCURRENCY"
)]
pub struct TooFew {
    /// What the system allows.
    pub limit: u64,
    /// What it must allow.
    pub needed: u64,
}

/// What the server needs descriptors for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Needs {
    /// Chats at one time, as the owner wants them (`MAX_CONNECTIONS`).
    chats: u32,
    /// Descriptors for anything but connections of clients.
    others: u64,
}

impl Needs {
    fn of(settings: &Settings) -> Self {
        let upstream = u64::try_from(settings.llm.max_concurrency).unwrap_or(u64::MAX);
        let database = u64::from(settings.database.pool_size) * PER_DATABASE_CONNECTION;
        Self { chats: settings.http.max_connections, others: upstream.saturating_add(database + SPARE) }
    }

    /// Descriptors for all that is wanted.
    fn in_full(self) -> u64 {
        ((u64::from(self.chats) + MOST_BESIDE) * PER_CONNECTION).saturating_add(self.others)
    }

    /// What fits into a limit; `None` is no limit.
    fn within(self, limit: Option<u64>) -> Result<Room, TooFew> {
        let limit = limit.unwrap_or(u64::MAX);
        let carried = limit.saturating_sub(self.others) / PER_CONNECTION;
        let beside = (carried / SHARE_BESIDE).clamp(1, MOST_BESIDE);
        let chats = carried.saturating_sub(beside).min(u64::from(self.chats));
        if chats == 0 {
            return Err(TooFew { limit, needed: self.others.saturating_add(2 * PER_CONNECTION) });
        }
        let count = |many: u64| u32::try_from(many).unwrap_or(u32::MAX);
        Ok(Room { chats: count(chats), in_all: count(chats + beside) })
    }
}

/// Raises this process's limit of open files as far as is wanted and the system lets it, and says how many connections it carries.
/// When these are fewer than `MAX_CONNECTIONS`, the log says so.
///
/// # Errors
/// [`TooFew`].
pub fn make_room(settings: &Settings, log: &Logger) -> Result<Room, TooFew> {
    let needs = Needs::of(settings);
    let room = needs.within(raise(needs.in_full()))?;
    if room.chats < needs.chats {
        warn!(log, "the system's limit of open files is too low for MAX_CONNECTIONS, so fewer are let in";
            "limit" => getrlimit(Resource::Nofile).current, "needed" => needs.in_full(), "let_in" => room.chats);
    }
    Ok(room)
}

/// The limit afterwards; `None` is no limit.
fn raise(wanted: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return current;
    }
    let raised = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let set = setrlimit(Resource::Nofile, Rlimit { current: raised, maximum });
    if set.is_ok() { raised } else { current }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEEDS: Needs = Needs { chats: 10_000, others: 536 };

    #[test]
    fn where_there_are_enough_everybody_has_room() {
        let room = Room { chats: 10_000, in_all: 10_512 };
        assert_eq!(NEEDS.in_full(), 11_048);
        for limit in [None, Some(1 << 20), Some(11_048)] {
            assert_eq!(NEEDS.within(limit), Ok(room), "{limit:?}");
        }
        assert_eq!(NEEDS.within(Some(11_047)), Ok(Room { chats: 9_999, in_all: 10_511 }));
    }

    #[test]
    fn where_there_are_few_chats_and_others_share_them() {
        assert_eq!(NEEDS.within(Some(1_024)), Ok(Room { chats: 366, in_all: 488 }));
        assert_eq!(NEEDS.within(Some(538)), Ok(Room { chats: 1, in_all: 2 }));
        let refused = NEEDS.within(Some(537));
        assert_eq!(refused, Err(TooFew { limit: 537, needed: 538 }));
    }

    proptest! {
        #[test]
        fn a_limit_is_never_exceeded(chats in 1_u32..1_000_000, others in 0_u64..20_000, limit in 0_u64..3_000_000) {
            let needs = Needs { chats, others };
            if let Ok(room) = needs.within(Some(limit)) {
                prop_assert!(u64::from(room.in_all) * PER_CONNECTION + others <= limit);
                prop_assert!(room.chats >= 1 && room.chats <= chats && room.in_all > room.chats);
            } else {
                prop_assert!(limit < others + 2 * PER_CONNECTION);
            }
        }
    }
}
