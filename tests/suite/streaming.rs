//! Answers that stream: word by word, in order, once, and kept.

use crate::on_both_stores;
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;

on_both_stores! {
    async fn a_question_is_answered_word_by_word_and_kept(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        upstream.queue(Script::of(&["She ", "builds ", "compilers."]));
        visitor.ask("What does she do?").await;
        let answer = visitor.answer().await;
        assert_eq!(answer.text, "She builds compilers.");
        assert_eq!(answer.status(), "complete");
        assert_eq!(answer.done["durable"], true);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 2);
    }
}
