//! Resume Chatbot: visitors of a portfolio site chat with a resume.
//!
//! ```text
//!  browser ── WebSocket ──► session::SessionActor        one per connection
//!                             │ owns history, token budget, rate window
//!              ┌──────────────┼────────────────┐
//!              ▼              ▼                ▼
//!        llm::LlmActor  persistence::    health::HealthActor
//!              │        PersistenceActor       ▲
//!        one task per         │                │ asks the others
//!        answer, which   SQLite or         GET /health
//!        appends to a    PostgreSQL
//!        Generation that
//!        sessions read
//! ```
//!
//! A question comes in at [`http`], which upgrades the connection and starts a [`session`]. The session decides with
//! plain values whether it may be asked, and hands it to [`llm`], whose task stores it through [`persistence`], asks
//! the model's server, and writes what comes into a log. The session follows that log and tells the visitor.
//!
//! In reading order: [`protocol`] is the wire; [`session`], [`llm`], [`persistence`], [`health`] are the actors, who
//! write to each other through [`mailbox`]; [`resume`] and [`tokens`] are what prompts are made of; [`input_filter`] judges what
//! visitors send, [`limits`] how much one address may, [`spending`] what a day may cost; [`settings`], [`clock`], [`ids`],
//! [`incarnation`], [`descriptors`] and [`telemetry`] serve them all; [`supervision`] is what a panic comes to, [`faults`] how tests have
//! one; [`startup`] is the only place that names every actor, [`shutdown`] the order of leaving.

pub mod clock;
pub mod descriptors;
pub mod faults;
pub mod health;
pub mod http;
pub mod ids;
pub mod incarnation;
pub mod input_filter;
pub mod limits;
pub mod llm;
pub mod mailbox;
pub mod persistence;
pub mod protocol;
pub mod resume;
pub mod session;
pub mod settings;
pub mod shutdown;
pub mod spending;
pub mod startup;
pub mod supervision;
pub mod telemetry;
pub mod tokens;
