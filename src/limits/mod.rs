//! What one client address may take, so that a new session is no way round the limits of one.
//!
//! [`client_address()`] says who is asking, [`AddressKey`] cuts that down to what one visitor owns, [`AddressLimits`]
//! holds every such visitor to questions a minute, sessions an hour and connections at once: plain values that are told
//! the time and answer yes or "not before". [`AddressGate`] shares them between connections.
//!
//! Nothing here reads a clock, waits, or is stored: address windows begin anew with the process, because addresses are
//! never written to the database.

mod address_key;
mod address_limits;
mod client_address;
mod connections;
mod gate;
mod overflow;
mod sliding_log;
mod trusted_proxies;
mod window_table;

pub use address_key::AddressKey;
pub use address_limits::{AddressLimits, Exceeded, Limits};
pub use client_address::client_address;
pub use gate::{AddressGate, Admitted};
pub use trusted_proxies::{InvalidProxies, TrustedProxies};
