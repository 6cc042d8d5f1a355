//! The model server: its errors, retries, fallbacks, queue and API key.

mod api_key;
mod compatible_servers;
mod corpus;
mod degraded_mode;
mod documented_behaviour;
mod error_mapping;
mod litellm;
mod request_queue;
mod retries;
