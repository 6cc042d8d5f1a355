//! The client for the upstream model server.
//!
//! | module | contents |
//! |---|---|
//! | [`client`] | one streamed request to an OpenAI-compatible server |
//! | [`endpoint`] | the address and key of the server, and requests for small JSON documents |
//! | [`request`] | the body of a request |
//! | [`dialect`] | the form of requests that the server accepts |
//! | [`streaming`] | the decoder of the response: frames, their JSON, the text |
//! | [`json`] | a tolerant reader of JSON |
//! | [`completion`] | how a response ended |
//! | [`error_body`], [`retry_after`] | errors as servers describe them |
//! | [`error_class`], [`error_phrases`] | the kinds of errors |
//! | [`rejection`], [`explanation`] | failed requests as errors, and what may be logged of them |
//! | [`account`] | the credit of the API key, and the cost of a request |

pub mod account;
pub mod client;
pub mod completion;
pub mod dialect;
pub mod endpoint;
pub mod error_body;
pub mod error_class;
pub(crate) mod error_phrases;
pub(crate) mod explanation;
pub(crate) mod json;
pub mod rejection;
pub mod request;
pub(crate) mod retry_after;
pub mod streaming;
