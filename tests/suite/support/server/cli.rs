//! The owner's side: commands on a store, beside the server that uses it.

use serde_json::Value;

use crate::support::client::chat::Chat;
use crate::support::server::process::{Output, run_to_end};
use crate::support::stores::fresh_store::FreshStore;

/// Runs a command on a store, with nothing else set.
pub(crate) async fn run(store: &FreshStore, arguments: &[&str]) -> Output {
    run_to_end(arguments, &[("DATABASE_URL", store.url()), ("OPENROUTER_API_KEY", "changeme")]).await
}

/// What a command that must succeed writes.
pub(crate) async fn told(store: &FreshStore, arguments: &[&str]) -> String {
    let output = run(store, arguments).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{arguments:?}: {output:?}");
    output.stdout
}

pub(crate) async fn told_json(store: &FreshStore, arguments: &[&str]) -> Value {
    let text = told(store, arguments).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}"))
}

/// What a command that must fail with this code writes to standard error.
pub(crate) async fn refusal(store: &FreshStore, code: i32, arguments: &[&str]) -> String {
    let output = run(store, arguments).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{arguments:?}: {output:?}");
    output.stderr
}

/// A conversation of its own that asks these; its id.
pub(crate) async fn converse(chat: &Chat, questions: &[&str]) -> String {
    let mut visitor = chat.another().await;
    let session = visitor.start().await;
    for question in questions {
        visitor.ask_and_hear(question).await;
    }
    session.session_id
}
