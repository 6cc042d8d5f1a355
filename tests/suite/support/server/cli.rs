//! Commands of the binary on a store, run beside the server that uses it.

use serde_json::Value;

use crate::support::client::chat::Chat;
use crate::support::server::process::{Output, run_command};
use crate::support::stores::fresh_store::FreshStore;

/// Runs a command on a store, without other settings.
pub(crate) async fn run(store: &FreshStore, arguments: &[&str]) -> Output {
    run_command(arguments, &[("DATABASE_URL", store.url()), ("OPENROUTER_API_KEY", "changeme")]).await
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) async fn run_ok(store: &FreshStore, arguments: &[&str]) -> String {
    let output = run(store, arguments).await;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{arguments:?}: {output:?}");
    output.stdout
}

/// Runs a command that must succeed and print JSON.
pub(crate) async fn run_json(store: &FreshStore, arguments: &[&str]) -> Value {
    let text = run_ok(store, arguments).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text:?} is not JSON: {error}"))
}

/// Runs a command that must fail with this exit code, and returns its standard error.
pub(crate) async fn run_failing(store: &FreshStore, code: i32, arguments: &[&str]) -> String {
    let output = run(store, arguments).await;
    assert_eq!((output.code, output.stdout.as_str()), (Some(code), ""), "{arguments:?}: {output:?}");
    output.stderr
}

/// Asks these questions in a new session, and returns its id.
pub(crate) async fn ask_in_new_session(chat: &Chat, questions: &[&str]) -> String {
    let mut visitor = chat.connect().await;
    let session = visitor.start().await;
    for question in questions {
        visitor.ask_and_wait(question).await;
    }
    session.session_id
}
