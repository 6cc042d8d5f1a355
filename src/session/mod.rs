//! The session of one visitor: an actor per WebSocket connection.
//!
//! [`SessionActor`] lives exactly as long as its socket. It receives client frames and
//! [`SessionCommand`]s, sends requests to the LLM actor and the persistence actor
//! ([`ActorHandles`]), and forwards the progress of the current answer. Everything it owns can be
//! rebuilt from the store and the LLM actor, so resuming after a lost network, a page reload or a
//! restart is one code path.
//!
//! | module | content |
//! |---|---|
//! | [`actor`] | the actor: dispatch of frames, commands and timers |
//! | [`handlers`] | one file per request of the client, and the progress of an answer |
//! | [`state`] | plain values that decide: conversation, history, token budget, validation |
//! | [`connection`] | the socket, frame limits, keepalive, slow consumers, panics |
//! | [`registry`] | all open connections of this instance |
//! | [`takeover`] | closes connections whose session was resumed at another instance |

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
use state::question_validator::QuestionValidator;

use crate::llm::messages::{FindGeneration, FollowRemoteTurn, GenerateAnswer};
use crate::llm::prompt::system_prompt::SystemPrompt;
use crate::llm::router::Router;
use crate::mailbox::Address;
use crate::persistence::messages::{
    CreateSession, FindEpochs, FindTurn, ForgetSession, LoadBudgetUsage, LoadHistory, MarkInterrupted,
    ResumeSession, SaveFeedback,
};
use crate::protocol::server::ResumeInfo;
use crate::supervision::Supervision;
use crate::system::instance_id::InstanceId;
use crate::telemetry::metrics::Metrics;

/// A command from another part of the server to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Message)]
#[rtype(result = "()")]
pub enum SessionCommand {
    /// Close the connection: the session was taken over by a newer one.
    CloseTakenOver,
    /// Inform the client that the server is about to shut down.
    AnnounceShutdown,
    /// Close the connection, after the client was informed of the end of its answer.
    CloseForShutdown,
}

/// What all sessions share.
pub struct SessionContext {
    pub actors: ActorHandles,
    pub instance_id: InstanceId,
    pub metrics: Arc<Metrics>,
    pub supervision: Arc<Supervision>,
    pub registry: Arc<Registry>,
    pub question_validator: QuestionValidator,
    pub limits: SessionLimits,
    pub times: SessionTimes,
    /// The resume as the client sees it.
    pub resume: ResumeInfo,
    /// Questions that the client can suggest to the visitor.
    pub suggestions: Arc<[String]>,
    pub system_prompt: Arc<SystemPrompt>,
    pub router: Arc<Router>,
}

/// The addresses of the actors that a session sends requests to.
pub struct ActorHandles {
    pub generate_answer: Address<GenerateAnswer>,
    pub find_generation: Address<FindGeneration>,
    pub follow_remote_turn: Address<FollowRemoteTurn>,
    pub create_session: Address<CreateSession>,
    pub find_epochs: Address<FindEpochs>,
    pub load_budget_usage: Address<LoadBudgetUsage>,
    pub resume_session: Address<ResumeSession>,
    pub load_history: Address<LoadHistory>,
    pub find_turn: Address<FindTurn>,
    pub mark_interrupted: Address<MarkInterrupted>,
    pub save_feedback: Address<SaveFeedback>,
    pub forget_session: Address<ForgetSession>,
}

/// The limits of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Questions in any 60 seconds.
    pub requests_per_minute: u32,
    /// Tokens of a prompt and its answer together.
    pub max_context_tokens: u32,
    /// Tokens of an answer.
    pub max_response_tokens: u32,
}

/// The timeouts of a session.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimes {
    /// How long a session can be resumed after it was used last.
    pub ttl: Duration,
    /// How long a connection stays open without a question.
    pub idle_timeout: Duration,
    /// How often an inactive client is pinged.
    pub heartbeat_interval: Duration,
    /// How long a client may take to send its first frame.
    pub first_frame_timeout: Duration,
    /// How long a message may take from its first byte to its last.
    pub message_timeout: Duration,
}
