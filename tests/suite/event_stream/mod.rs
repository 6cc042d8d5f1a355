//! Sessions over server-sent events: the same conversations, limits and ends as over a WebSocket, and
//! through real proxies.

mod closing;
mod conversation;
mod limits;
mod one_shot;
mod proxies;
