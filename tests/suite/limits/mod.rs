//! Limits on requests, connections, addresses, open files and slow consumers.

mod connection_limits;
mod open_file_limit;
mod per_address_limits;
mod rate_limit;
mod slow_consumers;
