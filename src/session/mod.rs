//! One visitor's connection: the actor that owns it and the plain values it decides with.
//!
//! [`SessionActor`] lives exactly as long as its socket. It receives client frames and [`SessionOrder`]s, sends
//! `GenerateAnswer` and `FindGeneration` to the model's actor and the session messages to the store, and follows the log of
//! the current answer. It owns nothing that cannot be rebuilt from the store and the model's actor, so coming back
//! after a lost network, a refresh or a restart is one code path.
//!
//! In reading order: [`conversation`] decides (with [`history`], [`token_budget`], [`rate_window`], [`question`]),
//! [`actor`] carries out ([`turn_taking`] the questions), [`resumption`] brings a session back, [`transcript`] says again what was said,
//! `wishes` is what visitors may want beside asking, [`socket`] is
//! all that knows actix-web-actors, [`frame_guard`], [`frame_meter`] and [`inbound`] keep bad frames out, [`presence`]
//! says whether the other side is still there, [`registry`] knows who is connected, [`watchdog`] ends connections that no
//! longer read, [`containment`] those whose session has panicked.

pub mod actor;
pub mod connection;
pub mod handlers;
pub mod registry;
pub mod state;
pub mod takeover;

use std::sync::Arc;
use std::time::Duration;

use actix::Message;

pub use actor::SessionActor;
use registry::Registry;
use state::question_validator::Intake;

use crate::llm::messages::{FindGeneration, FollowRemoteTurn, GenerateAnswer};
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::llm::router::Router;
use crate::mailbox::Address;
use crate::persistence::messages::{
    CreateSession, FindEpochs, FindTurn, ForgetSession, LoadHistory, LoadSpending, MarkInterrupted,
    ResumeSession, SaveFeedback,
};
use crate::protocol::server::ResumeInfo;
use crate::supervision::Supervision;
use crate::system::instance_id::Incarnation;
use crate::telemetry::metrics::Metrics;

/// What somebody else wants of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum SessionOrder {
    /// The session was resumed on another connection: close this one.
    ResumedElsewhere,
    /// The server is about to leave: tell the visitor.
    Draining,
    /// The server leaves: close.
    Leave,
}

/// What every session needs; one value shared by all of them.
pub struct SessionSurroundings {
    /// The other actors, by what they are asked.
    pub neighbours: Neighbours,
    /// Which process this is.
    pub incarnation: Incarnation,
    /// Everything that is measured.
    pub metrics: Arc<Metrics>,
    /// What has panicked.
    pub supervision: Arc<Supervision>,
    /// Who is connected.
    pub registry: Arc<Registry>,
    /// Takes questions in.
    pub intake: Intake,
    /// The limits of a session.
    pub limits: SessionLimits,
    /// The times in its life.
    pub times: SessionTimes,
    /// Whose resume it is.
    pub resume: ResumeInfo,
    /// Questions to offer.
    pub suggestions: Arc<[String]>,
    /// What every prompt begins with.
    pub instructions: Arc<SystemPrompt>,
    /// Who answers.
    pub sources: Arc<Router>,
}

/// The actors a session talks to, by the messages they take.
pub struct Neighbours {
    /// Answers questions.
    pub ask: Address<GenerateAnswer>,
    /// Finds answers under way.
    pub find_generation: Address<FindGeneration>,
    /// Follows answers that another server gives.
    pub follow_elsewhere: Address<FollowRemoteTurn>,
    /// Stores a new session.
    pub create: Address<CreateSession>,
    /// Finds out who has a session.
    pub find_epochs: Address<FindEpochs>,
    /// Reads what an account has taken.
    pub load_spending: Address<LoadSpending>,
    /// Takes a stored session over.
    pub resume: Address<ResumeSession>,
    /// Reads the transcript.
    pub load_history: Address<LoadHistory>,
    /// Finds a turn.
    pub find_turn: Address<FindTurn>,
    /// Marks a turn that was cut off.
    pub mark_interrupted: Address<MarkInterrupted>,
    /// Keeps what visitors think of answers.
    pub save_feedback: Address<SaveFeedback>,
    /// Deletes a session.
    pub forget: Address<ForgetSession>,
}

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// Tokens a prompt and its answer may have together.
    pub max_context_tokens: u32,
    /// Tokens an answer may have.
    pub max_response_tokens: u32,
}

/// The times in the life of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimes {
    /// How long it can be resumed after it was last seen.
    pub ttl: Duration,
    /// How long a connection stays without a question.
    pub idle_timeout: Duration,
    /// How often the client's presence is checked.
    pub heartbeat_interval: Duration,
    /// How long a client may take to say anything at all.
    pub first_frame_timeout: Duration,
    /// How long a message may take from its first byte to its last.
    pub message_timeout: Duration,
}
