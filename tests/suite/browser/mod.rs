//! The chat in real browsers: the server's page, and where it matters the widget too.

mod accessibility;
mod chat_interface;
mod chat_page;
mod fallback;
mod harness;
mod markdown;
mod network_loss;
mod requests;
