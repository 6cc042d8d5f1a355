//! Limits per client address, which a visitor cannot evade by starting new sessions.
//!
//! | file | content |
//! |---|---|
//! | `client_address`, `trusted_proxies` | the client address of a request behind proxies |
//! | `address_key` | the part of an address that is counted as one visitor |
//! | `sliding_window` | a sliding-window limiter; also used for the limit of one session |
//! | `keyed_limiter`, `count_min` | a sliding window per address in bounded memory |
//! | `connection_counter` | open connections per address |
//! | `limiter_state`, `ip_limiter` | all limits together, and the same shared between connections |
//!
//! Nothing here reads a clock or waits. The state is not stored, so it starts empty with the
//! process: addresses are never written to the database.

mod address_key;
mod client_address;
mod connection_counter;
mod count_min;
mod ip_limiter;
mod keyed_limiter;
mod limiter_state;
mod sliding_window;
mod trusted_proxies;

pub use address_key::{AddressKey, NETWORK_ALLOWANCE};
pub use client_address::client_address;
pub use ip_limiter::{ConnectionGuard, IpLimiter};
pub use limiter_state::{IpLimitExceeded, IpLimits};
pub use sliding_window::{SlidingWindow, WindowLimit};
pub use trusted_proxies::{InvalidProxies, TrustedProxies};
