//! Resume Chatbot: a server that lets the visitors of a portfolio site chat with a resume.
//!
//! ```text
//!  browser ── WebSocket ──► session::SessionActor        one per connection
//!                             │ owns history, token budget, rate limit
//!              ┌──────────────┼────────────────┐
//!              ▼              ▼                ▼
//!        llm::LlmActor  persistence::    health::HealthActor
//!              │        PersistenceActor       ▲
//!        one task per         │                │ checks the other actors
//!        answer, which   SQLite or         GET /health
//!        appends to a    PostgreSQL
//!        Generation that
//!        sessions read
//! ```
//!
//! A question arrives at [`http`], which upgrades the connection and starts a [`session`]. The
//! session validates the question, checks its limits and passes it to [`llm`]. A task of `llm`
//! stores the question through [`persistence`], requests the answer from the upstream server and
//! appends each piece to a buffer. The session reads that buffer and sends deltas to the client.
//!
//! | layer | modules |
//! |---|---|
//! | values | [`domain`], [`tokens`] |
//! | readers and filters | [`resume`], [`input_filter`] |
//! | process and runtime | [`settings`], [`telemetry`], [`system`], [`supervision`], [`mailbox`] |
//! | limits | [`limits`], [`budget`] |
//! | wire format | [`protocol`] |
//! | actors | [`persistence`], [`llm`], [`session`], [`health`] |
//! | servers and start-up | [`http`], [`app`] |
//!
//! The test `architecture::import_edges` of the suite lists which module may import which.

pub mod app;
pub mod budget;
pub mod domain;
pub mod health;
pub mod http;
pub mod input_filter;
pub mod limits;
pub mod llm;
pub mod mailbox;
pub mod persistence;
pub mod protocol;
pub mod resume;
pub mod session;
pub mod settings;
pub mod supervision;
pub mod system;
pub mod telemetry;
pub mod tokens;
