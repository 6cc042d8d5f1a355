//! Rules for the source tree, checked by reading it.

mod import_edges;
mod source;
mod source_rules;
