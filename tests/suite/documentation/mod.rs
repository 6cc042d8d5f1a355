//! The Markdown pages and the texts of the chat: links and keys exist, and the output that the pages
//! show is what the commands print.

mod links;
mod markdown;
mod normalize;
mod references;
mod sample_output;
mod sandbox;
mod texts;
