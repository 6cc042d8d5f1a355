//! The database schema: the same on both stores and in the code, reversible migrations, hashed
//! tokens.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use crate::on_both_stores;
use crate::support::client::chat::wait_until_stored;
use crate::support::client::chat_client::ChatClient;
use crate::support::server::config::ServerConfig;
use crate::support::server::failpoints::{pause_at, unpause, wait_for_metric};
use crate::support::server::process::run_command;
use crate::support::server::test_server::Server;
use crate::support::stores::fresh_store::{FreshStore, StoreKind};
use crate::support::upstream::fake_openrouter::FakeOpenRouter;
use crate::support::upstream::gate::Gate;
use crate::support::upstream::script::Script;

fn repository_path(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the directories of the migrations of a store, in order.
pub(crate) fn migrations(store: StoreKind) -> Vec<PathBuf> {
    let folder = if store == StoreKind::Sqlite { "migrations/sqlite" } else { "migrations/postgres" };
    let mut actual_columns: Vec<_> =
        fs::read_dir(repository_path(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    actual_columns.sort();
    actual_columns
}

async fn migrate(store: &FreshStore) {
    let migrated = run_command(&["migrate"], &[("DATABASE_URL", store.url())]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
}

/// Returns the columns that `schema.rs` declares, as `table.column type [null] [key]`.
fn declared_columns(schema: &str, store: StoreKind) -> BTreeSet<String> {
    let mut columns = BTreeSet::new();
    for block in schema.split("diesel::table! {").skip(1) {
        let (mut table, mut keys) = (String::new(), Vec::new());
        for line in block.lines().map(str::trim).take_while(|line| !line.starts_with("diesel::")) {
            if let Some((name, rest)) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
                table = name.to_owned();
                keys = rest.split(", ").map(ToOwned::to_owned).collect();
            } else if let Some((name, kind)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> "))
            {
                let inner = kind.strip_prefix("Nullable<").and_then(|kind| kind.strip_suffix('>'));
                let key = keys.iter().position(|key| key == name).map(|at| format!(" key {}", at + 1));
                let null = if inner.is_some() { " null" } else { "" };
                let kind = sql_type(inner.unwrap_or(kind), store);
                columns.insert(format!("{table}.{name} {kind}{null}{}", key.unwrap_or_default()));
            }
        }
    }
    columns
}

fn sql_type(kind: &str, store: StoreKind) -> &'static str {
    match (kind, store) {
        ("Id", StoreKind::Sqlite) => "TEXT",
        ("Id", StoreKind::Postgres) => "uuid",
        ("Binary", StoreKind::Sqlite) => "BLOB",
        ("Binary", StoreKind::Postgres) => "bytea",
        ("BigInt" | "Integer", StoreKind::Sqlite) => "INTEGER",
        ("BigInt", StoreKind::Postgres) => "bigint",
        ("Integer", StoreKind::Postgres) => "integer",
        ("Text", StoreKind::Sqlite) => "TEXT",
        ("Text", StoreKind::Postgres) => "text",
        _ => panic!("unknown type {kind}"),
    }
}

/// Returns the columns of the database, in the same format.
async fn actual_columns(store: &FreshStore) -> BTreeSet<String> {
    let query = match store.kind() {
        StoreKind::Sqlite => {
            "SELECT t.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", '', ' null')
                 || iif(c.pk > 0, ' key ' || c.pk, '')
             FROM sqlite_master t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%'"
        }
        StoreKind::Postgres => {
            "SELECT c.table_name || '.' || c.column_name || ' ' || c.data_type
                 || CASE c.is_nullable WHEN 'YES' THEN ' null' ELSE '' END
                 || coalesce(' key ' || k.ordinal_position, '')
             FROM information_schema.columns c
             LEFT JOIN information_schema.table_constraints p
                 ON p.table_name = c.table_name AND p.constraint_type = 'PRIMARY KEY'
             LEFT JOIN information_schema.key_column_usage k
                 ON k.constraint_name = p.constraint_name AND k.column_name = c.column_name
             WHERE c.table_schema = 'public' AND c.table_name NOT LIKE '\\_\\_%'"
        }
    };
    store.query_texts(query).await.into_iter().collect()
}

/// Counts the commits in the write-ahead log of an SQLite file, see "WAL File Format" in its
/// documentation.
fn commits_in_wal(store: &FreshStore) -> usize {
    let wal = fs::read(format!("{}-wal", store.url().trim_start_matches("sqlite://"))).unwrap();
    let number = |at: usize| wal.get(at..at + 4).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
    let page = usize::try_from(number(8).unwrap()).unwrap();
    let frames = (32..wal.len()).step_by(24 + page);
    let current = frames.filter(|at| number(at + 8) == number(16) && number(at + 12) == number(20));
    // The last frame of a transaction holds the database size after it.
    current.filter(|at| number(at + 4).is_some_and(|size| size > 0)).count()
}

on_both_stores! {
    async fn declared_schema_matches_the_database(store: FreshStore) {
        migrate(&store).await;

        let schema = fs::read_to_string(repository_path("src/persistence/db/schema.rs")).unwrap();
        let declared_columns = declared_columns(&schema, store.kind());
        assert!(declared_columns.len() > 15, "{declared_columns:#?}");
        assert_eq!(declared_columns, actual_columns(&store).await);

        // The comparison detects an extra column.
        store.execute("ALTER TABLE messages ADD COLUMN extra TEXT").await;
        assert_ne!(declared_columns, actual_columns(&store).await);
    }

    async fn every_migration_is_reversible(store: FreshStore) {
        for _ in 0..2 {
            let folders = migrations(store.kind());
            for folder in &folders {
                store.execute(&fs::read_to_string(folder.join("up.sql")).unwrap()).await;
            }
            assert!(!actual_columns(&store).await.is_empty());
            for folder in folders.iter().rev() {
                store.execute(&fs::read_to_string(folder.join("down.sql")).unwrap()).await;
            }
            assert_eq!(actual_columns(&store).await, BTreeSet::new());
        }
    }

    async fn waiting_questions_are_stored_in_few_commits(store: FreshStore) {
        const VISITORS: usize = 50;
        let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
        upstream.always(Script::from_words(&["In Lund."]).hold_after(0, &gate));
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;

        let visit = async || {
            let mut visitor = ChatClient::connect(&server).await;
            visitor.start().await;
            visitor
        };
        let mut visitors = join_all((0..VISITORS).map(|_| visit())).await;
        let before = if store.kind() == StoreKind::Sqlite { commits_in_wal(&store) } else { 0 };
        pause_at(&server, "WriterBatch").await;
        for visitor in &mut visitors {
            visitor.ask("Where does she live?").await;
        }
        let received_count = "mailbox_wait_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}";
        wait_for_metric(&server, received_count, 50.0).await;
        unpause(&server, "WriterBatch").await;
        wait_until_stored(&store, "SELECT count(*) FROM messages WHERE role = 'user'", 50).await;
        let commits = match store.kind() {
            StoreKind::Sqlite => commits_in_wal(&store) - before,
            // `xmin` is the transaction that wrote a row.
            StoreKind::Postgres => {
                let query = "SELECT count(DISTINCT xmin::text) FROM messages";
                usize::try_from(store.query_number(query).await).unwrap()
            }
        };

        // The paused batch, the next batch, and checkpoints of answers.
        assert!(commits > 0 && commits <= VISITORS / 5, "{commits} commits");

        gate.open();
        for answer in join_all(visitors.iter_mut().map(ChatClient::receive_answer)).await {
            assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &true.into()));
        }
        assert_eq!(store.query_number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 50);
        assert_eq!(store.query_number("SELECT count(*) FROM messages").await, 100);
    }

    async fn resume_tokens_are_stored_only_as_hashes(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;

        visitor.ask_and_wait("Where?").await;
        let token = session.resume_token;
        let (hex, all_rows) = match store.kind() {
            StoreKind::Sqlite => ("lower(hex(token_hash))", None),
            StoreKind::Postgres => (
                "encode(token_hash, 'hex')",
                Some("SELECT s::text || t::text || m::text FROM sessions s, turns t, messages m"),
            ),
        };
        let hashes = store.query_texts(&format!("SELECT {hex} FROM sessions")).await;
        let hash: String =
            <sha2::Sha256 as sha2::Digest>::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();

        assert_eq!(hashes, [hash]);

        let bits: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).unwrap()).collect();
        let contents = match all_rows {
            Some(query) => store.query_texts(query).await.join("\n").into_bytes(),
            None => {
                let file = store.url().trim_start_matches("sqlite://");
                [fs::read(file).unwrap(), fs::read(format!("{file}-wal")).unwrap()].concat()
            }
        };

        for secret in [token.as_bytes(), &bits] {
            assert!(
                !contents.windows(secret.len()).any(|bytes| bytes == secret),
                "the token is in the store"
            );
        }

        assert!(contents.windows(6).any(|bytes| bytes == b"Where?"));
    }
}

#[test]
fn both_stores_have_the_same_migrations() {
    let names = |store| -> Vec<_> {
        migrations(store).iter().map(|path| path.file_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(StoreKind::Sqlite), names(StoreKind::Postgres));
    for path in migrations(StoreKind::Sqlite).iter().chain(&migrations(StoreKind::Postgres)) {
        assert!(path.join("up.sql").exists() && path.join("down.sql").exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn sqlite_connections_use_foreign_keys_full_sync_and_wal() {
    let name = format!("{}::sqlite_connections", module_path!());
    let Some(store) = StoreKind::Sqlite.create_for(&name).await else { return };
    migrate(&store).await;
    // A trigger records the settings of the connection of the server.
    let spy = "CREATE TABLE spied (keys INTEGER, sync INTEGER, patience INTEGER);

        CREATE TRIGGER spy AFTER INSERT ON sessions BEGIN
            INSERT INTO spied SELECT k.foreign_keys, s.synchronous, b.timeout
                FROM pragma_foreign_keys k, pragma_synchronous s, pragma_busy_timeout b;
        END";
    store.execute(spy).await;
    let upstream = FakeOpenRouter::start().await;
    upstream.always(Script::new());
    let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
    ChatClient::connect(&server).await.start().await;

    assert_eq!(store.query_number("SELECT keys FROM spied").await, 1);
    assert_eq!(store.query_number("SELECT sync FROM spied").await, 2, "FULL");
    assert!(store.query_number("SELECT patience FROM spied").await >= 1000);

    let wal = "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'";
    assert_eq!(store.query_number(wal).await, 1);
}
