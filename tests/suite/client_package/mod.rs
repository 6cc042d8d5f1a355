//! The npm package of the client: against a scripted server, and installed in another project.

mod deep_chat;
mod installed_package;
mod scripted_server;
