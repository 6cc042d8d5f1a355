//! What the model server says about itself and its models: their names, context windows and prices.
//!
//! | module | contents |
//! |---|---|
//! | [`kind`] | which server it is, by its host name and its documents |
//! | [`field`] | tolerant readers of JSON fields |
//! | [`listing`] | the list of models, in the formats of all servers |
//! | [`native`] | documents that only one kind of server has |
//! | [`names`] | whether a listed name is the configured one, and the most similar names |
//! | [`inquiry`] | the requests |
//! | [`report`] | what they found out |
//! | [`window`] | the token limits that follow from the context window |
//! | [`state`] | the report and the limits, shared between sessions |
//!
//! Nothing here is required to answer questions: a server that offers no such document, or an
//! unreadable one, only leaves the report empty.

pub mod field;
pub mod inquiry;
pub mod kind;
pub mod listing;
pub mod names;
pub mod native;
pub mod report;
pub mod state;
pub mod window;
