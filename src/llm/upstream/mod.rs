//! The client for the upstream model server.
//!
//! | module | contents |
//! |---|---|
//! | [`client`] | one streamed request to an OpenAI-compatible server |
//! | [`request`] | the body of a request |
//! | [`sse`] | a decoder of server-sent events |
//! | [`chunk`] | the JSON in the events and in error bodies |
//! | [`response`] | the state of a streamed response |
//! | [`sink`] | where the text of a response goes |
//! | [`completion`] | how a response ended |
//! | [`error_class`] | the kinds of errors and the reaction to each |
//! | [`rejection`] | failed requests, as errors |
//! | [`endpoint`] | the address and key of the server, and JSON documents it offers |
//! | [`api_key`], [`generation_cost`] | such documents: the key's credit, the cost of a request |

pub mod api_key;
pub mod chunk;
pub mod client;
pub mod completion;
pub mod endpoint;
pub mod error_class;
pub mod generation_cost;
pub mod rejection;
pub mod request;
pub mod response;
pub mod sink;
pub mod sse;
