//! The chat page in a real browser.

mod chat_interface;
mod chat_page;
mod harness;
mod markdown;
mod network_loss;
