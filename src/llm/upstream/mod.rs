//! The client for the upstream model server.

pub mod api_key;
pub mod chunk;
pub mod client;
pub mod completion;
pub mod error_class;
pub mod generation_cost;
pub mod endpoint;
pub mod request;
pub mod response;
pub mod sse;
