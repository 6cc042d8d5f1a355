//! Durable questions per second: `cargo bench --bench store` writes the same rows into the same
//! tables through the persistence actor and through the plain database drivers, each in its fastest
//! way, alternately.

#![expect(clippy::print_stdout, reason = "the results are printed")]
#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a failed measurement should end the run"
)]

mod measurement;

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use measurement::statistics::median;
use measurement::{measure_on_every_store, support};
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
use support::stores::fresh_store::{FreshStore, StoreKind};
use tokio_postgres::NoTls;
use uuid::Uuid;

/// The number of concurrent sessions.
const SESSIONS: usize = 512;

/// The number of questions of each session, asked one after the other.
const QUESTIONS: usize = 40;

/// The deadline of each request to the actor.
const TIMEOUT: Duration = Duration::from_secs(30);

const ROUNDS: usize = 5;

const QUESTION: &str = "Which of her projects was about monitoring, and what did she do in it?";
const TOKENS: i32 = 16;

#[actix::main]
async fn main() {
    measure_on_every_store(measure).await;
}

async fn measure(store: StoreKind, name: &str) {
    let (mut driver, mut actor, mut with_budget) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        driver.push(measure_driver(&create_fixture(store).await).await);
        actor.push(measure_actor(&create_fixture(store).await, None).await);
        with_budget.push(measure_actor(&create_fixture(store).await, Some(reservation())).await);
    }
    let driver = median(driver, f64::total_cmp);
    let actor = median(actor, f64::total_cmp);
    let with_budget = median(with_budget, f64::total_cmp);
    println!("{name}: plain driver, {SESSIONS} in a transaction: {driver:.0} questions/s");
    println!("{name}: actor: {actor:.0} questions/s, {:.2} of the plain driver", actor / driver);
    println!(
        "{name}: actor with a daily budget: {with_budget:.0} questions/s, {:.2} of the plain driver",
        with_budget / driver
    );
}

/// A database with tables and sessions, and the persistence actor.
struct Fixture {
    store: FreshStore,
    sessions: Vec<SessionId>,
    save: Address<SaveQuestion>,
}

async fn create_fixture(store: StoreKind) -> Fixture {
    let store = store.create().await;
    let url = match store.kind() {
        StoreKind::Sqlite => DatabaseUrl::Sqlite { path: path_of(&store).into() },
        StoreKind::Postgres => DatabaseUrl::Postgres { url: store.url().to_owned().into() },
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
        create.ask(CreateSession { session_id: *session_id, token_hash, at }, TIMEOUT)
    });
    for created in join_all(created).await {
        created.unwrap().unwrap();
    }
    Fixture { store, sessions, save: Address::new(&actor, &mailboxes) }
}

/// Runs the migrations on another thread, because they block on PostgreSQL.
fn migrate(url: DatabaseUrl) {
    let migrating = std::thread::spawn(move || {
        tokio::runtime::Runtime::new().unwrap().block_on(migrations::migrate(&url)).unwrap();
    });
    migrating.join().unwrap();
}

fn path_of(store: &FreshStore) -> &str {
    store.url().trim_start_matches("sqlite://")
}

fn reservation() -> BudgetReservation {
    let day = Day::from_timestamp(Timestamp::now());
    let ceilings = BudgetLimits { tokens: Some(u64::MAX / 4), nanodollars: None };
    let budget = BudgetPolicy { day: ceilings, ..BudgetPolicy::default() };
    BudgetReservation {
        accounts: vec![Account::Day(day)],
        amount: Amount { tokens: 1000, nanodollars: 1000 },
        policy: budget,
    }
}

/// Returns the questions per second through the actor. All sessions ask concurrently, and each
/// waits until its question is durable before it asks the next.
async fn measure_actor(fixture: &Fixture, reservation: Option<BudgetReservation>) -> f64 {
    let (question, answered_by): (Arc<str>, Arc<str>) = (QUESTION.into(), "bench".into());
    let began = Instant::now();
    let asking = fixture.sessions.iter().map(|session_id| {
        let (question, answered_by, reserve) = (&question, &answered_by, &reservation);
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
                fixture.save.ask(save, TIMEOUT).await.unwrap().unwrap();
            }
        }
    });
    join_all(asking).await;
    rate(began)
}

/// Returns the questions per second through the plain driver: the same rows, with one question of
/// each session in a transaction.
async fn measure_driver(fixture: &Fixture) -> f64 {
    let began = match fixture.store.kind() {
        StoreKind::Sqlite => write_with_rusqlite(fixture),
        StoreKind::Postgres => write_with_tokio_postgres(fixture).await,
    };
    let rate = rate(began);
    let stored = fixture.store.query_number("SELECT count(*) FROM messages").await;
    assert_eq!(usize::try_from(stored), Ok(SESSIONS * QUESTIONS));
    rate
}

fn rate(began: Instant) -> f64 {
    let questions = u32::try_from(SESSIONS * QUESTIONS).unwrap();
    f64::from(questions) / began.elapsed().as_secs_f64()
}

const UPDATE_SESSION: &str = "UPDATE sessions SET last_seen_at_ms = ?1 WHERE id = ?2 AND epoch = 0";
const INSERT_TURN: &str = "INSERT INTO turns (id, session_id, status, asked_at_ms, answered_by)
    VALUES (?1, ?2, 'answering', ?3, 'bench')";
const INSERT_MESSAGE: &str =
    "INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms) VALUES (?1, 'user', ?2, ?3, ?4)";

/// Writes with prepared statements and the same durability as the server.
fn write_with_rusqlite(fixture: &Fixture) -> Instant {
    let mut connection = rusqlite::Connection::open(path_of(&fixture.store)).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
        .unwrap();
    let began = Instant::now();
    for _ in 0..QUESTIONS {
        let transaction = connection.transaction().unwrap();
        {
            let mut update_session = transaction.prepare(UPDATE_SESSION).unwrap();
            let mut insert_turn = transaction.prepare(INSERT_TURN).unwrap();
            let mut insert_message = transaction.prepare(INSERT_MESSAGE).unwrap();
            for session in &fixture.sessions {
                let (session, turn) = (session.0.to_string(), TurnId::generate().0.to_string());
                let at = Timestamp::now().0;
                update_session.execute((at, &session)).unwrap();
                insert_turn.execute((&turn, &session, at)).unwrap();
                insert_message.execute((&turn, QUESTION, TOKENS, at)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    began
}

const UPDATE_SESSIONS: &str = "UPDATE sessions SET last_seen_at_ms = $1 WHERE id = ANY($2) AND epoch = 0";
const INSERT_TURNS: &str = "INSERT INTO turns (id, session_id, status, asked_at_ms, answered_by)
    SELECT turn, session, 'answering', $3, 'bench' FROM unnest($1::uuid[], $2::uuid[]) AS asked (turn, session)";
const INSERT_MESSAGES: &str = "INSERT INTO messages (turn_id, role, content, tokens, saved_at_ms)
    SELECT turn, 'user', said, $3, $4 FROM unnest($1::uuid[], $2::text[]) AS asked (turn, said)";

/// Writes with one statement per table and transaction.
async fn write_with_tokio_postgres(fixture: &Fixture) -> Instant {
    let (mut client, connection) = tokio_postgres::connect(fixture.store.url(), NoTls).await.unwrap();
    actix::spawn(connection);
    let update_sessions = client.prepare(UPDATE_SESSIONS).await.unwrap();
    let insert_turns = client.prepare(INSERT_TURNS).await.unwrap();
    let insert_messages = client.prepare(INSERT_MESSAGES).await.unwrap();
    let sessions: Vec<Uuid> = fixture.sessions.iter().map(|session| session.0).collect();
    let questions = vec![QUESTION; sessions.len()];
    let began = Instant::now();
    for _ in 0..QUESTIONS {
        let at = Timestamp::now().0;
        let turns: Vec<Uuid> = sessions.iter().map(|_| TurnId::generate().0).collect();
        let transaction = client.transaction().await.unwrap();
        transaction.execute(&update_sessions, &[&at, &sessions]).await.unwrap();
        transaction.execute(&insert_turns, &[&turns, &sessions, &at]).await.unwrap();
        transaction.execute(&insert_messages, &[&turns, &questions, &TOKENS, &at]).await.unwrap();
        transaction.commit().await.unwrap();
    }
    began
}
