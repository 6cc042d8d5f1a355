//! What one client address may take, so that a new session is no way round the limits of one.
//!
//! [`client_address()`] says who is asking, [`AddressKey`] cuts that down to what one visitor owns, [`AddressLimits`]
//! holds every such visitor to questions a minute, sessions an hour and connections at once: plain values that are told
//! the time and answer yes or "not before". [`AddressGate`] shares them between connections.
//!
//! Nothing here reads a clock, waits, or is stored: address windows begin anew with the process, because addresses are
//! never written to the database.

mod address_key;
mod limiter_state;
mod client_address;
mod connection_counter;
mod ip_limiter;
mod count_min;
mod sliding_window;
mod trusted_proxies;
mod keyed_limiter;

pub use address_key::AddressKey;
pub use limiter_state::{AddressLimits, Exceeded, Limit, Limits, Occupancy};
pub use client_address::client_address;
pub use ip_limiter::{AddressGate, Admitted};
pub use trusted_proxies::{InvalidProxies, TrustedProxies};
