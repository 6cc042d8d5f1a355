//! Clients of the server: WebSocket, event stream, raw frames, HTTP, and a TCP proxy between.

pub(crate) mod answer;
pub(crate) mod chat;
pub(crate) mod chat_client;
pub(crate) mod event_stream;
pub(crate) mod frame_contract;
pub(crate) mod handshake;
pub(crate) mod http;
pub(crate) mod http_stream;
pub(crate) mod raw_socket;
pub(crate) mod tcp_proxy;
