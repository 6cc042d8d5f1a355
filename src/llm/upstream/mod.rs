//! The client for the upstream model server.
//!
//! | module | contents |
//! |---|---|
//! | [`client`] | one streamed request to an OpenAI-compatible server |
//! | [`endpoint`] | the address and key of the server, and requests for small JSON documents |
//! | [`request`] | the body of a request |
//! | [`streaming`] | the decoder of the response: server-sent events, their JSON, the text |
//! | [`completion`] | how a response ended |
//! | [`error_class`], [`rejection`] | the kinds of errors, and failed requests as errors |
//! | [`server`] | what the server says about itself and its models |
//! | [`account`] | the credit of the API key, and the cost of a request |

pub mod account;
pub mod client;
pub mod completion;
pub mod endpoint;
pub mod error_class;
pub mod rejection;
pub mod request;
pub mod server;
pub mod streaming;
