//! The wire protocol: frames, streaming, cancellation, idempotency and keepalive.

mod api_documents;
mod cancel;
mod client_examples;
mod feedback_and_delete;
mod idempotency;
mod keepalive;
mod protocol_errors;
mod regenerate;
mod rfc6455;
mod streaming;
mod thinking;
