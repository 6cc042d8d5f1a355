//! Answers: who gives them, how they are kept while they are given, and the actor that owns them all.
//!
//! [`LlmActor`] receives [`AskModel`](messages::AskModel), [`FindGeneration`](messages::FindGeneration),
//! [`FollowElsewhere`](messages::FollowElsewhere), [`CheckModel`](messages::CheckModel) and [`FinishAnswers`](messages::FinishAnswers). It owns the admission of
//! questions and every [`Generation`](generation::Generation), live or just ended. It sends `SaveQuestion` and
//! `SaveAnswer` to the store, from one task per answer, and `FindTurn` and `MarkInterrupted` about answers that another server
//! gives. It stops with the process.
//!
//! In reading order: [`prompt`] is what is asked ([`instructions`] how it begins), [`choice`] who answers, as its
//! [`breaker`] lets it ([`upstream`] a model's server through [`sse`] and [`chunk`]; [`excerpts`] the resume itself;
//! `asking` asks again where the table of [`fault`]s and [`retry`] say that it helps),
//! [`admission`] the line in front of the model ([`fair_queue`] decides in it),
//! [`source`] how an answer ends, [`generation`] the log an answer becomes ([`answer_log`] the value in it), [`boundaries`]
//! its deltas as they are stored, [`subscription`] a reader's place in it, `turn` the task that carries one question
//! through (`partials` saves what there is meanwhile, `owed` is what the model's server has to tell later, which
//! [`cost_collector`] asks for), `elsewhere` the one that follows another server's, [`actor`] the thin shell.

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
