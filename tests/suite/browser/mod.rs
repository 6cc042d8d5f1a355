//! The chat page in a real browser.

mod chat_page;
mod network_loss;
