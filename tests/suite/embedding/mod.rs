//! The widget on the site of an owner, which has another origin than the server.

mod document;
mod embedded;
mod reach;
mod reconnection;
mod size;
mod visitor;
mod widget;
