//! The model server: its errors, retries, fallbacks, queue and API key.

mod api_key;
mod circuit_breaker;
mod compatible_servers;
mod connection_reuse;
mod corpus;
mod degraded_mode;
mod documented_behaviour;
mod error_mapping;
mod keys_and_proxies;
mod litellm;
mod probe;
mod request_queue;
mod retries;
mod server_discovery;
