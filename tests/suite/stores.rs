//! The two stores: one schema, one commit for many, nothing lost while the database is away.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use crate::on_both_stores;
use crate::support::chat::until_stored;
use crate::support::chat_client::ChatClient;
use crate::support::fake_openrouter::FakeOpenRouter;
use crate::support::faults::{hold, release, until_metric};
use crate::support::gate::Gate;
use crate::support::process::run_to_end;
use crate::support::script::Script;
use crate::support::server::Server;
use crate::support::server_config::ServerConfig;
use crate::support::stores::{FreshStore, Store};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The migrations of a store, by their folders, in order.
pub(crate) fn migrations(store: Store) -> Vec<PathBuf> {
    let folder = if store == Store::Sqlite { "migrations/sqlite" } else { "migrations/postgres" };
    let mut found: Vec<_> = fs::read_dir(here(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

async fn migrate(store: &FreshStore) {
    let migrated = run_to_end(&["migrate"], &[("DATABASE_URL", store.url())]).await;
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
}

/// The columns that `schema.rs` declares: `table.column type [null] [key]`, as this store should have them.
fn declared(schema: &str, store: Store) -> BTreeSet<String> {
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

fn sql_type(kind: &str, store: Store) -> &'static str {
    match (kind, store) {
        ("Id", Store::Sqlite) => "TEXT",
        ("Id", Store::Postgres) => "uuid",
        ("Binary", Store::Sqlite) => "BLOB",
        ("Binary", Store::Postgres) => "bytea",
        ("BigInt" | "Integer", Store::Sqlite) => "INTEGER",
        ("BigInt", Store::Postgres) => "bigint",
        ("Integer", Store::Postgres) => "integer",
        ("Text", Store::Sqlite) => "TEXT",
        ("Text", Store::Postgres) => "text",
        _ => panic!("what is {kind} in SQL?"),
    }
}

/// The columns that the database has, in the same words.
async fn found(store: &FreshStore) -> BTreeSet<String> {
    let query = match store.store() {
        Store::Sqlite => {
            "SELECT t.name || '.' || c.name || ' ' || c.type || iif(c.\"notnull\", '', ' null')
                 || iif(c.pk > 0, ' key ' || c.pk, '')
             FROM sqlite_master t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'sqlite%'"
        }
        Store::Postgres => {
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
    store.texts(query).await.into_iter().collect()
}

/// Commits that the write-ahead log of an SQLite file holds; see "WAL File Format" in SQLite's documentation.
fn commits_in_wal(store: &FreshStore) -> usize {
    let wal = fs::read(format!("{}-wal", store.url().trim_start_matches("sqlite://"))).unwrap();
    let number = |at: usize| wal.get(at..at + 4).map(|it| u32::from_be_bytes(it.try_into().unwrap()));
    let page = usize::try_from(number(8).unwrap()).unwrap();
    let frames = (32..wal.len()).step_by(24 + page);
    let current = frames.filter(|at| number(at + 8) == number(16) && number(at + 12) == number(20));
    // The frame that ends a transaction holds the size of the database after it.
    current.filter(|at| number(at + 4).is_some_and(|size| size > 0)).count()
}

on_both_stores! {
    async fn the_schema_in_the_code_is_the_one_in_the_database(store: FreshStore) {
        migrate(&store).await;
        let schema = fs::read_to_string(here("src/persistence/db/schema.rs")).unwrap();
        let declared = declared(&schema, store.store());
        assert!(declared.len() > 15, "{declared:#?}");
        assert_eq!(declared, found(&store).await);
        // The comparison sees a column that is missing, of another type, or nullable.
        store.execute("ALTER TABLE messages ADD COLUMN forgotten TEXT").await;
        assert_ne!(declared, found(&store).await);
    }

    async fn every_migration_can_be_undone(store: FreshStore) {
        for _ in 0..2 {
            let folders = migrations(store.store());
            for folder in &folders {
                store.execute(&fs::read_to_string(folder.join("up.sql")).unwrap()).await;
            }
            assert!(!found(&store).await.is_empty());
            for folder in folders.iter().rev() {
                store.execute(&fs::read_to_string(folder.join("down.sql")).unwrap()).await;
            }
            assert_eq!(found(&store).await, BTreeSet::new());
        }
    }

    async fn fifty_that_wait_are_all_kept_in_far_fewer_commits(store: FreshStore) {
        const VISITORS: usize = 50;
        let (upstream, gate) = (FakeOpenRouter::start().await, Gate::default());
        upstream.always(Script::of(&["In Lund."]).hold_after(0, &gate));
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let visit = async || {
            let mut visitor = ChatClient::connect(&server).await;
            visitor.start().await;
            visitor
        };
        let mut visitors = join_all((0..VISITORS).map(|_| visit())).await;
        let before = if store.store() == Store::Sqlite { commits_in_wal(&store) } else { 0 };
        hold(&server, "WriterBatch").await;
        for visitor in &mut visitors {
            visitor.ask("Where does she live?").await;
        }
        let taken = "mailbox_wait_seconds_count{actor=\"persistence\",message=\"SaveQuestion\"}";
        until_metric(&server, taken, 50.0).await;
        release(&server, "WriterBatch").await;
        until_stored(&store, "SELECT count(*) FROM messages WHERE role = 'user'", 50).await;
        let commits = match store.store() {
            Store::Sqlite => commits_in_wal(&store) - before,
            // Every row names the transaction that wrote it.
            Store::Postgres => {
                let query = "SELECT count(DISTINCT xmin::text) FROM messages";
                usize::try_from(store.number(query).await).unwrap()
            }
        };
        // The one in hand, the others, and what was saved of answers meanwhile.
        assert!(commits > 0 && commits <= VISITORS / 5, "{commits} commits");
        gate.open();
        for answer in join_all(visitors.iter_mut().map(ChatClient::answer)).await {
            assert_eq!((answer.status(), &answer.done["durable"]), ("complete", &true.into()));
        }
        assert_eq!(store.number("SELECT count(*) FROM turns WHERE status = 'complete'").await, 50);
        assert_eq!(store.number("SELECT count(*) FROM messages").await, 100);
    }

    async fn of_a_resume_token_only_the_hash_is_kept(store: FreshStore) {
        let upstream = FakeOpenRouter::start().await;
        let server = Server::start(ServerConfig::serve(&store, &upstream)).await;
        let mut visitor = ChatClient::connect(&server).await;
        let session = visitor.start().await;
        visitor.ask_and_hear("Where?").await;
        let token = session.resume_token;
        let (hex, everything) = match store.store() {
            Store::Sqlite => ("lower(hex(token_hash))", None),
            Store::Postgres => (
                "encode(token_hash, 'hex')",
                Some("SELECT s::text || t::text || m::text FROM sessions s, turns t, messages m"),
            ),
        };
        let hashes = store.texts(&format!("SELECT {hex} FROM sessions")).await;
        let hash: String =
            <sha2::Sha256 as sha2::Digest>::digest(&token).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hashes, [hash]);
        let bits: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&token[at..at + 2], 16).unwrap()).collect();
        let kept = match everything {
            Some(query) => store.texts(query).await.join("\n").into_bytes(),
            None => {
                let file = store.url().trim_start_matches("sqlite://");
                [fs::read(file).unwrap(), fs::read(format!("{file}-wal")).unwrap()].concat()
            }
        };
        for secret in [token.as_bytes(), &bits] {
            assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret), "the token is in the store");
        }
        assert!(kept.windows(6).any(|bytes| bytes == b"Where?"));
    }
}

#[test]
fn both_stores_have_the_same_migrations() {
    let names = |store| -> Vec<_> {
        migrations(store).iter().map(|path| path.file_name().unwrap().to_owned()).collect()
    };
    assert_eq!(names(Store::Sqlite), names(Store::Postgres));
    for path in migrations(Store::Sqlite).iter().chain(&migrations(Store::Postgres)) {
        assert!(path.join("up.sql").exists() && path.join("down.sql").exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn sqlite_checks_references_waits_its_turn_and_writes_ahead() {
    let name = format!("{}::sqlite_checks_references", module_path!());
    let Some(store) = Store::Sqlite.fresh_for(&name).await else { return };
    migrate(&store).await;
    // What the server's own connection is set to, written down by a trigger that runs on it.
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
    assert_eq!(store.number("SELECT keys FROM spied").await, 1);
    assert_eq!(store.number("SELECT sync FROM spied").await, 2, "FULL");
    assert!(store.number("SELECT patience FROM spied").await >= 1000);
    let wal = "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'";
    assert_eq!(store.number(wal).await, 1);
}
