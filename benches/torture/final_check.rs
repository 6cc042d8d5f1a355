//! The check at the end of a run: the whole history of every session against what its visitor
//! received.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use super::oracle::Violation;
use super::oracle::rules::StoredTurn;
use super::oracle::transcript::stored_turns;
use super::run_state::RunState;
use super::visitor::connection::{Connection, Received};
use super::visitor::{Session, Visitor};

/// The deadline for a reply of the server.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the history is requested again if the busy server rejects the request.
const MAX_ATTEMPTS: usize = 20;

/// The pause between two attempts.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// Checks all sessions of a visitor. Returns the number of turns in the store.
pub(crate) async fn check_sessions(visitor: Visitor, run: Arc<RunState>) -> usize {
    let mut turns = 0;
    for session in &visitor.sessions {
        let subject = format!("visitor {} session {}, at the end", visitor.number, session.id);
        match load_history(session, &run).await {
            Ok(stored) => {
                turns += stored.len();
                run.add("final check", "turns", stored.len());
                for violation in session.transcript.check_final_history(&stored, run.losses()) {
                    run.report(&subject, &violation);
                }
            }
            Err(_) if !session.transcript.must_exist(run.losses()) => {}
            Err(problem) => {
                let violation = Violation::new("a session that was started is found", problem);
                run.report(&subject, &violation);
            }
        }
        run.count("final check", "sessions");
    }
    turns
}

async fn load_history(session: &Session, run: &RunState) -> Result<Vec<StoredTurn>, String> {
    let mut last_problem = String::new();
    for _ in 0..MAX_ATTEMPTS {
        match request_history(session, run).await {
            Ok(stored) => return Ok(stored),
            Err(problem) => last_problem = problem,
        }
        sleep(RETRY_PAUSE).await;
    }
    Err(last_problem)
}

/// Resumes the session and requests all pages of its history.
async fn request_history(session: &Session, run: &RunState) -> Result<Vec<StoredTurn>, String> {
    let connection = Connection::open(run.address, false).await;
    let mut connection = connection.ok_or_else(|| "no connection".to_owned())?;
    let (id, token) = (&session.id, &session.resume_token);
    let resume = json!({"type": "resume", "session_id": id, "resume_token": token});
    request(&mut connection, &resume, "session").await?;
    let mut stored: Vec<StoredTurn> = Vec::new();
    loop {
        let mut page_request = json!({"type": "history", "limit": 100});
        if let Some(oldest) = stored.first() {
            page_request["before"] = json!(oldest.turn_id);
        }
        let page = request(&mut connection, &page_request, "history").await?;
        let older = stored_turns(&page["messages"]);
        let is_last = older.is_empty() || page["more"] != true;
        stored.splice(0..0, older);
        if is_last {
            connection.close().await;
            return Ok(stored);
        }
    }
}

/// Sends a frame and waits for a reply of this type.
async fn request(connection: &mut Connection, frame: &Value, reply_type: &str) -> Result<Value, String> {
    if !connection.send(frame).await {
        return Err("the connection ended".to_owned());
    }
    loop {
        match connection.receive(REPLY_TIMEOUT).await {
            Received::Frame(frame) if frame["type"] == reply_type => return Ok(frame),
            Received::Frame(frame) if frame["type"] == "error" => return Err(format!("{}", frame["code"])),
            Received::Frame(_) => {}
            Received::Closed(code) => return Err(format!("closed with {code:?}")),
            Received::Timeout => return Err("no reply".to_owned()),
        }
    }
}
