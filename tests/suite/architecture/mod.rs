//! Rules for the source tree, checked by reading it.

mod source_rules;
