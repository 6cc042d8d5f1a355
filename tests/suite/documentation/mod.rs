//! The Markdown pages: their links exist, and the output that they show is what the commands print.

mod links;
mod markdown;
mod normalize;
mod references;
mod sample_output;
mod sandbox;
