//! How many questions a second can be made durable: `cargo bench --bench store` puts the same rows into the same tables through the
//! store's actor and through the bare drivers, each in the fastest way it has, in turns.

#![expect(clippy::print_stdout, reason = "printing the figures is what it is for")]
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a measurement that goes wrong must end"
)]

#[allow(dead_code, reason = "the vocabulary of the tests, of which this uses a little")]
#[path = "../tests/suite/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use resume_chatbot::budget::{Account, Amount, BudgetLimits, BudgetPolicy, Day};
use resume_chatbot::domain::clock::Timestamp;
use resume_chatbot::domain::ids::{ResumeToken, SessionId, TurnId};
use resume_chatbot::mailbox::Address;
use resume_chatbot::persistence::PersistenceActor;
use resume_chatbot::persistence::db::migrations;
use resume_chatbot::persistence::messages::{CreateSession, SaveQuestion};
use resume_chatbot::persistence::records::BudgetReservation;
use resume_chatbot::settings::{DatabaseSettings, DatabaseUrl};
use resume_chatbot::supervision::{Supervision, supervisor};
use resume_chatbot::telemetry::mailbox_metrics::MailboxRegistry;
use slog::{Discard, Logger, o};
use support::stores::{FreshStore, Store};
use tokio_postgres::NoTls;
use uuid::Uuid;

/// Conversations, each of which asks its questions one after the other, each when the one before is stored.
const SESSIONS: usize = 512;
const QUESTIONS: usize = 40;

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(30);

const ROUNDS: usize = 5;

const QUESTION: &str = "Which of her projects was about monitoring, and what did she do in it?";
const TOKENS: i32 = 16;

#[actix::main]
async fn main() {
    measure(Store::Sqlite, "SQLite").await;
    if std::env::var_os("TEST_DATABASE_URL").is_some() {
        measure(Store::Postgres, "PostgreSQL").await;
    } else {
        println!("PostgreSQL: not measured, TEST_DATABASE_URL is not set");
    }
}

async fn measure(store: Store, name: &str) {
    let (mut bare, mut ours, mut budgeted) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(bare_driver(&filled(store).await).await);
        ours.push(through_the_actor(&filled(store).await, None).await);
        budgeted.push(through_the_actor(&filled(store).await, Some(reserve())).await);
    }
    let (bare, ours, budgeted) = (median(bare), median(ours), median(budgeted));
    println!("{name}: bare driver, {SESSIONS} in a transaction: {bare:.0} questions/s");
    println!("{name}: through the actor: {ours:.0} questions/s, {:.2} of the bare driver", ours / bare);
    println!(
        "{name}: through the actor, with a ceiling for the day: {budgeted:.0} questions/s, {:.2} of the bare driver",
        budgeted / bare
    );
}

/// A database with its tables and the conversations, and the actor that keeps it.
struct Filled {
    store: FreshStore,
    sessions: Vec<SessionId>,
    save: Address<SaveQuestion>,
}

async fn filled(store: Store) -> Filled {
    let store = store.fresh().await;
    let url = match store.store() {
        Store::Sqlite => DatabaseUrl::Sqlite { path: path_of(&store).into() },
        Store::Postgres => DatabaseUrl::Postgres { url: store.url().to_owned().into() },
    };
    migrate(url.clone());
    let metrics = Arc::default();
    let supervision = Supervision::new(Arc::clone(&metrics), Logger::root(Discard, o!()));
    let settings = DatabaseSettings { url, pool_size: 8 };
    let shared = Arc::clone(&supervision);
    let actor = supervisor::start_in_arbiter(&actix::Arbiter::new().handle(), &supervision, move || {
        PersistenceActor::new(&settings, metrics, shared, Logger::root(Discard, o!()))
    });
    let mailboxes = MailboxRegistry::default();
    let create = Address::<CreateSession>::new(&actor, &mailboxes);
    let token_hash = ResumeToken::generate().unwrap().hash();
    let sessions: Vec<SessionId> = (0..SESSIONS).map(|_| SessionId::generate()).collect();
    let created = sessions.iter().map(|session_id| {
        let at = Timestamp::now();
        create.ask(CreateSession { session_id: *session_id, token_hash, at }, PATIENCE)
    });
    for created in join_all(created).await {
        created.unwrap().unwrap();
    }
    Filled { store, sessions, save: Address::new(&actor, &mailboxes) }
}

/// On threads of its own, which migrations on PostgreSQL want to block.
fn migrate(url: DatabaseUrl) {
    let migrating = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(migrations::migrate(&url)).unwrap();
    });
    migrating.join().unwrap();
}

fn path_of(store: &FreshStore) -> &str {
    store.url().trim_start_matches("sqlite://")
}

fn reserve() -> BudgetReservation {
    let day = Day::from_timestamp(Timestamp::now());
    let ceilings = BudgetLimits { tokens: Some(u64::MAX / 4), nanodollars: None };
    let policy = BudgetPolicy { day: ceilings, ..BudgetPolicy::default() };
    BudgetReservation {
        accounts: vec![Account::Day(day)],
        amount: Amount { tokens: 1000, nanodollars: 1000 },
        policy,
    }
}

/// Questions a second. Everybody asks at once, and waits for the own question to be durable before the next.
async fn through_the_actor(filled: &Filled, reserve: Option<BudgetReservation>) -> f64 {
    let (question, answered_by): (Arc<str>, Arc<str>) = (QUESTION.into(), "bench".into());
    let began = Instant::now();
    let asking = filled.sessions.iter().map(|session_id| {
        let (question, answered_by, reserve) = (&question, &answered_by, &reserve);
        async move {
            for _ in 0..QUESTIONS {
                let save = SaveQuestion {
                    turn_id: TurnId::generate(),
                    session_id: *session_id,
                    epoch: 0,
                    client_id: None,
                    question: Arc::clone(question),
                    tokens: TOKENS.unsigned_abs(),
                    asked_at: Timestamp::now(),
                    answered_by: Arc::clone(answered_by),
                    regenerates: None,
                    reservation: reserve.clone().map(Box::new),
                };
                filled.save.ask(save, PATIENCE).await.unwrap().unwrap();
            }
        }
    });
    join_all(asking).await;
    rate(began)
}

/// Questions a second: the same rows, a question of each session in every transaction.
async fn bare_driver(filled: &Filled) -> f64 {
    let began = match filled.store.store() {
        Store::Sqlite => bare_sqlite(filled),
        Store::Postgres => bare_postgres(filled).await,
    };
    let rate = rate(began);
    let stored = filled.store.number("SELECT count(*) FROM messages").await;
    assert_eq!(usize::try_from(stored), Ok(SESSIONS * QUESTIONS));
    rate
}

fn rate(began: Instant) -> f64 {
    let questions = u32::try_from(SESSIONS * QUESTIONS).unwrap();
    f64::from(questions) / began.elapsed().as_secs_f64()
}

const TOUCH: &str = "UPDATE sessions SET last_seen_at_ms = ?1 WHERE id = ?2 AND epoch = 0";
const OPEN: &str = "INSERT INTO turns (id, session_id, status, asked_at_ms, answered_by)
    VALUES (?1, ?2, 'answering', ?3, 'bench')";
const SAY: &str =
    "INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms) VALUES (?1, 'user', ?2, ?3, ?4)";

/// With statements that are prepared once, as durable as ours.
fn bare_sqlite(filled: &Filled) -> Instant {
    let mut link = rusqlite::Connection::open(path_of(&filled.store)).unwrap();
    link.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        .unwrap();
    let began = Instant::now();
    for _ in 0..QUESTIONS {
        let transaction = link.transaction().unwrap();
        {
            let mut touch = transaction.prepare(TOUCH).unwrap();
            let mut open = transaction.prepare(OPEN).unwrap();
            let mut say = transaction.prepare(SAY).unwrap();
            for session in &filled.sessions {
                let (session, turn) = (session.0.to_string(), TurnId::generate().0.to_string());
                let at = Timestamp::now().0;
                touch.execute((at, &session)).unwrap();
                open.execute((&turn, &session, at)).unwrap();
                say.execute((&turn, QUESTION, TOKENS, at)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    began
}

const TOUCH_ALL: &str = "UPDATE sessions SET last_seen_at_ms = $1 WHERE id = ANY($2) AND epoch = 0";
const OPEN_ALL: &str = "INSERT INTO turns (id, session_id, status, asked_at_ms, answered_by)
    SELECT turn, session, 'answering', $3, 'bench' FROM unnest($1::uuid[], $2::uuid[]) AS asked (turn, session)";
const SAY_ALL: &str = "INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms)
    SELECT turn, 'user', said, $3, $4 FROM unnest($1::uuid[], $2::text[]) AS asked (turn, said)";

/// With one statement for the rows of each table.
async fn bare_postgres(filled: &Filled) -> Instant {
    let (mut link, connection) = tokio_postgres::connect(filled.store.url(), NoTls).await.unwrap();
    actix::spawn(connection);
    let touch = link.prepare(TOUCH_ALL).await.unwrap();
    let open = link.prepare(OPEN_ALL).await.unwrap();
    let say = link.prepare(SAY_ALL).await.unwrap();
    let sessions: Vec<Uuid> = filled.sessions.iter().map(|session| session.0).collect();
    let said = vec![QUESTION; sessions.len()];
    let began = Instant::now();
    for _ in 0..QUESTIONS {
        let at = Timestamp::now().0;
        let turns: Vec<Uuid> = sessions.iter().map(|_| TurnId::generate().0).collect();
        let transaction = link.transaction().await.unwrap();
        transaction.execute(&touch, &[&at, &sessions]).await.unwrap();
        transaction.execute(&open, &[&turns, &sessions, &at]).await.unwrap();
        transaction.execute(&say, &[&turns, &said, &TOKENS, &at]).await.unwrap();
        transaction.commit().await.unwrap();
    }
    began
}

/// The one that was neither highest nor lowest.
fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
