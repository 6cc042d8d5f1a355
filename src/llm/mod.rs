//! The generation of answers: backends, streaming, and the actor that owns the answers.
//!
//! [`LlmActor`] receives [`GenerateAnswer`](messages::GenerateAnswer),
//! [`FindGeneration`](messages::FindGeneration), [`FollowRemoteTurn`](messages::FollowRemoteTurn),
//! [`CheckModel`](messages::CheckModel) and [`FinishAnswers`](messages::FinishAnswers). It owns
//! every [`Generation`](stream::generation::Generation) that is in progress or has just ended. A
//! task per turn sends `SaveQuestion` and `SaveAnswer` to the store, and `FindTurn` and
//! `MarkInterrupted` for turns of other instances. The actor stops with the process.
//!
//! In reading order:
//!
//! | module | contents | uses |
//! |---|---|---|
//! | [`prompt`] | the prompt and the system prompt | |
//! | [`upstream`] | the client of the model server | `prompt` |
//! | [`excerpts`] | answers that quote the resume | |
//! | [`resilience`] | circuit breaker, retries, queue, concurrency limit | errors of `upstream` |
//! | [`router`] | which backend answers a question | all above |
//! | [`stream`] | the answer as a buffer with subscribers | |
//! | [`billing`] | costs that upstream reports later | `router`, `stream` |
//! | [`messages`] | the messages of the actor | all above |
//! | [`turn`] | the task that carries out one turn | all above |
//! | [`actor`] | the actor itself | `turn`, `router`, `stream` |

pub mod actor;
pub mod billing;
pub mod excerpts;
pub mod messages;
pub mod prompt;
pub mod resilience;
pub mod router;
pub mod stream;
pub mod turn;
pub mod upstream;

pub use actor::LlmActor;
