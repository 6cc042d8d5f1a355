//! A scripted model server.

pub(crate) mod fake_openrouter;
pub(crate) mod gate;
pub(crate) mod raw_upstream;
pub(crate) mod request;
pub(crate) mod response_stream;
pub(crate) mod script;
pub(crate) mod stream_step;
