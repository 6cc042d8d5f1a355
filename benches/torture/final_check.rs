//! The end of a run: the whole history of every session, held against what its visitor was told.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::oracle::Violation;
use super::oracle::rules::Stored;
use super::oracle::transcript::stored_turns;
use super::run_state::World;
use super::visitor::connection::{Connection, Heard};
use super::visitor::{Session, Visitor};

/// How long the server may take over an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a page that the server refused, being busy, is asked for again.
const TRIES: usize = 20;

/// Looks at all sessions of a visitor; returns how many turns the store has of them.
pub(crate) async fn inspect(visitor: Visitor, world: Arc<World>) -> usize {
    let mut turns = 0;
    for session in &visitor.sessions {
        let whom = format!("visitor {} session {}, at the end", visitor.number, session.id);
        match whole_history(session, &world).await {
            Ok(stored) => {
                turns += stored.len();
                world.add("inspected", "turns", stored.len());
                for violation in session.transcript.verify(&stored, world.losses()) {
                    world.report(&whom, &violation);
                }
            }
            Err(_) if !session.transcript.is_kept(world.losses()) => {}
            Err(problem) => {
                world.report(&whom, &Violation::new("a session that was told is found", problem));
            }
        }
        world.count("inspected", "sessions");
    }
    turns
}

async fn whole_history(session: &Session, world: &World) -> Result<Vec<Stored>, String> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match read(session, world).await {
            Ok(stored) => return Ok(stored),
            Err(problem) => last = problem,
        }
        sleep(PATIENCE / 100).await;
    }
    Err(last)
}

async fn read(session: &Session, world: &World) -> Result<Vec<Stored>, String> {
    let connection = Connection::open(world.address, false).await;
    let mut connection = connection.ok_or_else(|| "no connection".to_owned())?;
    let resume = json!({"type": "resume", "session_id": session.id, "resume_token": session.token});
    exchange(&mut connection, &resume, "session").await?;
    let mut stored: Vec<Stored> = Vec::new();
    loop {
        let mut wanted = json!({"type": "history", "limit": 100});
        if let Some(oldest) = stored.first() {
            wanted["before"] = json!(oldest.turn_id);
        }
        let page = exchange(&mut connection, &wanted, "history").await?;
        let older = stored_turns(&page["messages"]);
        let ends = older.is_empty() || page["more"] != true;
        stored.splice(0..0, older);
        if ends {
            connection.close().await;
            return Ok(stored);
        }
    }
}

async fn exchange(connection: &mut Connection, frame: &Value, answer: &str) -> Result<Value, String> {
    if !connection.say(frame).await {
        return Err("the connection ended".to_owned());
    }
    loop {
        match connection.hear(PATIENCE).await {
            Heard::Frame(frame) if frame["type"] == answer => return Ok(frame),
            Heard::Frame(frame) if frame["type"] == "error" => return Err(format!("{}", frame["code"])),
            Heard::Frame(_) => {}
            Heard::Closed(code) => return Err(format!("closed with {code:?}")),
            Heard::Nothing => return Err("silence".to_owned()),
        }
    }
}
