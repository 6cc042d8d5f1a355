//! Databases with an unknown schema or with the tables of another program are refused and left
//! unchanged.

use std::path::Path;

use crate::on_both_stores;
use crate::support::server::process::{Output, run_command};
use crate::support::stores::fresh_store::{FreshStore, StoreKind};

/// The schema of development versions before the first release, as far as it differs from the
/// current one.
const EARLIER_SCHEMA: &str = "
    CREATE TABLE __diesel_schema_migrations (
        version VARCHAR(50) PRIMARY KEY NOT NULL, run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
    );
    INSERT INTO __diesel_schema_migrations (version) VALUES
        ('20261123000001'), ('20261125000001'), ('20261125000002'), ('20261125000003'), ('20261125000004');
    CREATE TABLE sessions (
        id {id} NOT NULL PRIMARY KEY, token_hash {bytes} NOT NULL, epoch BIGINT NOT NULL,
        created_at_ms BIGINT NOT NULL, last_seen_at_ms BIGINT NOT NULL,
        tokens BIGINT NOT NULL DEFAULT 0, cost_nanodollars BIGINT NOT NULL DEFAULT 0
    );
    CREATE TABLE turns (
        id {id} NOT NULL PRIMARY KEY, session_id {id} NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
        client_id TEXT, status TEXT NOT NULL, mode TEXT, model TEXT, prompt_tokens INTEGER,
        completion_tokens INTEGER, cost_nanodollars BIGINT, asked_at_ms BIGINT NOT NULL, ended_at_ms BIGINT,
        failure TEXT, answered_by TEXT, regenerates {id}, superseded_by {id}, UNIQUE (session_id, client_id)
    );
    CREATE INDEX turns_of_session ON turns (session_id, id);
    CREATE TABLE messages (
        turn_id {id} NOT NULL REFERENCES turns (id) ON DELETE CASCADE, role TEXT NOT NULL,
        content TEXT NOT NULL, tokens INTEGER NOT NULL, created_at_ms BIGINT NOT NULL,
        delta_lengths {bytes}, citations TEXT, PRIMARY KEY (turn_id, role)
    );
    CREATE TABLE spending (day INTEGER NOT NULL PRIMARY KEY, tokens BIGINT NOT NULL, cost_nanodollars BIGINT NOT NULL);
    INSERT INTO spending (day, tokens, cost_nanodollars) VALUES (20000, 7, 8);
";

/// The names of all tables except those of SQLite itself.
async fn tables(store: &FreshStore) -> Vec<String> {
    let query = match store.kind() {
        StoreKind::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY 1"
        }
        StoreKind::Postgres => {
            "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1"
        }
    };
    store.query_texts(query).await
}

async fn run(store: &FreshStore, command: &str) -> Output {
    let resume = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/resumes/sample.md");
    let settings = [
        ("DATABASE_URL", store.url()),
        ("RESUME_PATH", &resume.display().to_string()),
        ("LLM_BASE_URL", "http://127.0.0.1:9/v1"),
        ("PORT", "0"),
        ("OPERATOR_ADDRESS", "off"),
    ];
    run_command(&[command], &settings).await
}

/// Checks that every command that needs the schema refuses the database with a message that
/// contains `words`.
async fn assert_refused(store: &FreshStore, words: &[&str]) {
    for command in ["serve", "migrate", "check"] {
        let output = run(store, command).await;
        assert_eq!(output.code, Some(1), "{command}: {output:?}");
        let last = output.stderr.lines().last().unwrap_or_default();
        for word in words {
            assert!(last.contains(word), "{command}: {word} is not in {last}");
        }
    }
}

on_both_stores! {
    async fn database_with_an_earlier_schema_is_refused(store: FreshStore) {
        let (id, bytes) = match store.kind() {
            StoreKind::Sqlite => ("TEXT", "BLOB"),
            StoreKind::Postgres => ("UUID", "BYTEA"),
        };
        store.execute(&EARLIER_SCHEMA.replace("{id}", id).replace("{bytes}", bytes)).await;
        let before = tables(&store).await;

        assert_refused(&store, &["another version", "20261125000004", "set DATABASE_URL to a new database"]).await;

        assert_eq!(tables(&store).await, before);
        assert_eq!(store.query_number("SELECT tokens FROM spending WHERE day = 20000").await, 7);
        assert_eq!(store.query_number("SELECT count(*) FROM __diesel_schema_migrations").await, 5);
    }

    async fn database_with_a_later_schema_is_refused(store: FreshStore) {
        assert_eq!(run(&store, "migrate").await.code, Some(0));
        store.execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231000001')").await;

        assert_refused(&store, &["another version", "20991231000001", "set DATABASE_URL to a new database"]).await;
    }

    async fn tables_of_another_program_with_the_same_names_are_refused(store: FreshStore) {
        store.execute("CREATE TABLE customers (id INTEGER); CREATE TABLE sessions (id INTEGER)").await;

        assert_refused(&store, &["another program", "the tables sessions", "set DATABASE_URL to a new database"]).await;

        let existing = ["customers", "sessions"];
        let all: Vec<String> = tables(&store).await;
        let created = all.iter().filter(|name| !existing.contains(&name.as_str()) && !name.starts_with("__"));
        assert_eq!(created.count(), 0);
        assert_eq!(store.query_number("SELECT count(*) FROM customers").await, 0);
    }

    async fn tables_of_another_program_with_other_names_are_left_alone(store: FreshStore) {
        store.execute("CREATE TABLE customers (id INTEGER); INSERT INTO customers VALUES (7)").await;

        let output = run(&store, "migrate").await;

        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(store.query_number("SELECT CAST(id AS BIGINT) FROM customers").await, 7);
    }

    async fn tables_added_after_the_migration_are_accepted(store: FreshStore) {
        assert_eq!(run(&store, "migrate").await.code, Some(0));
        store.execute("CREATE TABLE added_later (id INTEGER)").await;

        let output = run(&store, "migrate").await;

        assert_eq!(output.code, Some(0), "{output:?}");
    }
}
