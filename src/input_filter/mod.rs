//! Cleans the text of visitors and detects prompt injection in it.
//!
//! Everything here is a pure function of the text, without actors, clocks or I/O. Visitors choose
//! the text, so every function takes linear time.
//!
//! | item | purpose |
//! |---|---|
//! | [`sanitize()`] | removes unwanted characters, as classified by `char_class` |
//! | [`injection`] | scores how much a text looks like prompt injection |
//! | [`fence()`] | encloses a suspicious question in delimiters that it cannot forge |

mod char_class;
mod fence;
pub mod injection;

mod sanitize;

pub use fence::fence;
pub use sanitize::sanitize;
