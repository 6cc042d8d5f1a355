//! The limit of open files (`RLIMIT_NOFILE`) and the number of connections that it permits.
//!
//! A server without free file descriptors cannot accept a connection, not even to reject it, so
//! clients would wait without a response. Connections are therefore limited to what the descriptors
//! suffice for, and excess ones are rejected with an error.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use slog::{Logger, warn};

use crate::settings::Settings;

/// The descriptors of a client connection.
const PER_CONNECTION: u64 = 1;

/// The descriptors of a database connection. SQLite opens the database, its write-ahead log and its
/// shared-memory file.
const PER_DATABASE_CONNECTION: u64 = 3;

/// The descriptors for threads, timers, listeners, the log, operator connections and libraries.
const OTHER_DESCRIPTORS: u64 = 256;

/// The maximum number of connections that are not chats: pages, health checks, handshakes to be
/// rejected. If there are few descriptors, they get at most one in [`NON_CHAT_SHARE`].
const MAX_NON_CHAT: u64 = 512;

/// See [`MAX_NON_CHAT`].
const NON_CHAT_SHARE: u64 = 4;

/// The maximum numbers of concurrent connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionCaps {
    /// Chat connections.
    pub chats: u32,
    /// All connections, including chats.
    pub total: u32,
}

/// The limit of open files does not permit a single chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system allows {limit} open files, but the server needs at least {needed}. Raise the limit (`ulimit -Hn`, or LimitNOFILE of systemd), or lower LLM_MAX_CONCURRENCY"
)]
pub struct FdLimitTooLow {
    /// The limit of the system.
    pub limit: u64,
    /// The minimum that is needed.
    pub needed: u64,
}

/// The descriptors that the server needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FdBudget {
    /// The configured maximum number of chats (`MAX_CONNECTIONS`).
    chats: u32,
    /// Descriptors that are not client connections.
    others: u64,
}

impl FdBudget {
    fn from_settings(settings: &Settings) -> Self {
        let upstream = u64::try_from(settings.llm.max_concurrency).unwrap_or(u64::MAX);
        let database = u64::from(settings.database.pool_size) * PER_DATABASE_CONNECTION;
        let others = upstream.saturating_add(database + OTHER_DESCRIPTORS);
        Self { chats: settings.http.max_connections, others }
    }

    /// Returns the number of descriptors for all configured connections.
    fn total(self) -> u64 {
        ((u64::from(self.chats) + MAX_NON_CHAT) * PER_CONNECTION).saturating_add(self.others)
    }

    /// Returns the connections that a limit permits; `None` means unlimited.
    fn caps_within(self, limit: Option<u64>) -> Result<ConnectionCaps, FdLimitTooLow> {
        let limit = limit.unwrap_or(u64::MAX);
        let connections = limit.saturating_sub(self.others) / PER_CONNECTION;
        let non_chat = (connections / NON_CHAT_SHARE).clamp(1, MAX_NON_CHAT);
        let chats = connections.saturating_sub(non_chat).min(u64::from(self.chats));
        if chats == 0 {
            return Err(FdLimitTooLow { limit, needed: self.others.saturating_add(2 * PER_CONNECTION) });
        }
        let to_u32 = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(ConnectionCaps { chats: to_u32(chats), total: to_u32(chats + non_chat) })
    }
}

/// Raises the limit of open files of this process as far as necessary and permitted, and returns
/// the number of connections that it suffices for. Logs a warning if these are fewer than
/// `MAX_CONNECTIONS`.
///
/// # Errors
/// [`FdLimitTooLow`].
pub fn raise_nofile_limit(settings: &Settings, log: &Logger) -> Result<ConnectionCaps, FdLimitTooLow> {
    let budget = FdBudget::from_settings(settings);
    let caps = budget.caps_within(raise(budget.total()))?;
    if caps.chats < budget.chats {
        warn!(log, "limit of open files is too low for MAX_CONNECTIONS, accepting fewer connections";
            "limit" => getrlimit(Resource::Nofile).current, "needed" => budget.total(), "max_connections" => caps.chats);
    }
    Ok(caps)
}

/// Raises the limit if it is below `wanted`, and returns the resulting limit; `None` means
/// unlimited.
fn raise(wanted: u64) -> Option<u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return current;
    }
    let raised = Some(maximum.map_or(wanted, |maximum| maximum.min(wanted)));
    let result = setrlimit(Resource::Nofile, Rlimit { current: raised, maximum });
    if result.is_ok() { raised } else { current }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BUDGET: FdBudget = FdBudget { chats: 10_000, others: 536 };

    #[test]
    fn high_limit_permits_all_configured_connections() {
        let caps = ConnectionCaps { chats: 10_000, total: 10_512 };
        assert_eq!(BUDGET.total(), 11_048);
        for limit in [None, Some(1 << 20), Some(11_048)] {
            assert_eq!(BUDGET.caps_within(limit), Ok(caps), "{limit:?}");
        }
        assert_eq!(BUDGET.caps_within(Some(11_047)), Ok(ConnectionCaps { chats: 9_999, total: 10_511 }));
    }

    #[test]
    fn low_limit_is_shared_between_chats_and_other_connections() {
        assert_eq!(BUDGET.caps_within(Some(1_024)), Ok(ConnectionCaps { chats: 366, total: 488 }));
        assert_eq!(BUDGET.caps_within(Some(538)), Ok(ConnectionCaps { chats: 1, total: 2 }));
        let refused = BUDGET.caps_within(Some(537));
        assert_eq!(refused, Err(FdLimitTooLow { limit: 537, needed: 538 }));
    }

    proptest! {
        #[test]
        fn connections_never_exceed_the_limit(chats in 1_u32..1_000_000, others in 0_u64..20_000, limit in 0_u64..3_000_000) {
            let budget = FdBudget { chats, others };
            if let Ok(caps) = budget.caps_within(Some(limit)) {
                prop_assert!(u64::from(caps.total) * PER_CONNECTION + others <= limit);
                prop_assert!(caps.chats >= 1 && caps.chats <= chats && caps.total > caps.chats);
            } else {
                prop_assert!(limit < others + 2 * PER_CONNECTION);
            }
        }
    }
}
