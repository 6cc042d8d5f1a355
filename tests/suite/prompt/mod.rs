//! What the model receives: the resume, the conversation and the question.

mod context_window;
mod input_filter;
mod resume_formats;
