//! The client for the upstream model server.
//!
//! | module | contents |
//! |---|---|
//! | [`client`] | one streamed request to an OpenAI-compatible server |
//! | [`endpoint`] | the address and key of the server, and requests for small JSON documents |
//! | [`connection_pool`] | connections, and the replacement of those that died while idle |
//! | [`request`] | the body of a request |
//! | [`dialect`] | the form of requests that the server accepts |
//! | [`streaming`] | the decoder of the response: frames, their JSON, the text |
//! | [`json`] | a tolerant reader of JSON |
//! | [`completion`] | how a response ended |
//! | [`error_body`], [`retry_after`] | errors as servers describe them |
//! | [`error_class`], [`error_phrases`] | the kinds of errors |
//! | [`rejection`], [`explanation`] | failed requests as errors, and what may be logged of them |
//! | [`server`] | what the server says about itself and its models |
//! | [`account`] | the credit of the API key, and the cost of a request |

pub mod account;
pub mod client;
pub mod completion;
pub mod connection_pool;
pub mod dialect;
pub mod endpoint;
pub mod error_body;
pub mod error_class;
pub mod error_phrases;
pub mod explanation;
pub mod json;
pub mod rejection;
pub mod request;
pub mod retry_after;
pub mod server;
pub mod streaming;
